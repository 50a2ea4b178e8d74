"""Runs the real pipeline with a subscriber and measures from outside which messages arrive, when, and how old they are.

The age of a message is the time from the moment the camera sent its frame, known by the number drawn into it, to the
moment the subscriber received the message. It does not rely on the program's clocks or timestamps.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from realtime.config import load
from realtime.detect.stage import DetectStage
from realtime.pipeline import Pipeline
from tests.screen import Terminal

from .marks import Clock, index_of

# Fast settings, because the run is tested and not the models.
QUICK = {"detector.size": "160", "pose.model": "none"}
ROOT = Path(__file__).parents[2]
# Default timeout for an expected event. Starting the program takes seconds, or many seconds on a busy machine.
PATIENCE_S = 60.0
_endpoints = itertools.count()


@dataclass(frozen=True)
class Told:
    """A message that the subscriber received, and when (time.monotonic())."""

    at_s: float
    topic: str
    body: dict[str, Any]


class Subscriber:
    """A plain ZeroMQ subscriber of all topics, on its own thread for the duration of a `with` block.

    Args:
        endpoint: the endpoint to connect to. The publisher may start later.
        keeps_bodies: keep whole pose messages. If False, only their arrival time and epoch are kept.
    """

    def __init__(self, endpoint: str, keeps_bodies: bool = True) -> None:
        self._endpoint, self._keeps_bodies = endpoint, keeps_bodies
        self.told: list[Told] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="subscriber", daemon=True)

    def __enter__(self) -> Subscriber:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def of(self, kind: str, camera: str = "cam0", since_s: float = 0.0) -> list[Told]:
        """Return the messages of a kind (pose, status, info) that arrived at `since_s` or later."""
        topic = f"{kind}/{camera}"
        late = itertools.takewhile(lambda told: told.at_s >= since_s, reversed(self.told.copy()))
        return [told for told in late if told.topic == topic][::-1]

    def _listen(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.linger, socket.rcvtimeo, socket.rcvhwm = 0, 50, 0
            socket.subscribe(b"")
            socket.connect(self._endpoint)
            while not self._over.is_set():
                try:
                    topic, payload = socket.recv_multipart()
                except zmq.Again:
                    continue
                is_kept = self._keeps_bodies or not topic.startswith(b"pose/")
                body = msgpack.unpackb(payload)
                body = body if is_kept else {"epoch": body["epoch"]}
                self.told.append(Told(time.monotonic(), topic.decode().rstrip("/"), body))


class Waiting:
    """Methods that wait for messages of `subscriber`."""

    subscriber: Subscriber

    def check(self) -> None:
        """Raise if the awaited event can no longer happen."""

    def until(self, condition: Callable[[], object], timeout_s: float = PATIENCE_S, what: object = "") -> float:
        """Wait until `condition` is true and return the time, by time.monotonic()."""
        end_s = time.monotonic() + timeout_s
        while not condition():
            self.check()
            assert time.monotonic() < end_s, f"timed out waiting for: {what}"
            time.sleep(0.002)
        return time.monotonic()

    def run_for(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end_s, seconds + 5)

    @property
    def told(self) -> list[Told]:
        return self.subscriber.told

    def poses(self, camera: str = "cam0", since_s: float = 0.0) -> list[Told]:
        return self.subscriber.of("pose", camera, since_s)

    def states(self, camera: str = "cam0", since_s: float = 0.0) -> list[Told]:
        return self.subscriber.of("status", camera, since_s)

    def until_pose(self, camera: str = "cam0", since_s: float = 0.0, timeout_s: float = PATIENCE_S) -> Told:
        """Wait for the first pose message at or after `since_s` and return it."""
        self.until(lambda: self.poses(camera, since_s), timeout_s, f"a pose of {camera}")
        return self.poses(camera, since_s)[0]

    def until_state(
        self, state: str, camera: str = "cam0", since_s: float = 0.0, timeout_s: float = PATIENCE_S
    ) -> Told:
        """Wait for the first status message at or after `since_s` with this state and return it."""

        def found() -> list[Told]:
            return [told for told in self.states(camera, since_s) if told.body["state"] == state]

        self.until(found, timeout_s, f"{camera} to be {state}")
        return found()[0]

    def fps(self, camera: str = "cam0", since_s: float = 0.0, until_s: float = math.inf) -> float:
        at_s = [told.at_s for told in self.poses(camera, since_s) if told.at_s <= until_s]
        return (len(at_s) - 1) / (at_s[-1] - at_s[0])


class Program(Waiting):
    """The program in its own process, for the duration of a `with` block, with its log and its messages.

    Args:
        arguments: command line arguments in addition to those for fast models.
        folder: folder for its socket.
        endpoint: endpoint to publish on. Empty uses a socket in `folder`.
        keeps_bodies: keep whole pose messages. If False, only their arrival time and epoch are kept.
        terminal: its standard error; None: a pipe, which is read to `log`.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        endpoint: str = "",
        keeps_bodies: bool = True,
        terminal: Terminal | None = None,
    ) -> None:
        self.endpoint = endpoint or f"ipc://{folder}/stream{next(_endpoints)}"
        quick = [word for key, value in QUICK.items() for word in (f"--{key}", value)]
        self._command = [sys.executable, "run_realtime.py", *quick, "--publish.bind", self.endpoint, *arguments]
        self.subscriber = Subscriber(self.endpoint, keeps_bodies)
        self.log: list[str] = []
        self._ends = False  # True once the program should exit
        self._terminal = terminal

    def __enter__(self) -> Program:
        self.subscriber.__enter__()
        stderr = self._terminal.descriptor if self._terminal else subprocess.PIPE
        self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=stderr, text=True)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        if self.process.stderr:
            self.process.stderr.close()
        self.subscriber.__exit__()

    def check(self) -> None:
        assert self._ends or self.process.poll() is None, "".join(self.log)

    def until_logged(self, text: str) -> None:
        self.until(lambda: any(text in line for line in self.log), what=text)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds until exit. The last messages may still be in transit."""
        self._ends = True
        self.process.send_signal(number)
        began_s = time.monotonic()
        code = self.process.wait(30)
        took_s = time.monotonic() - began_s
        self._reader.join(10)
        return code, took_s

    def resident_mb(self) -> float:
        return _resident_mb(self.process.pid)

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self.log.append(line)


class Run(Waiting):
    """The pipeline on threads of this process, with a subscriber of all messages, for the duration of a `with` block.

    Args:
        sources: by camera name: a source, or all keys of the camera.
        folder: folder for its socket.
        flags: further configuration keys, with "__" for ".".
    """

    def __init__(self, sources: Mapping[str, str | dict[str, object]], folder: Path, **flags: object) -> None:
        self.endpoint = f"ipc://{folder}/stream{next(_endpoints)}"
        entries = [{"name": n, **(s if isinstance(s, dict) else {"source": s})} for n, s in sources.items()]
        keys = {key.replace("__", "."): value for key, value in flags.items()}
        self.config = load(environment={}, flags=QUICK | {"cameras": entries, "publish.bind": [self.endpoint]} | keys)
        self.seen: dict[tuple[str, int], tuple[int | None, float]] = {}  # (camera, frame) -> mark, time.monotonic()
        self.sizes: dict[tuple[str, int], tuple[int, int]] = {}
        self.error: BaseException | None = None
        self.subscriber = Subscriber(self.endpoint)

    def __enter__(self) -> Run:
        self._patch = pytest.MonkeyPatch()
        look = DetectStage._look

        def look_at_marks(stage: DetectStage, batch: list[Any]) -> Any:
            for frame in batch:
                key = (frame.camera, frame.index)
                self.seen[key], self.sizes[key] = (index_of(frame.image), time.monotonic()), frame.size
            return look(stage, batch)

        self._patch.setattr(DetectStage, "_look", look_at_marks)
        self.pipeline = Pipeline(self.config)
        self.subscriber.__enter__()
        self.began_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="run", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.pipeline.stop()
        self._thread.join(30)
        time.sleep(0.2)
        self.subscriber.__exit__()
        self._patch.undo()
        if kind is None and self.error is not None:
            raise self.error
        if kind is None:
            for camera, status in self.pipeline.status.items():
                assert status.captured == status.published + sum(status.drops.values()), camera
                for told in self.states(camera):
                    assert told.body["dropped"] == sum(told.body["drops"].values()), told

    def _run(self) -> None:
        try:
            self.pipeline.run()
        except BaseException as error:  # raised again at the end of the test
            self.error = error

    def check(self) -> None:
        assert self.error is None, self.error

    def ages_s(self, clock: Clock, camera: str = "cam0", since_s: float = 0.0) -> np.ndarray:
        """Return the age of each pose message on arrival in seconds; NaN if the number in its frame can't be read."""
        ages = []
        for told in self.poses(camera, since_s):
            index, seen_s = self.seen[camera, told.body["frame"]]
            ages.append(np.nan if index is None else told.at_s - clock.left_mono_s(clock.number(index, seen_s)))
        return np.array(ages)


def cpu_s(thread_name: str) -> float:
    """Return the CPU time in seconds that the thread with this name has used. Linux only."""
    thread = next(thread for thread in threading.enumerate() if thread.name == thread_name)
    fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(process: int) -> float:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Log(logging.Handler):
    """Collects the log records of all libraries at debug level, without our formatter and its redaction."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((time.monotonic(), f"{record.levelname} {record.getMessage()}"))

    def of(self, text: str) -> list[float]:
        """Return the times of the lines that contain this text."""
        return [at_s for at_s, line in self.lines if text in line]
