"""The frame rate of a live stream that declares none, measured from its timestamps.

Used by capture.live_decoder.
"""

from __future__ import annotations

import statistics

# Steps between timestamps from which the rate is computed: about one second of video.
STEPS = 25
# A lower or higher rate (frames per second) is no rate but odd timestamps. Measured: rounded to hundredths.
MIN_FPS, MAX_FPS = 0.01, 1000.0
# Steps that differ from the median by more than this fraction are left out: frames were lost.
_SPREAD = 0.5


class FrameRate:
    """The nominal frame rate: the declared one, or else the mean over the first STEPS steps, once they were seen.

    >>> rate = FrameRate(None)
    >>> for k in range(STEPS + 1):
    ...     fps = rate.saw(k / 12.5)
    >>> fps
    12.5

    Args:
        declared: frames per second, if the source declares them.
    """

    def __init__(self, declared: float | None) -> None:
        self._fps = declared
        self._steps_s: list[float] = []
        self._last_s: float | None = None

    def saw(self, media_s: float) -> float | None:
        """Take note of the timestamp (s) of the next frame. Return the rate, or None if it isn't known yet."""
        if self._fps is not None:
            return self._fps
        step_s = media_s - self._last_s if self._last_s is not None else 0.0
        self._last_s = media_s
        if step_s > 0:
            self._steps_s.append(step_s)
        if len(self._steps_s) >= STEPS:
            median_s = statistics.median(self._steps_s)
            usual_s = [step for step in self._steps_s if abs(step - median_s) <= _SPREAD * median_s]
            fps = round(1.0 / statistics.fmean(usual_s), 2)
            self._fps = fps if MIN_FPS <= fps <= MAX_FPS else None
            self._steps_s.clear()
        return self._fps
