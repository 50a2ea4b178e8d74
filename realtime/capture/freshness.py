"""How late a live frame is, measured by its timestamp against its arrival.

Used by capture.camera: Picture -> time of capture. A frame that was held back on its way (in the camera, the network or
a decoder) arrives late relative to its own timestamp. Judged by its arrival alone, it would pass for fresh.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

# Let the best-case delay grow by this much (s) per second of video, so that a camera clock up to 2 % slow is not
# mistaken for lag. Some camera clocks are slow by 0.1 % (30 fps in the timestamps, 29.97 sent), some by more.
DRIFT = 0.02
# After it is opened, a camera first sends the frames that it has stored, one or two groups of pictures, and the network
# may hold more. They arrive faster than they were taken. The backlog is over once SETTLING frames in a row have arrived
# over at least the fraction WAITED of the time that their timestamps span. One hiccup in the burst doesn't end it,
# because a gap counts for at most PAUSE times the step between the timestamps.
SETTLING = 5
WAITED = 0.9
PAUSE = 1.5
# While a backlog shrinks, the delay falls. A frame that is this much (s) less delayed than those before it shows that
# the backlog wasn't over.
FRESHER_S = 0.1
# A camera that still sends frames quickly after START_S without such a frame is assumed to send live frames in bursts
# too. One that isn't settled after LONGEST_START_S is assumed to have fast timestamps. Gaps longer than HICCUP_S don't
# count in full, because a busy machine may read nothing for seconds.
START_S = 3.0
LONGEST_START_S = 10.0
HICCUP_S = 0.5
# A camera whose frames stay more than BEHIND_S late for PATIENCE_S doesn't catch up by itself and is reopened.
BEHIND_S = 0.5
PATIENCE_S = 5.0
# A camera that has fallen behind this many times, although it was reopened each time, is assumed to have a slow clock.
# From then on, its frames are timed by their arrival.
MOST_OPENINGS = 3
# A camera that kept up for this long does not have a slow clock: the network caused the lag, and the count is reset.
WELL_S = 600.0

Verdict = Literal["fresh", "stored", "behind"]


class Freshness:
    """Judges the frames of one live camera, across reconnections."""

    def __init__(self) -> None:
        self._openings_behind = 0
        self._opened_s = 0.0
        self._last: tuple[float, float] | None = None  # timestamp and arrival of the last frame
        self._quickest_s = 0.0  # the smallest arrival - timestamp
        self._lag_s = 0.0  # of the last frame
        self._start = _Start(0.0)
        self._behind_since_s: float | None = None

    @property
    def trusts_stamps(self) -> bool:
        """False once the camera's clock has proved to be slow."""
        return self._openings_behind < MOST_OPENINGS

    def reopened(self, now_s: float) -> None:
        """Start over with new timestamps, because the camera was opened at `now_s` (monotonic seconds)."""
        self._opened_s = now_s
        self._last, self._behind_since_s = None, None

    def judge(self, media_s: float | None, now_s: float) -> tuple[float, Verdict]:
        """Return when a frame was captured, and a verdict on it.

        Args:
            media_s: the frame's own timestamp in seconds; None if it has none.
            now_s: arrival, monotonic seconds.

        Returns:
            The time of capture in monotonic seconds: when the frame would have arrived without being held back, at most
            `now_s`. The verdict is "stored" for the first frames after the camera was opened, until they arrive as
            slowly as they were taken, "behind" if the camera doesn't catch up and should be reopened, and "fresh"
            otherwise. Until the backlog is over, no frame shows how long one takes that isn't held back, so the time of
            a stored frame may be too late; it is dropped.
        """
        if media_s is None or not self.trusts_stamps:
            return now_s, "fresh"
        last, self._last = self._last, (media_s, now_s)
        offset_s = now_s - media_s
        if last is None:
            self._quickest_s, self._lag_s, self._start = offset_s, 0.0, _Start(offset_s)
            return now_s, "stored"
        step_s, gap_s = media_s - last[0], now_s - last[1]
        if step_s < 0:  # no delay makes timestamps decrease, so the camera set its clock back; keep the lag
            self._quickest_s = offset_s - self._lag_s
        self._quickest_s = min(self._quickest_s + DRIFT * max(0.0, min(step_s, gap_s)), offset_s)
        self._lag_s = offset_s - self._quickest_s
        self._start.follow(step_s, gap_s, self._quickest_s)
        return now_s - self._lag_s, self._verdict(self._lag_s, now_s)

    def _verdict(self, lag_s: float, now_s: float) -> Verdict:
        if not self._start.is_over:
            return "stored"
        if lag_s <= BEHIND_S:
            self._behind_since_s = None
            if now_s - self._opened_s >= WELL_S:
                self._openings_behind = 0
            return "fresh"
        if self._behind_since_s is None:
            self._behind_since_s = now_s
        if now_s - self._behind_since_s < PATIENCE_S:
            return "fresh"  # not behind yet; the door drops the frame if it is too old
        self._openings_behind += 1
        return "behind"


class _Start:
    """Finds the end of the backlog that a camera sends first after it was opened.

    Args:
        quickest_s: arrival - timestamp of the first frame.

    Attributes:
        is_over: whether frames arrive as slowly as they were taken. May become False again if that was a mistake.
    """

    def __init__(self, quickest_s: float) -> None:
        self.is_over = False
        self._is_final = False
        self._took_s = 0.0  # since the first frame, without hiccups
        self._steady_s = 0.0  # the same since the delay last fell
        self._quickest_s = quickest_s  # the smallest arrival - timestamp then
        self._recent: deque[tuple[float, float]] = deque(maxlen=SETTLING)  # step, and the wait that counts for it
        self._gap_s = 0.0  # since the last new timestamp

    def follow(self, step_s: float, gap_s: float, quickest_s: float) -> None:
        """Take in the next frame.

        Args:
            step_s: its timestamp minus that of the frame before it.
            gap_s: the time between their arrivals.
            quickest_s: the smallest arrival - timestamp so far.
        """
        if self._is_final:
            return
        counted_s = min(gap_s, max(step_s, HICCUP_S))
        self._took_s += counted_s
        self._steady_s += counted_s
        if quickest_s < self._quickest_s - FRESHER_S:
            self._quickest_s, self._steady_s = quickest_s, 0.0
            self.is_over = False
            self._recent.clear()
        self._gap_s += gap_s
        if step_s > 0:  # a repeated timestamp says nothing; the next one is measured from the first of its kind
            self._recent.append((step_s, min(self._gap_s, PAUSE * step_s)))
            self._gap_s = 0.0
        self._is_final = self._steady_s >= START_S or self._took_s >= LONGEST_START_S
        self.is_over = self.is_over or self._is_final or self._is_settled()

    def _is_settled(self) -> bool:
        steps_s, waits_s = zip(*self._recent, strict=True) if self._recent else ((), ())
        return len(self._recent) == SETTLING and sum(waits_s) >= WAITED * sum(steps_s)
