"""Finds what moves in front of one camera, on small pictures of its brightness.

Used by capture.watcher: luma -> areas that move.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.background import Background, Flags, Floats

# The figures below were chosen on one half of the scenes of tests/bench/motion.py; docs/benchmarks.md shows the other.
#
# At sensitivity 0, a pixel must differ by this many levels of brightness beyond noise and edges, and this many pixels
# must touch each other. At 0.5, these are a sixth and a quarter of that; at 1, a 36th and a 16th. A person of 40 pixels
# in a picture of 768x576 covers about 24.
_CONTRAST, _AREA = 15.0, 16.0
# Calibration takes at least this many pictures and this long (s), at the start and after the whole light changed.
_CALIBRATION, _CALIBRATION_S = 3, 1.0
# If more than this share of the picture changes, the light or the camera did. If the picture is as before within this
# time (s), such as after lightning, no calibration is needed.
_WHOLE, _FLASH_S = 0.5, 0.6
# In a thunderstorm, or under a lamp that switches all the time, the detector is unsure for at most this long (s), and
# from then on for this share of the time. Otherwise it reports nothing for pictures that changed as a whole.
_UNSURE_S, _UNSURE = 2.0, 0.01
# An area counts once it is in this many pictures in a row. If it is this many times as large as it must be, one is
# enough. If pictures are further apart than this (s), someone who walks has left the area by the next one; then each
# area counts that is as large as it must be, which clutter raises.
_IN_A_ROW, _LARGE, _RARE_S = 2, 4.0, 0.4
# Rain and insects cause areas in single pictures. For each such area per picture (averaged with this time constant, s),
# an area must be in this many more pictures in a row, up to this many, and be larger to count at once.
_CLUTTER_S, _PER_CLUTTER, _MOST_MORE = 20.0, 2.0, 3.0
_AROUND = np.ones((3, 3), np.uint8)
_NOTHING = np.zeros((0, 4), np.float32)


class Moved(NamedTuple):
    """What moves in a picture.

    Attributes:
        xyxy: float32 (M, 4), areas in pixels of the luma.
        is_sure: False while the detector can't tell motion from stillness.
    """

    xyxy: NDArray[np.float32]
    is_sure: bool


class MotionDetector:
    """Compares each picture with a running average.

    The method is frigate's (frigate/motion/improved_motion.py) with these changes: each pixel has a threshold of its
    own, which follows its noise and the edges around it; the average follows the time instead of the number of
    pictures, and where something stands, faster than where something moves; areas must last for two pictures or be
    large; light that changes everywhere is subtracted.

    >>> detector, street = MotionDetector(), np.full((100, 178), 90, np.uint8)
    >>> for k in range(20):
    ...     nothing = detector.update(street, time_s=k / 10)
    >>> person = street.copy()
    >>> person[40:60, 80:90] = 30
    >>> len(nothing.xyxy), len(detector.update(person, time_s=2.0).xyxy)
    (0, 1)

    Args:
        sensitivity: 0..1; a higher value notices less contrast and smaller areas.
        watched: bool (h, w), False where motion is ignored; None: it is watched everywhere.
    """

    def __init__(self, sensitivity: float = 0.5, watched: NDArray[np.bool_] | None = None) -> None:
        self._contrast, self._area = _CONTRAST * 36.0**-sensitivity, _AREA * 16.0**-sensitivity
        self._watched = None if watched is None else watched.astype(np.uint8)
        self._background: Background | None = None
        self._time_s = self._began_s = 0.0
        self._pictures = 0  # since the calibration began
        self._flash_s: float | None = None  # since when the whole picture has been different
        # How long the detector was unsure lately. The calibration at the start doesn't count.
        self._unsure_s = -math.inf
        self._in_a_row = np.zeros((0, 0), np.uint8)  # (h, w), for how many pictures an area has been there
        self._clutter = 0.0  # areas per picture that were not in the picture before

    def update(self, luma: NDArray[np.uint8], time_s: float) -> Moved:
        """Find what moves in the next picture.

        Args:
            luma: uint8 (h, w); a picture of another size starts a new calibration.
            time_s: time of the picture, not before that of the last one. Intervals may vary.
        """
        now: Floats = cv2.GaussianBlur(luma, (3, 3), 0.8).astype(np.float32)
        step_s, self._time_s = max(0.0, time_s - self._time_s), time_s
        if self._background is None or self._in_a_row.shape != now.shape:
            self._background = Background(now, self._watched)
            self._calibrate_from(time_s, now.shape)
            self._unsure_s = -math.inf
            return Moved(_NOTHING, False)
        difference = self._background.difference(now)
        changed = self._background.changed(now, difference, self._contrast, step_s)
        if self._watched is not None:
            changed &= self._watched
        if self._is_whole(changed):
            return self._flash(self._background, now, step_s)
        self._flash_s = None
        if self._pictures < _CALIBRATION or time_s - self._began_s < _CALIBRATION_S:
            self._background.calibrate(now, difference, self._pictures)
            self._pictures += 1
            return Moved(_NOTHING, not self._may_be_unsure(step_s))
        if not math.isfinite(self._unsure_s):
            self._unsure_s = 0.0
        self._unsure_s = max(0.0, self._unsure_s - step_s * _UNSURE)
        wide = np.asarray(cv2.dilate(changed, _AROUND), np.uint8)
        xyxy = self._areas(wide, changed, step_s)
        self._background.learn(now, difference, wide, step_s)
        return Moved(xyxy, True)

    def _calibrate_from(self, time_s: float, shape: tuple[int, ...]) -> None:
        self._began_s, self._pictures, self._flash_s = time_s, 1, None
        self._in_a_row = np.zeros(shape, np.uint8)

    def _is_whole(self, changed: Flags) -> bool:
        watched = changed.size if self._watched is None else cv2.countNonZero(self._watched)
        return cv2.countNonZero(changed) > _WHOLE * watched

    def _flash(self, background: Background, now: Floats, step_s: float) -> Moved:
        """Handle a picture that changed as a whole. If the change lasts, it becomes the new background."""
        since_s = self._time_s if self._flash_s is None else self._flash_s
        self._flash_s = since_s
        if self._time_s - since_s >= _FLASH_S or step_s >= _FLASH_S or self._pictures < _CALIBRATION:
            background.restart(now)
            self._calibrate_from(self._time_s, now.shape)
        return Moved(_NOTHING, not self._may_be_unsure(step_s))

    def _may_be_unsure(self, step_s: float) -> bool:
        self._unsure_s += step_s
        return self._unsure_s <= _UNSURE_S

    def _areas(self, wide: Flags, changed: Flags, step_s: float) -> NDArray[np.float32]:
        """Return the areas that count, float32 (M, 4), and remember the others.

        Args:
            wide: uint8 (h, w), 1 near pixels that changed.
            changed: uint8 (h, w), 1 where a pixel changed.
            step_s: time since the last picture.
        """
        # Outlines, because they cost a tenth of cv2.connectedComponentsWithStats.
        outlines, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        more = min(_MOST_MORE, self._clutter * _PER_CLUTTER)
        is_rare = step_s > _RARE_S
        wanted = _IN_A_ROW + int(more)
        large = (1 if is_rare else _LARGE) * self._area * (1 + more)
        found, in_a_row, new = [], np.zeros_like(changed), 0
        for x, y, w, h in map(cv2.boundingRect, outlines):
            where = np.s_[y : y + h, x : x + w]
            pixels = changed[where] > 0
            area = np.count_nonzero(pixels)
            if area < self._area:
                continue
            before = int(self._in_a_row[where][pixels].max())
            new += before == 0
            in_a_row[where][pixels] = min(before + 1, 255)
            if area >= large or (before + 1 >= wanted and not is_rare):
                found.append((x, y, x + w, y + h))
        self._in_a_row = np.asarray(cv2.dilate(in_a_row, _AROUND), np.uint8)
        self._clutter += (1 - math.exp(-step_s / _CLUTTER_S)) * (new - self._clutter)
        return np.array(found, np.float32).reshape(-1, 4)
