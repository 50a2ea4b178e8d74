"""Finds what moves in front of one camera, on small pictures of its brightness.

Used by capture.watcher: luma -> areas that move.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

# Pictures for the calibration at the start, and after a change of the whole picture.
_CALIBRATION = 10
# Weight of a picture in the average.
_WEIGHT = 0.02
# A change of more than this share of the picture is a change of the light.
_WHOLE = 0.6


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

    >>> detector, street = MotionDetector(), np.full((100, 178), 90, np.uint8)
    >>> for _ in range(20):
    ...     nothing = detector.update(street)
    >>> person = street.copy()
    >>> person[40:60, 80:90] = 30
    >>> len(nothing.xyxy), len(detector.update(person).xyxy)
    (0, 1)

    Args:
        sensitivity: 0..1; a higher value notices less contrast and smaller areas.
        watched: bool (h, w), False where motion is ignored; None: it is watched everywhere.
    """

    def __init__(self, sensitivity: float = 0.5, watched: NDArray[np.bool_] | None = None) -> None:
        self._contrast = 40.0 * 4.0**-sensitivity
        self._watched = watched
        self._average: NDArray[np.float32] | None = None
        self._left = _CALIBRATION

    def update(self, luma: NDArray[np.uint8]) -> Moved:
        """Find what moves in the next picture.

        Args:
            luma: uint8 (h, w), always of the same size.
        """
        now = cv2.GaussianBlur(luma, (0, 0), 1.0).astype(np.float32)
        if self._average is None:
            self._average = now
        differs = np.abs(now - self._average) > self._contrast
        if self._watched is not None:
            differs &= self._watched
        if differs.mean() > _WHOLE:
            self._average, self._left = now, _CALIBRATION
        weight = 0.2 if self._left else _WEIGHT
        cv2.accumulateWeighted(now, self._average, weight)
        self._left = max(0, self._left - 1)
        if self._left:
            return Moved(np.zeros((0, 4), np.float32), False)
        wide = cv2.dilate(differs.astype(np.uint8), np.ones((3, 3), np.uint8))
        outlines, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(outline) for outline in outlines]
        return Moved(np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32).reshape(-1, 4), True)
