"""The epochs and the timeline of one camera; the pacing of files and the rate limit of cameras along that timeline.

Used by capture.camera: Picture -> Frame.epoch and Frame.time_s.
"""

from __future__ import annotations

import math
import threading
import time

# A timestamp that repeats or goes back by at most JUMP_S is replaced by the previous time plus this, so that intervals
# stay positive.
NUDGE_S = 0.001
# A timestamp that goes back further starts a new epoch (recordings joined in one file, a camera that set its clock).
JUMP_S = 0.5
# A timestamp further from zero (s) than this, 300 years, is damaged and counts as missing. Near the end of a float's
# precision, adding NUDGE_S would have no effect.
FURTHEST_S = 1e10
# Assumed rate of a file that has neither timestamps nor a rate.
DEFAULT_FPS = 30.0
# A frame may come early by this fraction of the `target_fps` interval. Without it, jitter would lower the rate.
EARLY = 0.1


class Timeline:
    """Assigns each frame an epoch, and a time that strictly increases within the epoch.

    >>> timeline = Timeline()
    >>> timeline.reopened(now_s=100.0, live=False, fps=25.0)
    >>> timeline.place((640, 480), media_s=5.0, now_s=100.1)
    (0, 5.0)
    >>> timeline.place((640, 480), media_s=0.0, now_s=100.2)  # the timestamps jumped back
    (1, 0.0)
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._opened_s = 0.0
        self._last_s: float | None = None
        self._size: tuple[int, int] | None = None
        self._interval_s: float | None = None

    def reopened(self, now_s: float, live: bool, fps: float | None) -> None:
        """Start a new epoch, because the source was opened.

        Args:
            now_s: when the source was opened, monotonic seconds.
            live: True to time frames without a timestamp by their arrival, False to space them at the nominal rate.
            fps: nominal frames per second; None if unknown.
        """
        self._epoch += 1
        self._opened_s, self._last_s, self._size = now_s, None, None
        self._interval_s = None if live else 1.0 / (fps or DEFAULT_FPS)

    def place(self, size: tuple[int, int], media_s: float | None, now_s: float) -> tuple[int, float]:
        """Return the epoch and the time of the next frame.

        Args:
            size: width and height of the frame. A change starts a new epoch, but the time continues.
            media_s: the frame's own timestamp in seconds; None if it has none.
            now_s: arrival of the frame, monotonic seconds.

        Returns:
            The epoch, from 0, and the time in seconds.
        """
        last_s = self._last_s
        if media_s is not None and abs(media_s) <= FURTHEST_S:
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
    """Holds back each frame of a file until it is due, so that the file plays like a live camera.

    Args:
        stop: ends a wait when it is set.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._offset_s = 0.0
        self._last_s: float | None = None

    def wait(self, time_s: float, fps: float | None) -> bool:
        """Wait until this frame is due. A late frame doesn't wait.

        Args:
            time_s: the frame's time. If it isn't later than the previous one, the file looped and pacing starts over.
            fps: nominal frames per second, which sets how long the last frame of a loop is shown.

        Returns:
            False if the run is stopping, otherwise True.
        """
        now_s = time.monotonic()
        if self._last_s is None:
            self._offset_s = now_s - time_s
        elif time_s <= self._last_s:
            shown_until_s = self._offset_s + self._last_s + 1.0 / (fps or DEFAULT_FPS)
            self._offset_s = max(now_s, shown_until_s) - time_s
        self._last_s = time_s
        return not self._stop.wait(max(0.0, self._offset_s + time_s - now_s))


# `Playout` never releases frames faster than their timestamps, with one exception: if all frames of the last WINDOW_S
# (s) had arrived more than SPARE_S (s) before they were due, as after an interruption, the following frames are
# released faster by the fraction CATCH_UP until the excess is used up.
WINDOW_S = 20.0
SPARE_S = 0.25
CATCH_UP = 0.1
# A longer step (s) between timestamps is no pause but a new timeline. HLS segments are rarely longer than 10 s.
LONGEST_STEP_S = 12.0


class Playout:
    """Decides when the frames of a live stream that arrives seconds at a time (HLS) are due.

    A late frame delays all later ones, so that frames are released evenly from then on.

    >>> playout = Playout()
    >>> [playout.due_s(media_s, ready_s=100.0, now_s=100.0) for media_s in (7.0, 7.5, 8.0)]
    [100.0, 100.5, 101.0]
    >>> [playout.due_s(media_s, ready_s=102.0, now_s=102.0) for media_s in (8.5, 9.0)]  # half a second late
    [102.0, 102.5]
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None  # timestamp of the last frame, and when it was due
        self._continues = False
        self._window_s = 0.0  # the time that the timestamps in this window span
        self._least_spare_s = math.inf  # the least time by which a frame in this window arrived before it was due
        self._ahead_s = 0.0  # how much sooner the following frames are to be released in all

    def restart(self) -> None:
        """Release the next frame at once: its timestamp doesn't continue the last one."""
        self._continues = False

    def due_s(self, media_s: float, ready_s: float, now_s: float) -> float:
        """Return when to release the next frame, monotonic seconds, at least `now_s`.

        Args:
            media_s: its timestamp in seconds.
            ready_s: when it could have been released at the earliest, monotonic seconds.
            now_s: the time, monotonic seconds.
        """
        last, continues, self._continues = self._last, self._continues, True
        step_s = media_s - last[0] if last is not None else 0.0
        if last is None or not continues or not 0 <= step_s <= LONGEST_STEP_S:
            due_s = now_s if last is None else max(now_s, last[1])
            self._start_window()
        else:
            sooner_s = min(self._ahead_s, CATCH_UP * step_s)
            self._ahead_s -= sooner_s
            due_s = max(now_s, last[1] + step_s - sooner_s)
            self._watch(step_s, due_s - ready_s)
        self._last = media_s, due_s
        return due_s

    def _watch(self, step_s: float, spare_s: float) -> None:
        self._window_s += step_s
        self._least_spare_s = min(self._least_spare_s, spare_s)
        if self._window_s >= WINDOW_S:
            self._ahead_s = max(0.0, self._least_spare_s - SPARE_S)
            self._start_window()

    def _start_window(self) -> None:
        self._window_s, self._least_spare_s = 0.0, math.inf


class RateLimit:
    """Limits the rate of a live camera (`target_fps`), along the camera's own timeline.

    >>> limit = RateLimit(target_fps=10.0)
    >>> [limit.admits(epoch=0, time_s=k / 25) for k in range(6)]
    [True, False, False, True, False, True]

    Args:
        target_fps: admit at most this many frames per second; None: all frames.
    """

    def __init__(self, target_fps: float | None) -> None:
        self._interval_s = None if target_fps is None else 1.0 / target_fps
        self._epoch, self._next_due_s = -1, 0.0

    def admits(self, epoch: int, time_s: float) -> bool:
        """Whether the frame at this time may pass. The first frame of an epoch always does."""
        if self._interval_s is None:
            return True
        if epoch != self._epoch:
            self._epoch, self._next_due_s = epoch, time_s
        if time_s < self._next_due_s - EARLY * self._interval_s:
            return False
        is_late = time_s - self._next_due_s >= self._interval_s  # after a gap, don't catch up
        self._next_due_s = (time_s if is_late else self._next_due_s) + self._interval_s
        return True
