"""How late a live frame is, measured by its timestamp against its arrival.

Used by capture.camera: Picture -> time of capture. A frame that was held back on its way (in the camera, the network or
a decoder) arrives late relative to its own timestamp. Judged by its arrival alone, it would pass for fresh.
"""

from __future__ import annotations

from typing import Literal

# Let the best-case delay grow by this much (s) per second of video, so that a camera clock up to 2 % slow is not
# mistaken for lag. Some camera clocks are slow by 0.1 % (30 fps in the timestamps, 29.97 sent), some by more.
DRIFT = 0.02
# After it is opened, a camera first sends the frames that it has stored, one or two groups of pictures. A frame that
# follows the previous one in less than this fraction of its interval was stored. A camera that still sends frames this
# quickly after START_S sends its live frames in bursts too.
WAITED = 0.8
START_S = 3.0
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
        self._settled = False
        self._behind_since_s: float | None = None

    @property
    def trusts_stamps(self) -> bool:
        """False once the camera's clock has proved to be slow."""
        return self._openings_behind < MOST_OPENINGS

    def reopened(self, now_s: float) -> None:
        """Start over with new timestamps, because the camera was opened at `now_s` (monotonic seconds)."""
        self._opened_s = now_s
        self._last, self._settled, self._behind_since_s = None, False, None

    def judge(self, media_s: float | None, now_s: float) -> tuple[float, Verdict]:
        """Return when a frame was captured, and a verdict on it.

        Args:
            media_s: the frame's own timestamp in seconds; None if it has none.
            now_s: arrival, monotonic seconds.

        Returns:
            The time of capture in monotonic seconds: when the frame would have arrived without being held back, at most
            `now_s`. The verdict is "stored" for the first frame after the camera was opened and for frames that it had
            stored before, "behind" if the camera doesn't catch up and should be reopened, and "fresh" otherwise.
        """
        if media_s is None or not self.trusts_stamps:
            return now_s, "fresh"
        last, self._last = self._last, (media_s, now_s)
        offset_s = now_s - media_s
        if last is None:
            self._quickest_s, self._lag_s = offset_s, 0.0
            return now_s, "stored"
        step_s, gap_s = media_s - last[0], now_s - last[1]
        self._settled = self._settled or gap_s >= WAITED * step_s or now_s - self._opened_s >= START_S
        if step_s < 0:  # no delay makes timestamps decrease, so the camera set its clock back; keep the lag
            self._quickest_s = offset_s - self._lag_s
        self._quickest_s = min(self._quickest_s + DRIFT * max(0.0, min(step_s, gap_s)), offset_s)
        self._lag_s = offset_s - self._quickest_s
        return now_s - self._lag_s, self._verdict(self._lag_s, now_s)

    def _verdict(self, lag_s: float, now_s: float) -> Verdict:
        if not self._settled:
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
