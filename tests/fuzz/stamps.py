"""Time stamps that jump, stop, run backwards or are missing, through a camera whose time is injected: nothing waits."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import types
from collections.abc import Iterator

from realtime.errors import SourceError, SourceReason
from realtime.runtime.door import Unconverted
from realtime.types import Frame
from tests.capture.rig import RecordingStop, Rig, ScriptedSource, picture

from .mutate import Mutator

PICTURES, SESSIONS = 60, 4
STEP_S = 0.04
BEGAN_MONO_S, BEGAN_UNIX_S = 1000.0, 1.8e9
# The largest stamp that FFmpeg can report, 64 bits of milliseconds, and the latest wall clock, 32 bits of NTP seconds.
LARGEST_S, LARGEST_WALL_S = 2.0**63 / 1000, 2.0**32


class Time(types.SimpleNamespace):
    """Replaces the module `time` in capture: it passes only when a picture arrives."""

    def __init__(self) -> None:
        super().__init__(passed_s=0.0, perf_counter=self.monotonic)

    def monotonic(self) -> float:
        return BEGAN_MONO_S + self.passed_s

    def time(self) -> float:
        return BEGAN_UNIX_S + self.passed_s

    def time_ns(self) -> int:
        return round(self.time() * 1e9)

    def monotonic_ns(self) -> int:
        return round(self.monotonic() * 1e9)

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


@contextlib.contextmanager
def injected() -> Iterator[Time]:
    """Replace the time of all modules of capture."""
    import time

    clock, replaced = Time(), []
    for name, module in list(sys.modules.items()):
        if name.startswith("realtime.capture.") and getattr(module, "time", None) is time:
            module.time = clock
            replaced.append(module)
    try:
        yield clock
    finally:
        for module in replaced:
            module.time = time


class _Live(ScriptedSource):
    """Returns pictures, and lets time pass before each."""

    def __init__(self, clock: Time, mutator: Mutator) -> None:
        super().__init__(live=True, fps=mutator.random.choice((None, 25.0, 0.001, 1000.0)))
        self._clock, self._random = clock, mutator.random
        self._media_s: float | None = self._random.choice((0.0, 1e5, -3.0))
        self._wall_offset_s = self._random.choice((None, 0.0, 0.0, 5.0, -30.0, 1e8))
        self._left = PICTURES

    def read(self):
        self._left -= 1
        if self._left < 0:
            raise SourceError("source: connection lost", SourceReason.LOST)
        self._clock.passed_s += self._random.choice((STEP_S, STEP_S, STEP_S, 0.0, 0.001, 0.5, 10.0))
        media_s = self._stamp()
        wall_s = None if media_s is None or self._wall_offset_s is None else self._clock.time() + self._wall_offset_s
        if wall_s is not None and self._random.random() < 0.05:
            wall_s = self._random.choice((0.0, LARGEST_WALL_S, -1.0))
        fault = self._random.choice((None,) * 20 + ("corrupt", "no time stamp"))
        size = (64, 48) if self._random.random() < 0.97 else (48, 64)
        return picture(media_s, size, fault=fault, wall_s=wall_s)

    def _stamp(self) -> float | None:
        if self._media_s is not None:
            self._media_s += self._random.choice((STEP_S,) * 12 + (0.0, -STEP_S, 1e-9, 3600.0, -3600.0))
        odd = self._random.random()
        if odd < 0.03:
            return None
        if odd < 0.05:
            self._media_s = self._random.choice((LARGEST_S, -LARGEST_S, 0.0, -1e-9, 2.0**33 / 90_000))
        return self._media_s


def play(mutator: Mutator) -> int:
    """Run a camera over several sessions and check its frames. Return how many there were.

    Raises:
        AssertionError: a frame breaks a law of the stream.
        Exception: whatever the camera raised.
    """
    sessions = iter(range(SESSIONS))
    with injected() as clock:
        stop: threading.Event = RecordingStop()

        def opener(config):
            if next(sessions, None) is None:
                stop.set()
                raise SourceError("source: gone", SourceReason.LOST)
            return _Live(clock, mutator)

        frames: list[tuple[Frame, int]] = []
        rig = Rig("rtsp://127.0.0.1:1/cam", opener=opener, stop=stop, door=_Door(frames, clock))
        rig.run()
    last: dict[int, float] = {}
    for frame, arrived_ns in frames:
        assert math.isfinite(frame.time_s), frame.time_s
        assert frame.time_s > last.get(frame.epoch, -math.inf), "time_s doesn't rise within an epoch"
        assert frame.captured_unix_ns <= arrived_ns + 1_000_000, f"captured_ns after the arrival, by {frame.clock}"
        last[frame.epoch] = frame.time_s
    return len(frames)


class _Door:
    """Keeps each frame with the Unix time (ns) at which it came."""

    def __init__(self, frames: list[tuple[Frame, int]], clock: Time) -> None:
        self._frames, self._clock = frames, clock

    def attach(self, camera: str, newest_wins: bool) -> None: ...

    def wait_until_open(self) -> None: ...

    def finish(self, camera: str) -> None: ...

    def put(self, item: Frame | Unconverted) -> None:
        now_ns = self._clock.time_ns()
        if (frame := item if isinstance(item, Frame) else item.frame()) is not None:
            self._frames.append((frame, now_ns))
