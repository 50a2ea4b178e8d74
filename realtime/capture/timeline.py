"""The epochs and the time line of one camera, and the pacing of files by it.

Used by capture.camera: Picture -> Frame.epoch and Frame.time_s.
"""

from __future__ import annotations

import threading
import time

# A time stamp that stands still or slips back a little is moved on by this, so that intervals stay positive.
NUDGE_S = 0.001
# One that jumps back further is a new beginning (recordings joined in one file, a camera that set its clock).
JUMP_S = 0.5
# For a file that has neither time stamps nor a rate.
DEFAULT_FPS = 30.0


class Timeline:
    """Gives every picture its epoch and a time that strictly increases within the epoch."""

    def __init__(self) -> None:
        self._epoch = -1
        self._opened_s = 0.0
        self._last_s: float | None = None
        self._size: tuple[int, int] | None = None
        self._interval_s: float | None = None

    def reopened(self, now_s: float, live: bool, fps: float | None) -> None:
        """The source was opened: a new epoch.

        Args:
            now_s: monotonic seconds.
            live: whether a picture without a time stamp is timed by its arrival; else it follows at the nominal rate.
            fps: nominal pictures per second.
        """
        self._epoch += 1
        self._opened_s, self._last_s, self._size = now_s, None, None
        self._interval_s = None if live else 1.0 / (fps or DEFAULT_FPS)

    def place(self, size: tuple[int, int], media_s: float | None, now_s: float) -> tuple[int, float]:
        """The epoch and the time of the next picture.

        Args:
            size: its width and height; another than before begins a new epoch, its time goes on.
            media_s: its own time stamp in seconds.
            now_s: its arrival, monotonic seconds.

        Returns:
            epoch, from 0, and time in seconds.
        """
        last_s = self._last_s
        if media_s is not None:
            time_s = media_s
        elif self._interval_s is None:
            time_s = now_s - self._opened_s
        else:
            time_s = 0.0 if last_s is None else last_s + self._interval_s
        if self._size not in (None, size) or (last_s is not None and time_s < last_s - JUMP_S):
            self._epoch += 1
        if last_s is not None and last_s - JUMP_S <= time_s <= last_s:
            time_s = last_s + NUDGE_S
        self._last_s, self._size = time_s, size
        return self._epoch, time_s


class Pacer:
    """Holds the pictures of a file back until they are due, as a live camera would give them."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._offset_s = 0.0
        self._last_s: float | None = None

    def wait(self, time_s: float, fps: float | None) -> bool:
        """Wait until this picture is due; at once when it is late.

        Args:
            time_s: its time; one that is not later than the last begins anew (the file looped).
            fps: nominal pictures per second: how long the last picture before a new beginning is shown.

        Returns:
            False when the run is stopping.
        """
        now_s = time.monotonic()
        if self._last_s is None:
            self._offset_s = now_s - time_s
        elif time_s <= self._last_s:
            shown_until_s = self._offset_s + self._last_s + 1.0 / (fps or DEFAULT_FPS)
            self._offset_s = max(now_s, shown_until_s) - time_s
        self._last_s = time_s
        return not self._stop.wait(max(0.0, self._offset_s + time_s - now_s))
