"""The door: where the frames of all cameras enter the pipeline. Past capture, only the door drops frames.

Sits between capture and detection. A live camera's newest frame replaces the waiting one, which is
dropped and counted before any work is spent on it. A file's next frame waits outside. At most
`frames_in_flight` frames of each camera are past the door at a time, which bounds the latency of
published frames. Frames past the door are processed to the end, unless the run fails or its
shutdown times out. Cameras can be added and removed while the door is open.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from realtime.runtime.channel import Closed
from realtime.runtime.unconverted import Unconverted, converted
from realtime.runtime.watch import Unwatched, Waits
from realtime.types import Frame

OnDrop = Callable[[str, str], None]

# Weight of the latest frame in the running estimate of the time from entering to publishing.
_WEIGHT = 0.1


@dataclass
class _Entry:
    newest_wins: bool = False
    waiting: Frame | Unconverted | None = None
    since_s: float = 0.0  # when the waiting frame arrived
    entered_s: deque[float] = field(default_factory=deque)  # entry times of the frames past the door
    usual_s: float = 0.0  # estimated time from entering to leaving
    bringers: int = 1  # threads that put this camera's frames: two while one takes over from another
    barred: bool = False


class Door:
    """Holds at most one waiting frame per camera, and limits each camera's frames in flight.

    Args:
        cameras: names of the cameras.
        frames_in_flight: the window: how many frames of one camera may be past the door at a time.
        max_age_s: a live frame older than this (since capture) is dropped instead of entering.
        on_drop: called with the camera and the cause for each frame that is dropped here.
        held: start with the door closed, until `release_hold`.
        one_at_a_time: `take` returns one frame instead of one frame per camera.
        target_s: a live frame that is expected to be older than this when it is published is dropped.
            Has no effect while frames usually take longer than this from entering to publishing.
        reader: name of the stage that takes the frames.
        waits: receives how long each entering frame waited here; None: the waits are not reported.
        send: called with each frame that enters, on any thread, once its image is converted (`converted`).

    Example:
        >>> import numpy as np
        >>> door = Door(["cam0"], frames_in_flight=2, max_age_s=math.inf)
        >>> door.attach("cam0", newest_wins=True)
        >>> for index in range(3):
        ...     door.put(Frame("cam0", 0, index, np.zeros((2, 2, 3), np.uint8), index / 30, 0, 0))
        >>> [frame.index for frame in door.take()]
        [2]
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
        reader: str = "detect",
        waits: Waits | None = None,
        send: Callable[[Frame], None] | None = None,
    ) -> None:
        self._entries = {camera: _Entry() for camera in cameras}
        self._order = list(cameras)
        self._frames_in_flight = frames_in_flight
        self._max_age_s = max_age_s
        self._on_drop = on_drop
        self._held = held
        self._one_at_a_time = one_at_a_time
        self._target_s = target_s
        self._reader, self._waits = reader, waits or Unwatched()
        self._send = send
        self._not_before_s = 0.0
        self._gate_open = True
        self._stopped = False
        self._took_all = False  # `take` has raised Closed: no more frames are taken
        self._changed = threading.Condition()

    def add(self, camera: str) -> None:
        """Register one more thread that puts frames of this camera. The camera may be new.

        Raises:
            Closed: the run is ending.
        """
        with self._changed:
            if self._stopped or self._took_all:
                raise Closed
            if camera in self._entries:
                self._entries[camera].bringers += 1
            else:
                self._entries[camera] = _Entry()
                self._order.append(camera)

    def evict(self, camera: str) -> None:
        """Refuse frames of this camera until it is attached again, and drop its waiting frame."""
        with self._changed:
            self._entries[camera].barred = True
            self._drop_waiting(camera)
            self._changed.notify_all()

    def attach(self, camera: str, newest_wins: bool) -> None:
        """Set how a camera's frames enter.

        Args:
            camera: name of the camera.
            newest_wins: True for a live camera: its newest frame replaces the waiting one. False for
                a file: each of its frames enters.
        """
        with self._changed:
            self._entries[camera].newest_wins, self._entries[camera].barred = newest_wins, False

    def is_live(self, camera: str) -> bool:
        """Whether this camera's newest frame replaces the waiting one."""
        return self._entries[camera].newest_wins

    def wait_until_open(self) -> None:
        """Block while the door is held. Without this, a file paced as a live camera would lose its first frames.

        Raises:
            Closed: the run is stopping.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._stopped)
            if self._stopped:
                raise Closed

    def put(self, frame: Frame | Unconverted) -> None:
        """Put a frame at the door: replace the waiting frame (newest wins), or block until there is room (file).

        Raises:
            Closed: the run is stopping or the camera is evicted. The frame is dropped.
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
        """Unregister a thread that put frames of this camera. A waiting frame may still enter."""
        with self._changed:
            self._entries[camera].bringers -= 1
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> list[Frame]:
        """Take the waiting frame of each camera whose window has room; block until a frame may enter.

        Args:
            timeout_s: how long to block; None: no limit.

        Returns:
            At most one frame per camera. Empty after the timeout, or if every frame was dropped: it was too old, or
            its image could not be converted.

        Raises:
            Closed: all cameras have finished and no frame waits, or the run is stopping.
        """
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._ready_or_ended(now_s := time.monotonic()) and now_s < end_s:
                # A change notifies this thread. The timeout wakes it at `_not_before_s`, which no
                # change announces.
                wake_s = min(end_s, self._not_before_s if self._not_before_s > now_s else math.inf)
                self._changed.wait(None if wake_s == math.inf else wake_s - now_s)
            if self._has_ended():
                self._took_all = True
                raise Closed
            ready = [camera for camera in self._order if self._is_admitted(self._entries[camera], now_s)]
            ready = ready[:1] if self._one_at_a_time else ready
            # The cameras served now move to the back: with `one_at_a_time`, each gets its turn.
            self._order = [camera for camera in self._order if camera not in ready] + ready
            entered = [frame for camera in ready if (frame := self._enter(camera)) is not None]
            self._changed.notify_all()
        return self._converted(entered)

    def not_before(self, time_s: float) -> None:
        """Let no live frame enter before this moment (monotonic seconds), because it would only wait inside."""
        with self._changed:
            self._not_before_s = time_s
            self._changed.notify_all()

    def let_in(self, may_enter: bool) -> None:
        """Let the frames of all cameras enter, live or not, or make them wait."""
        with self._changed:
            self._gate_open = may_enter
            if may_enter:
                self._changed.notify_all()

    def leave(self, camera: str) -> None:
        """Record that a frame of this camera was published, which makes room in its window."""
        with self._changed:
            entry = self._entries[camera]
            took_s = time.monotonic() - entry.entered_s.popleft()
            entry.usual_s += _WEIGHT * (took_s - entry.usual_s) if entry.usual_s else took_s
            self._changed.notify_all()

    def is_empty(self, camera: str) -> bool:
        """Return whether no frame of this camera waits here or is past the door."""
        with self._changed:
            entry = self._entries[camera]
            return entry.waiting is None and not entry.entered_s

    def release_hold(self) -> None:
        """Open a door that was created with `held`."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def stop(self) -> None:
        """Let no more frames enter. Waiting frames are dropped; frames past the door are still processed."""
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

    def _is_admitted(self, entry: _Entry, now_s: float) -> bool:
        if entry.waiting is None or len(entry.entered_s) >= self._frames_in_flight or self._held or not self._gate_open:
            return False
        return not entry.newest_wins or now_s >= self._not_before_s

    def _has_ended(self) -> bool:
        return self._stopped or all(not e.bringers and e.waiting is None for e in self._entries.values())

    def _ready_or_ended(self, now_s: float) -> bool:
        return self._has_ended() or any(self._is_admitted(entry, now_s) for entry in self._entries.values())

    def _converted(self, entered: Sequence[Frame | Unconverted]) -> list[Frame]:
        """Convert the images of frames that entered last. If that fails, their places are free again."""
        frames = converted(entered, self._send)
        failed = [each.camera for each, frame in zip(entered, frames, strict=True) if frame is None]
        if failed:
            with self._changed:
                for camera in failed:  # a place that was freed meanwhile was that of an older frame
                    self._entries[camera].entered_s.pop()
                self._changed.notify_all()
        return [frame for frame in frames if frame is not None]

    def _is_too_old(self, frame: Frame | Unconverted, entry: _Entry) -> bool:
        age_s = (time.monotonic_ns() - frame.captured_mono_ns) / 1e9
        if self._target_s is not None and entry.usual_s < self._target_s < age_s + entry.usual_s:
            return True
        return age_s > self._max_age_s

    def _enter(self, camera: str) -> Frame | Unconverted | None:
        entry = self._entries[camera]
        frame, entry.waiting = entry.waiting, None
        assert frame is not None
        if entry.newest_wins and self._is_too_old(frame, entry):
            self._on_drop(camera, "too old")
            return None
        entry.entered_s.append(time.monotonic())
        self._waits.waited(self._reader, entry.entered_s[-1] - entry.since_s)
        if entry.newest_wins or not isinstance(frame, Frame):
            return frame
        # A file's frames are read ahead. They count as captured now, so that latency excludes the wait.
        return replace(frame, captured_mono_ns=time.monotonic_ns(), captured_unix_ns=time.time_ns())
