"""The CPU time of a run by part of the program: the networks, the rest of each stage, and the hand-offs between them.

`cost` uses this module for its table `share`. While our program runs in this process, the methods of the data
path are wrapped in clocks, and the CPU time of native threads is read from /proc.
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
from realtime.evaluate.speed.runs import Scene

# The methods whose CPU time is measured: part, module, class, method. The time of a method excludes the calls of other
# methods in this table.
PARTS = (
    ("networks", "realtime.models.openvino", "OpenVinoNetwork", "__call__"),
    ("networks", "realtime.models.yolo_torch", "TorchForward", "__call__"),
    ("letterbox, suppression", "realtime.detect.stage", "DetectStage", "_look"),
    ("crops, peaks", "realtime.pose.vitpose", "VitPose", "estimate"),
    ("capture", "realtime.capture.camera", "Camera", "run"),
    ("track", "realtime.track.stage", "TrackStage", "process"),
    ("relink", "realtime.track.relink", "RelinkStage", "process"),
    ("smooth", "realtime.smooth.stage", "SmoothStage", "process"),
    ("publish", "realtime.publish.stage", "PublishStage", "process"),
    ("publish", "realtime.publish.stage", "PublishStage", "tick"),
    ("hand-offs", "threading", "Thread", "run"),
)
MODELS = ("networks", "letterbox, suppression", "crops, peaks")
# Native threads with a known name, by its first three characters. All other native threads compute for the networks.
_NATIVE = {"av:": "capture", "ZMQ": "publish"}
_POLL_S = 0.1


class CpuClock:
    """CPU time by part. The time of a call excludes the timed calls inside it.

    >>> clock = CpuClock()
    >>> timed_sum = clock.timed("sums", sum)
    >>> timed_sum([1, 2, 3])
    6
    >>> list(clock.spent_s), clock.spent_s["sums"] >= 0
    (['sums'], True)

    Attributes:
        spent_s: CPU seconds by part.
    """

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._inside = threading.local()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a clock that adds the CPU time of each call to the part."""

        def call(*args: object, **keywords: object) -> Any:  # noqa: ANN401 - the types of the function
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
        """Time the methods of PARTS inside the `with` block."""
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
    """Run our program once in this process and return the CPU seconds by part. Works on Linux only.

    Raises:
        ConfigError: the system has no /proc.
    """
    from realtime.pipeline import Pipeline

    if not Path("/proc/self/task").is_dir():
        raise ConfigError("cost share: this system has no /proc to read the CPU time of threads from; run it on Linux")
    flags: dict[str, object] = scene.configuration | {"publish.bind": ["tcp://127.0.0.1:*"], "max_frames": scene.frames}
    flags["cameras"] = [{"name": "cam0", "source": scene.video}]
    clock, watch = CpuClock(), _Watch()
    with clock.installed():
        pipeline = Pipeline(load(environment={}, flags=flags))
        clock.spent_s.clear()  # loading the models does not count
        watch.start()
        began_s = time.process_time()
        clock.timed("hand-offs", pipeline.run)()
        total_s = time.process_time() - began_s
        watch.end()
    spent = clock.spent_s
    for name, seconds in watch.cpu_s.values():
        spent[_NATIVE[name[:3]]] += seconds
    # The rest of the process's CPU time belongs to the native threads that compute for the networks.
    spent["networks"] += total_s - watch.own_s - sum(spent.values())
    return {part: spent[part] for part in dict.fromkeys(part for part, *_ in PARTS)}


class _Watch(threading.Thread):
    """A thread that samples the CPU time of the threads in _NATIVE, because they end before the run does.

    Attributes:
        cpu_s: thread number to the thread's name and CPU seconds.
        own_s: CPU seconds of this thread itself.
    """

    def __init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self.cpu_s: dict[int, tuple[str, float]] = {}
        self.own_s = 0.0
        self._ended = threading.Event()

    def run(self) -> None:
        """Read the CPU times every _POLL_S seconds until `end` is called."""
        tick_s = 1 / os.sysconf("SC_CLK_TCK")
        while not self._ended.wait(_POLL_S):
            for task in Path("/proc/self/task").iterdir():
                with contextlib.suppress(OSError):  # the thread has ended
                    head, _, rest = (task / "stat").read_text().rpartition(")")
                    name, fields = head.partition("(")[2], rest.split()
                    if name[:3] in _NATIVE:
                        self.cpu_s[int(task.name)] = name, (int(fields[11]) + int(fields[12])) * tick_s
            self.own_s = time.thread_time()

    def end(self) -> None:
        """Stop the thread."""
        self._ended.set()
        self.join()
