"""Whether a person's picture has changed since their pose was last measured.

Used by pose/budget.py: the picture in a person's box -> measure them again, or repeat their last pose. Only cameras
with a motion gate use it (`Frame.motion`).

The part of the frame round the box is compared with the same part at the last measurement, so the jitter of the box
does not count. Both are scaled down to the size of a stamp, which averages sensor noise out. Other light is removed by
a curve that maps the brightness then to the brightness now. The rest is judged at its strongest spot, because a hand
that moves changes few pixels, and against the noise round the box: inside it, the person's own movement would pass for
noise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou

Stamp = NDArray[np.float32]
Region = tuple[int, int, int, int]

# The longer side of a stamp (pixels). A person fills four fifths of it, so a movement by 0.5 % of their height is a
# quarter of a pixel.
_SIDE = 64
# The compared part of the frame extends beyond the box by this share of its longer side: hands leave the box.
_MARGIN = 0.1
# A box that overlaps the one of the last measurement less than this (IoU) has moved. Those of people who stand still
# jitter by up to 6 % of their longer side where someone hides their legs, which is an IoU of about 0.85.
_MOVED_IOU = 0.6
# The light is compared on a logarithmic scale, with the unit of one grey level at _MIDDLE, because other light
# multiplies the brightness. _DARK keeps the noise of black areas small.
_DARK, _MIDDLE = 32.0, 128.0
# Pixels follow the curve of the light if they are off by at most this many times the median plus this many levels.
_FOLLOWS, _FOLLOWS_AT_LEAST = 4.0, 0.5
# Sides of the squares (pixels of the stamp) over which the change is averaged, which leaves less noise, and then
# squared and averaged, because parts of a movement have opposite signs. Together about a hand.
_AVERAGE, _SPOT = 3, 5
# Fewer pixels of a stamp outside the box than this say nothing about the noise.
_FEWEST_OUTSIDE = 30
# A spot that differs by more than this many times the noise has changed; see docs/benchmarks.md for what it costs.
_TIMES_NOISE = 3.0
# The noise is the largest of the last seconds, because a key frame changes every part of the picture, and the frames
# between them only some; it decays with this time constant (s).
_NOISE_S = 10.0
# Limits of the change at a spot that counts (grey levels). Below the lower one it is the encoder's work. The upper one
# is 3 times the noise of a dark night (sigma 10) in the stamp of a person 85 pixels high; more than that, such as a
# camera that shakes or someone walking past, is no noise.
_LEAST, _MOST = 2.5, 8.0


def _logarithmic(luma: Stamp) -> Stamp:
    return np.asarray((_DARK + _MIDDLE) * np.log((_DARK + luma) / (_DARK + _MIDDLE)), np.float32)


def _luma(logarithmic: Stamp) -> Stamp:
    return np.asarray((_DARK + _MIDDLE) * np.exp(logarithmic / (_DARK + _MIDDLE)) - _DARK, np.float32)


_WHITE = _logarithmic(np.full(1, 255, np.float32))


class _Measured(NamedTuple):
    """What a person looked like when they were last measured."""

    xyxy: NDArray[np.float32]  # (4,)
    region: Region
    stamp: Stamp
    outside: NDArray[np.bool_]  # of the stamp's shape, True where the noise is judged


class Stillness:
    """Compares the pictures of one person with the one at their last measurement.

    >>> stillness, image = Stillness(), np.full((240, 320, 3), 90, np.uint8)
    >>> box = np.float32([100, 20, 180, 220])
    >>> stillness.remember(image, box)
    >>> brighter = np.full_like(image, 120)
    >>> stillness.has_changed(brighter, box, 0.04)
    False
    >>> brighter[100:110, 130:140] = 40
    >>> stillness.has_changed(brighter, box, 0.08)
    True
    """

    def __init__(self) -> None:
        self._measured: _Measured | None = None
        self._noise, self._noise_at_s = 0.0, 0.0

    def remember(self, image: NDArray[np.uint8], xyxy: NDArray[np.float32]) -> None:
        """Compare with this picture from now on, because the pose is measured in it.

        Args:
            image: uint8 (H, W, 3) BGR.
            xyxy: float32 (4,), the person's box, pixels of the image.
        """
        region = _region(xyxy, image.shape)
        stamp = _stamp(image, region)
        self._measured = _Measured(xyxy, region, stamp, _outside(xyxy, region, stamp.shape))

    def has_changed(self, image: NDArray[np.uint8], xyxy: NDArray[np.float32], time_s: float) -> bool:
        """Compare a later picture with the one at the last measurement.

        Args:
            image: uint8 (H, W, 3) BGR, of the size of that picture.
            xyxy: float32 (4,), the person's box, pixels of the image.
            time_s: time of the image; increases from call to call.

        Returns:
            True if the person's picture or box has changed, or if they were never measured.
        """
        if self._measured is None or iou(xyxy[np.newaxis], self._measured.xyxy[np.newaxis])[0, 0] < _MOVED_IOU:
            return True
        spots = _spots(self._measured.stamp, _stamp(image, self._measured.region))
        now = float(np.median(spots[self._measured.outside]))
        noise = max(now, self._noise * math.exp((self._noise_at_s - time_s) / _NOISE_S))
        if spots.max() > min(max(_LEAST, _TIMES_NOISE * noise), _MOST):
            return True
        # Not learned from a picture that has changed, or small movements would be missed afterwards.
        self._noise, self._noise_at_s = noise, time_s
        return False


def _region(xyxy: NDArray[np.float32], shape: tuple[int, ...]) -> Region:
    """Return x1, y1, x2, y2 of the compared part of a frame: inside it, and at least one pixel wide and high."""
    x1, y1, x2, y2 = (float(side) for side in xyxy)
    margin = _MARGIN * max(x2 - x1, y2 - y1)
    left, top = min(max(0, int(x1 - margin)), shape[1] - 1), min(max(0, int(y1 - margin)), shape[0] - 1)
    return left, top, max(min(shape[1], round(x2 + margin)), left + 1), max(min(shape[0], round(y2 + margin)), top + 1)


def _stamp(image: NDArray[np.uint8], region: Region) -> Stamp:
    """Return the brightness of a part of a frame, scaled down to a longer side of _SIDE at most."""
    x1, y1, x2, y2 = region
    luma = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
    scale = min(1.0, _SIDE / max(luma.shape))
    size = max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale))
    small = cv2.resize(luma.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return _logarithmic(small)


def _outside(xyxy: NDArray[np.float32], region: Region, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of a stamp lie outside the person's box; all of them if these are too few."""
    outside = np.ones(shape, np.bool_)
    scale = shape[1] / (region[2] - region[0]), shape[0] / (region[3] - region[1])
    left, right = (xyxy[[0, 2]] - region[0]) * scale[0]
    top, bottom = (xyxy[[1, 3]] - region[1]) * scale[1]
    outside[max(0, int(top)) : max(0, math.ceil(bottom)), max(0, int(left)) : max(0, math.ceil(right))] = False
    return outside if np.count_nonzero(outside) >= _FEWEST_OUTSIDE else np.ones(shape, np.bool_)


def _spots(before: Stamp, now: Stamp) -> Stamp:
    """Return how much each spot of a stamp has changed, as float32 (h, w) in grey levels."""
    # The camera shows white if there is more light than it can show.
    expected = np.minimum(before + _light(before, now), _WHITE)
    # In grey levels, noise is about the same in dark and in bright areas. On a logarithmic scale the noise of dark ones
    # would hide movements in bright ones.
    change = cv2.blur(_luma(now) - _luma(expected), (_AVERAGE, _AVERAGE), borderType=cv2.BORDER_REFLECT)
    squares = cv2.blur(change * change, (_SPOT, _SPOT), borderType=cv2.BORDER_REFLECT)
    # The running sum of the blur may end slightly below 0.
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)), np.float32)


def _light(before: Stamp, now: Stamp) -> Stamp:
    """Return the part of the change that other light explains: a cubic of the brightness before.

    It is fitted twice, the second time without what does not follow the first. Bright pixels count for more, in
    proportion to the grey levels of a step on the logarithmic scale.
    """
    x = before.ravel() / _MIDDLE
    powers = np.stack([np.ones_like(x), x, x * x, x**3])
    weights = _DARK + _luma(before.ravel())
    weights /= weights.mean()
    change = (now - before).ravel()
    curve = np.zeros_like(x)
    off = np.zeros_like(x)
    for _ in range(2):
        weighted = powers * (weights * (off <= _FOLLOWS * np.median(off) + _FOLLOWS_AT_LEAST))
        # The identity keeps the curve defined where all pixels are equally bright.
        curve = np.linalg.solve(weighted @ powers.T + np.eye(len(powers)), weighted @ change) @ powers
        off = weights * np.abs(change - curve)
    return np.asarray(curve.reshape(before.shape), np.float32)
