"""The background of one camera: the average and the noise of each pixel, and how both change over time.

Used by capture.motion: luma -> how much each pixel differs, and by how much it must.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Flags = NDArray[np.uint8]  # 0 or 1

# The time constants and factors below were chosen on one half of the scenes of tests/bench/motion.py;
# docs/benchmarks.md shows the other half.
#
# How fast the average follows (s, time constants): where nothing moves; where something came and stands still (a parked
# car is part of the background after about 20 s); and where something moves, slowly enough that a person at 2 pixels
# per second stays visible.
_STILL_S, _STANDS_S, _MOVES_S = 10.0, 6.0, 25.0
# The recent average (s, time constant) has less noise than a picture, so that small and slow people are seen in it. A
# pixel stands still if it differs from it by less than this (levels of brightness).
_RECENT_S, _STANDS = 0.5, 4.0
# The noise of a pixel rises and falls with these time constants (s). It falls slowly, so that rain, gusts of wind and
# the digits of a clock in the picture are remembered; if it rose faster, people who pass one after the other would hide
# the next one.
_NOISIER_S, _QUIETER_S = 30.0, 200.0
# A single difference counts as at most this much noise (levels).
_MOST_AT_ONCE = 60.0
# Noise beyond this (levels) doesn't raise the threshold further, so that people in front of a tree are still seen.
_MOST_NOISE = 12.0
# The threshold is the contrast plus this many times the noise (mean absolute deviation; 4 are 3.2 standard deviations)
_NOISES = 4.0
# plus this share of the range of brightness around the pixel, which a shake of the camera by 1 pixel of 768 adds.
_EDGES = 0.1
# The noise (levels) before anything is known about it.
_FIRST_NOISE = 1.0
# The brightness of the whole picture is compared at about this many pixels.
_SAMPLES = 2500
# The noise of the recent average is assumed to be at least this share of that of a picture: successive pictures have
# similar noise, because the camera and its codec smooth it over time.
_LEAST_QUIETER = 0.5
_AROUND = np.ones((3, 3), np.uint8)


class Background:
    """The average and the noise of each pixel.

    >>> background = Background(np.full((100, 178), 90, np.float32))
    >>> float(background.difference(np.full((100, 178), 97, np.float32)).max())  # the light changed, nothing moves
    0.0

    Args:
        now: float32 (h, w), the first picture, blurred.
        watched: uint8 (h, w), 0 where motion is ignored; None: everything is watched.
    """

    def __init__(self, now: Floats, watched: Flags | None = None) -> None:
        self.restart(now)
        self._noise = np.full_like(now, _FIRST_NOISE)
        places = np.arange(now.size) if watched is None else np.flatnonzero(watched)
        # A step that shares no factor with usual widths, so that the samples are not all in the same columns.
        step = max(1, len(places) // _SAMPLES)
        self._samples = places[:: step + (step > 1 and step % 2 == 0)]

    def restart(self, now: Floats) -> None:
        """Take a picture as the background. The noise stays as it is."""
        self._average, self._recent = now.copy(), now.copy()
        self._next = self._recent  # with the newest picture, which is not taken in if it is a flash

    def difference(self, now: Floats) -> Floats:
        """Return by how much each pixel differs from the average, after a change that all pixels share is removed."""
        difference = now - self._average
        if len(self._samples):  # the shutter of the camera, 50 Hz lamps and clouds change the whole picture
            samples = difference.ravel()[self._samples]
            # np.median costs five times as much.
            difference -= np.partition(samples, len(samples) // 2)[len(samples) // 2]
        return np.asarray(np.abs(difference), np.float32)

    def changed(self, now: Floats, difference: Floats, contrast: float, step_s: float) -> Flags:
        """Return which pixels changed, in this picture or in the recent average: uint8 (h, w), 0 or 1.

        Args:
            now: float32 (h, w), the picture, blurred.
            difference: what `difference` returned for it.
            contrast: the least difference (levels), where there is no noise.
            step_s: time since the last picture.
        """
        edges = cv2.dilate(self._average, _AROUND) - cv2.erode(self._average, _AROUND)
        noise, least = np.minimum(self._noise, _MOST_NOISE), contrast + _EDGES * edges
        weight = _weight(step_s, _RECENT_S)
        # The noise of a running average is that of its pictures times this factor, if they are independent.
        quieter = max(_LEAST_QUIETER, math.sqrt(weight / (2 - weight)))
        self._next = np.asarray(cv2.addWeighted(now, weight, self._recent, 1 - weight, 0), np.float32)
        recent = self.difference(self._next)
        is_changed = (difference > least + _NOISES * noise) | (recent > least + _NOISES * quieter * noise)
        return np.asarray(is_changed, np.uint8)

    def calibrate(self, now: Floats, difference: Floats, count: int) -> None:
        """Take in one of the first pictures, all with the same weight; `count` were taken in before."""
        weight = 1 / (count + 1)
        cv2.accumulateWeighted(now, self._average, weight)
        self._recent = self._next
        cv2.accumulateWeighted(np.minimum(difference, _MOST_AT_ONCE), self._noise, weight)

    def learn(self, now: Floats, difference: Floats, changed: Flags, step_s: float) -> None:
        """Take in a picture.

        Args:
            now: float32 (h, w), blurred.
            difference: what `difference` returned for it.
            changed: uint8 (h, w), 1 where something moves or stands that is not part of the average.
            step_s: time since the last picture.
        """
        self._recent = self._next
        stands = np.asarray(cv2.absdiff(now, self._recent) < _STANDS, np.uint8)
        cv2.accumulateWeighted(now, self._average, _weight(step_s, _STILL_S), 1 - changed)
        cv2.accumulateWeighted(now, self._average, _weight(step_s, _STANDS_S), changed & stands)
        cv2.accumulateWeighted(now, self._average, _weight(step_s, _MOVES_S), changed & (1 - stands))
        difference = np.minimum(difference, _MOST_AT_ONCE)
        noisier = np.asarray(difference > self._noise, np.uint8)
        cv2.accumulateWeighted(difference, self._noise, _weight(step_s, _NOISIER_S), noisier)
        cv2.accumulateWeighted(difference, self._noise, _weight(step_s, _QUIETER_S), 1 - noisier)


def _weight(step_s: float, constant_s: float) -> float:
    return 1 - math.exp(-step_s / constant_s)
