"""How old a live picture is: by its time stamp against its arrival.

Used by capture.camera: Picture -> the moment it was taken. A picture that was held back on its way (in the camera, the
network or a decoder) arrives late against its own time stamp; by its arrival alone it would pass for fresh.
"""

from __future__ import annotations

from typing import Literal

# Cameras' clocks run slow: some by a thousandth (30 stamped, 29.97 sent), some by more. The quickest arrival counts for
# less by this much a second of video, so that up to 2 % is never taken for lateness.
DRIFT = 0.02
# At the start pictures that come in less than this part of their interval were waiting: the camera sends what it has
# stored, a group of pictures or two. What goes on for longer is how it sends.
WAITED = 0.8
START_S = 3.0
# A camera whose pictures stay so far behind for so long doesn't catch up by itself: it is opened again.
BEHIND_S = 0.5
PATIENCE_S = 5.0
# One that falls behind after every opening has a clock that runs slow: then the arrival is all there is.
MOST_OPENINGS = 3
# One that kept up for so long has no such clock: the network was to blame.
WELL_S = 600.0

Verdict = Literal["fresh", "stored", "behind"]


class Freshness:
    """Judges the pictures of one live camera, over all its openings."""

    def __init__(self) -> None:
        self._openings_behind = 0
        self._opened_s = 0.0
        self._last: tuple[float, float] | None = None  # time stamp and arrival of the last picture
        self._quickest_s = 0.0  # the smallest arrival - time stamp
        self._lag_s = 0.0  # of the last picture
        self._settled = False
        self._behind_since_s: float | None = None

    @property
    def trusts_stamps(self) -> bool:
        """False once the camera's clock has proved to run slow."""
        return self._openings_behind < MOST_OPENINGS

    def reopened(self, now_s: float) -> None:
        """The camera was opened at `now_s` (monotonic seconds): its time stamps begin anew."""
        self._opened_s = now_s
        self._last, self._settled, self._behind_since_s = None, False, None

    def judge(self, media_s: float | None, now_s: float) -> tuple[float, Verdict]:
        """When a picture was taken, and what to do with it.

        Args:
            media_s: its own time stamp in seconds; None where it has none.
            now_s: its arrival, monotonic seconds.

        Returns:
            Monotonic seconds at which it would have arrived had nothing held it back, never later than `now_s`;
            "stored" for what the camera had stored before it was opened, "behind" once the camera should be opened
            again because it doesn't catch up, else "fresh".
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
        if step_s < 0:  # no delay does that: the camera set its clock, and this picture is as late as the last one was
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
            return "fresh"  # and old: the door doesn't begin it
        self._openings_behind += 1
        return "behind"
