"""The door: where frames of all cameras enter the pipeline, and the only place where they are dropped.

Sits between capture and detection. A live camera's newest frame replaces the one that waits, which is dropped and
counted before any work was spent on it; a file's next frame waits outside. At most `frames_in_flight` frames of one
camera are past the door at a time, which bounds the age of what is published; what is past it is always finished.
Cameras may come and go while it is open.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from realtime.runtime.channel import Closed
from realtime.types import Frame

OnDrop = Callable[[str, str], None]

# How much a frame's time behind the door counts for the estimate of the next one's.
_WEIGHT = 0.1


@dataclass
class _Entry:
    newest_wins: bool = False
    waiting: Frame | None = None
    since_s: float = 0.0  # when that one came
    entered_s: deque[float] = field(default_factory=deque)  # of those past the door
    usual_s: float = 0.0  # from entering to leaving
    bringers: int = 1  # threads that bring this camera's frames: two while one takes over from another
    barred: bool = False


class Door:
    """One waiting place per camera and one window of frames in flight per camera.

    Args:
        cameras: their names.
        frames_in_flight: the window.
        max_age_s: a live frame older than this (since capture) is not begun.
        on_drop: called with camera and cause for each frame dropped here.
        waited: told for how many seconds each frame that enters waited here.
        held: begin with the door shut, until `release_hold`.
        one_at_a_time: `take` gives one frame, not one of every camera.
        target_s: a live frame that would be older than this when it is published is not begun, unless none could be
            younger.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        frames_in_flight: int,
        max_age_s: float,
        on_drop: OnDrop = lambda camera, cause: None,
        held: bool = False,
        one_at_a_time: bool = False,
        target_s: float | None = None,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._entries = {camera: _Entry() for camera in cameras}
        self._order = list(cameras)
        self._frames_in_flight = frames_in_flight
        self._max_age_s = max_age_s
        self._on_drop = on_drop
        self._held = held
        self._one_at_a_time = one_at_a_time
        self._target_s = target_s
        self._waited = waited
        self._not_before_s = 0.0
        self._may_enter_now = True
        self._stopped = False
        self._is_over = False  # `take` said so: nobody comes for frames any more
        self._changed = threading.Condition()

    def add(self, camera: str) -> None:
        """One more thread brings frames of this camera, which may be a new one.

        Raises:
            Closed: the run is ending.
        """
        with self._changed:
            if self._stopped or self._is_over:
                raise Closed
            if camera in self._entries:
                self._entries[camera].bringers += 1
            else:
                self._entries[camera] = _Entry()
                self._order.append(camera)

    def evict(self, camera: str) -> None:
        """Let no more frames of this camera in until it is attached again; the one that waits is dropped."""
        with self._changed:
            self._entries[camera].barred = True
            self._drop_waiting(camera)
            self._changed.notify_all()

    def attach(self, camera: str, newest_wins: bool) -> None:
        """Say how a camera's frames are taken in: newest wins (live), or each one waits its turn (file)."""
        with self._changed:
            self._entries[camera].newest_wins, self._entries[camera].barred = newest_wins, False

    def is_live(self, camera: str) -> bool:
        """Whether this camera's newest frame wins."""
        return self._entries[camera].newest_wins

    def wait_until_open(self) -> None:
        """Block while the door is held shut, so that a file's first frame is not lost.

        Raises:
            Closed: the run is stopping.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._stopped)
            if self._stopped:
                raise Closed

    def put(self, frame: Frame) -> None:
        """Bring a frame to the door: replaces a waiting one (newest wins) or waits until there is room.

        Raises:
            Closed: the run is stopping, or the camera was evicted; this frame does not enter.
        """
        entry = self._entries[frame.camera]
        with self._changed:
            if not entry.newest_wins:
                self._changed.wait_for(lambda: entry.waiting is None or self._stopped or entry.barred)
            if self._stopped or entry.barred:
                self._on_drop(frame.camera, "stopping")
                raise Closed
            if entry.waiting is not None:
                self._on_drop(frame.camera, "newer frame")
            entry.waiting, entry.since_s = frame, time.monotonic()
            self._changed.notify_all()

    def finish(self, camera: str) -> None:
        """One thread less brings frames of this camera; the one that waits still enters."""
        with self._changed:
            self._entries[camera].bringers -= 1
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> list[Frame]:
        """The waiting frame of every camera whose window has room; wait for the first. Empty after `timeout_s`.

        Raises:
            Closed: all cameras finished and all waiting frames were taken, or the run is stopping.
        """
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._ready_or_over(now_s := time.monotonic()) and now_s < end_s:
                # Woken by what changes, and by the hour when nothing does.
                wake_s = min(end_s, self._not_before_s if self._not_before_s > now_s else math.inf)
                self._changed.wait(None if wake_s == math.inf else wake_s - now_s)
            if self._over():
                self._is_over = True
                raise Closed
            ready = [camera for camera in self._order if self._may_enter(self._entries[camera], now_s)]
            ready = ready[:1] if self._one_at_a_time else ready
            # Whoever was served now is asked last next time: nobody starves when a stage limits its batch.
            self._order = [camera for camera in self._order if camera not in ready] + ready
            frames = [frame for camera in ready if (frame := self._enter(camera)) is not None]
            self._changed.notify_all()
            return frames

    def not_before(self, time_s: float) -> None:
        """Let no live frame enter before that moment (monotonic seconds); it would only wait behind the door."""
        with self._changed:
            self._not_before_s = time_s
            self._changed.notify_all()

    def let_in(self, may_enter: bool) -> None:
        """Let frames in, live or not, or let them wait."""
        with self._changed:
            self._may_enter_now = may_enter
            if may_enter:
                self._changed.notify_all()

    def leave(self, camera: str) -> None:
        """A frame of this camera was published: its place in the window is free."""
        with self._changed:
            entry = self._entries[camera]
            took_s = time.monotonic() - entry.entered_s.popleft()
            entry.usual_s += _WEIGHT * (took_s - entry.usual_s) if entry.usual_s else took_s
            self._changed.notify_all()

    def release_hold(self) -> None:
        """Open a door that was built held."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nothing more in. Waiting frames are dropped; those past the door go on."""
        with self._changed:
            if self._stopped:
                return
            self._stopped = True
            for camera in self._entries:
                self._drop_waiting(camera)
            self._changed.notify_all()

    def _drop_waiting(self, camera: str) -> None:
        if self._entries[camera].waiting is not None:
            self._entries[camera].waiting = None
            self._on_drop(camera, "stopping")

    def _may_enter(self, entry: _Entry, now_s: float) -> bool:
        if (
            entry.waiting is None
            or len(entry.entered_s) >= self._frames_in_flight
            or self._held
            or not self._may_enter_now
        ):
            return False
        return not entry.newest_wins or now_s >= self._not_before_s

    def _over(self) -> bool:
        return self._stopped or all(not e.bringers and e.waiting is None for e in self._entries.values())

    def _ready_or_over(self, now_s: float) -> bool:
        return self._over() or any(self._may_enter(entry, now_s) for entry in self._entries.values())

    def _is_too_old(self, frame: Frame, entry: _Entry) -> bool:
        age_s = (time.monotonic_ns() - frame.captured_mono_ns) / 1e9
        if self._target_s is not None and entry.usual_s < self._target_s < age_s + entry.usual_s:
            return True
        return age_s > self._max_age_s

    def _enter(self, camera: str) -> Frame | None:
        entry = self._entries[camera]
        frame, entry.waiting = entry.waiting, None
        assert frame is not None
        if entry.newest_wins and self._is_too_old(frame, entry):
            self._on_drop(camera, "too old")
            return None
        entry.entered_s.append(time.monotonic())
        self._waited(entry.entered_s[-1] - entry.since_s)
        if entry.newest_wins:
            return frame
        # A file's frame was in the file for years: it is taken now, not when it was read ahead.
        return replace(frame, captured_mono_ns=time.monotonic_ns(), captured_unix_ns=time.time_ns())
