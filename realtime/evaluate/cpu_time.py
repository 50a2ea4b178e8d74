"""Who spends the CPU time of a run: the networks, the rest of the stages, the hand-offs between them.

Used by evaluate.cost. The methods of the data path are wrapped in clocks while our program runs in this process, and
threads of native libraries are read from /proc.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from realtime.config import load
from realtime.errors import ConfigError
from realtime.evaluate.runs import Scene

# Whose CPU time a call is, without what is called inside it and has a row of its own.
PARTS = (
    ("networks", "realtime.models.openvino", "OpenVinoNetwork", "__call__"),
    ("networks", "realtime.models.ultralytics", "_TorchForward", "__call__"),
    ("letterbox, suppression", "realtime.detect.yolo", "DetectStage", "_look"),
    ("crops, peaks", "realtime.pose.vitpose", "VitPose", "estimate"),
    ("capture", "realtime.capture.camera", "Camera", "run"),
    ("track", "realtime.track.stage", "TrackStage", "process"),
    ("relink", "realtime.track.relink", "RelinkStage", "process"),
    ("smooth", "realtime.smooth.stage", "SmoothStage", "process"),
    ("publish", "realtime.publish.zmq_pub", "PublishStage", "process"),
    ("publish", "realtime.publish.zmq_pub", "PublishStage", "tick"),
    ("hand-offs", "threading", "Thread", "run"),
)
MODELS = ("networks", "letterbox, suppression", "crops, peaks")
# How the names of threads begin that libraries start beside Python's; a nameless one computes for a network.
_NATIVE = {"av:": "capture", "ZMQ": "publish"}
_POLL_S = 0.1


class CpuClock:
    """CPU time of calls by part: a call's own, without that of the calls inside it."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._inside = threading.local()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, and its time counted for the part."""

        def call(*args: object, **keywords: object) -> Any:  # noqa: ANN401 - of the function
            outer_s, self._inside.s = getattr(self._inside, "s", 0.0), 0.0
            began_s = time.thread_time()
            try:
                return function(*args, **keywords)
            finally:
                seconds = time.thread_time() - began_s
                with self._lock:
                    self.spent_s[part] += seconds - self._inside.s
                self._inside.s = outer_s + seconds

        return call

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Around the methods of PARTS."""
        places = [(part, getattr(importlib.import_module(module), owner), name) for part, module, owner, name in PARTS]
        before = [(owner, name, getattr(owner, name)) for _, owner, name in places]
        for part, owner, name in places:
            setattr(owner, name, self.timed(part, getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)


def cpu_by_part(scene: Scene) -> dict[str, float]:
    """CPU seconds of one run of our program in this process, by part. Linux only.

    Raises:
        ConfigError: this is not Linux.
    """
    from realtime.pipeline import Pipeline

    if not Path("/proc/self/task").is_dir():
        raise ConfigError("cost share: the CPU time of threads is read from /proc, which this system doesn't have")
    flags: dict[str, object] = scene.configuration | {"publish.bind": ["tcp://127.0.0.1:*"], "max_frames": scene.frames}
    flags["cameras"] = [{"name": "cam0", "source": scene.video}]
    clock, watch = CpuClock(), _Watch()
    with clock.installed():
        pipeline = Pipeline(load(environment={}, flags=flags))
        clock.spent_s.clear()  # loading doesn't count
        watch.start()
        began_s = time.process_time()
        clock.timed("hand-offs", pipeline.run)()
        total_s = time.process_time() - began_s
        watch.end()
    spent = clock.spent_s
    for name, seconds in watch.cpu_s.values():
        spent[_NATIVE[name[:3]]] += seconds
    # What no thread of Python's and none with a name has spent, those did that compute for the networks.
    spent["networks"] += total_s - watch.own_s - sum(spent.values())
    return {part: spent[part] for part in dict.fromkeys(part for part, *_ in PARTS)}


class _Watch(threading.Thread):
    """Reads the CPU time of the native threads that have a name, which end before the run does.

    Attributes:
        cpu_s: the thread's number to its name and CPU seconds.
        own_s: CPU seconds of this thread.
    """

    def __init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self.cpu_s: dict[int, tuple[str, float]] = {}
        self.own_s = 0.0
        self._ended = threading.Event()

    def run(self) -> None:
        """Look every tenth of a second."""
        tick_s = 1 / os.sysconf("SC_CLK_TCK")
        while not self._ended.wait(_POLL_S):
            for task in Path("/proc/self/task").iterdir():
                with contextlib.suppress(OSError):  # it has just ended
                    head, _, rest = (task / "stat").read_text().rpartition(")")
                    name, fields = head.partition("(")[2], rest.split()
                    if name[:3] in _NATIVE:
                        self.cpu_s[int(task.name)] = name, (int(fields[11]) + int(fields[12])) * tick_s
            self.own_s = time.thread_time()

    def end(self) -> None:
        """No more."""
        self._ended.set()
        self.join()
