"""The epochs and the timeline of one camera; the pacing of files and the rate limit of cameras along that timeline.

Used by capture.camera: Picture -> Frame.epoch and Frame.time_s.
"""

from __future__ import annotations

import logging
import math
import statistics
import threading
import time
from collections import deque

log = logging.getLogger(__name__)

# A timestamp that goes back by at most JUMP_S is replaced by the previous time plus this, so that intervals stay
# positive. If that of a live source repeats, the time between the arrivals is added instead.
NUDGE_S = 0.001
# A timestamp that goes back further starts a new epoch (recordings joined in one file, a camera that set its clock).
JUMP_S = 0.5
# A timestamp further from zero (s) than this, 300 years, is damaged and counts as missing. Near the end of a float's
# precision, adding NUDGE_S would have no effect.
FURTHEST_S = 1e10
# Assumed rate of a file that has neither timestamps nor a rate.
DEFAULT_FPS = 30.0
# A longer step (s) between the frames of a file is no pause but a gap, as between recordings that were joined; but not
# if it is at most _USUAL times the nominal one, as in a time lapse.
GAP_S = 10.0
_USUAL = 1.5
# The length of the frame before a gap is the median of this many steps, about one second of video.
_STEPS = 25
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
        self._last_stamp_s = self._arrived_s = 0.0  # the timestamp and the arrival of the last frame
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
            stamp_s = media_s
        elif self._interval_s is None:
            stamp_s = now_s - self._opened_s
        else:
            stamp_s = 0.0 if last_s is None else last_s + self._interval_s
        # Compared with the last timestamp, since the time may be ahead of it.
        has_jumped = last_s is not None and stamp_s < self._last_stamp_s - JUMP_S
        if self._size not in (None, size) or has_jumped:
            self._epoch += 1
        time_s = stamp_s
        if last_s is not None and not has_jumped and stamp_s <= last_s:
            time_s = last_s + max(NUDGE_S, self._live_step_s(stamp_s - self._last_stamp_s, now_s - self._arrived_s))
        self._last_s, self._last_stamp_s = time_s, stamp_s
        self._arrived_s, self._size = now_s, size
        return self._epoch, time_s

    def _live_step_s(self, stamp_step_s: float, arrival_step_s: float) -> float:
        """Return the step (s) of a live frame whose timestamp repeats, or hasn't caught up since it did; else 0."""
        if self._interval_s is not None or stamp_step_s < 0:
            return 0.0
        return min(arrival_step_s, stamp_step_s or math.inf)


class Pacer:
    """Holds back each frame of a file until it is due, so that the file plays like a live camera.

    A step of more than GAP_S is not waited for, unless the declared rate is as low.

    Args:
        stop: ends a wait when it is set.
        camera: the camera's name, for the log.
    """

    def __init__(self, stop: threading.Event, camera: str) -> None:
        self._stop, self._camera = stop, camera
        self._offset_s = 0.0
        self._last_s: float | None = None
        self._steps_s: deque[float] = deque(maxlen=_STEPS)
        self._has_told = False

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
        else:
            self._offset_s -= self._skipped_s(time_s - self._last_s, fps)
        self._last_s = time_s
        return not self._stop.wait(max(0.0, self._offset_s + time_s - now_s))

    def _skipped_s(self, step_s: float, fps: float | None) -> float:
        """Return by how much (s) a step is shortened."""
        nominal_s = 1.0 / fps if fps else 0.0
        if step_s <= max(GAP_S, _USUAL * nominal_s):
            self._steps_s.append(step_s)
            return 0.0
        # The declared rate may be an average over the gap, so a measured one is better.
        usual_s = statistics.median(self._steps_s) if self._steps_s else nominal_s
        usual_s = usual_s if 0 < usual_s <= GAP_S else 1.0 / DEFAULT_FPS
        if not self._has_told:
            self._has_told = True
            text = "%s: the timestamps jump by %.0f s; playing on without this gap, and any other"
            log.info(text, self._camera, step_s, extra={"camera": self._camera})
        return step_s - usual_s


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
