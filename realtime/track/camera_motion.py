"""The camera's motion, measured by the boxes of the people in view. Used by track/association.py.

If the camera turns, the predictions for all people are off by about the same vector. StrongSORT and BoT-SORT measure
the motion in the image, which costs more than the rest of a tracker.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime.track.assignment import assign

Floats = NDArray[np.float64]

# People needed: with fewer, one who starts to walk moves the median.
LEAST_PEOPLE = 3
# A prediction and a detection are compared if they are near each other: standard deviations of the distance, in heights
# of the person, and of the logarithm of the ratio of their heights; and the least similarity that counts.
_DISTANCE, _HEIGHT_RATIO, _LEAST = 0.35, 0.2, 0.05
# The motion counts as nothing until it exceeds its own standard error this many times. Without this, the jitter of
# boxes moves the people of a still camera.
_SURE = 2.0
# Prior: as if this many more people had shown no motion.
_STILL_PEOPLE = 2
# Standard error of a median, from the median absolute deviation of n values: 1.4826 * sqrt(pi / 2) / sqrt(n).
_ERROR_OF_MEDIAN = 1.858


def camera_motion(predicted: Floats, detected: Floats) -> Floats:
    """Return how far the camera's motion has moved the picture, beyond the predictions.

    People are paired by nearness instead of overlap, because a jerk of the camera may leave no overlap.

    >>> people = np.array([[0.0, 0, 40, 100], [200, 0, 240, 100], [400, 0, 440, 100], [600, 0, 640, 100]])
    >>> camera_motion(people, people + [30, 5, 30, 5]).round(1), camera_motion(people[:2], people[:2] + 30)
    (array([20. ,  3.3]), array([0., 0.]))

    Args:
        predicted: float64 (N, 4), predicted boxes x1, y1, x2, y2 of the people seen last.
        detected: float64 (M, 4), detected boxes.

    Returns:
        float64 (2,), x and y in pixels: the median over at least LEAST_PEOPLE people, lowered by its own uncertainty;
        0 if it is not certain.
    """
    motion = still = np.zeros(2)
    if min(len(predicted), len(detected)) < LEAST_PEOPLE:
        return still
    # One row per coordinate, and all lengths in standard deviations of the distance.
    centres, found = (predicted[:, :2] + predicted[:, 2:]).T / 2, (detected[:, :2] + detected[:, 2:]).T / 2
    heights, others = predicted[:, 3] - predicted[:, 1], detected[:, 3] - detected[:, 1]
    spread = (_DISTANCE * heights)[:, np.newaxis]
    apart = (found[:, np.newaxis] - centres[:, :, np.newaxis]) / spread
    unlike = (np.log(others) - np.log(heights)[:, np.newaxis]) / _HEIGHT_RATIO
    unlike *= unlike
    for _ in range(2):  # again, with the motion found: now the right ones are nearest
        off = apart - motion[:, np.newaxis, np.newaxis] / spread
        off *= off
        rows, columns = assign(_similarity(off[0] + off[1] + unlike), _LEAST)
        if len(rows) < LEAST_PEOPLE:
            return still
        moved = found.take(columns, 1) - centres.take(rows, 1)
        motion = _median(moved)
    count = len(rows)
    error = _ERROR_OF_MEDIAN * _median(np.abs(moved - motion[:, np.newaxis])) / np.sqrt(count)
    motion = motion * count / (count + _STILL_PEOPLE)
    certain: Floats = motion * np.maximum(0.0, 1.0 - (_SURE * error) ** 2 / np.maximum(motion**2, 1e-9))
    return certain


def _similarity(squares: Floats) -> Floats:
    """exp(-squares / 2), and 0 where that is less than _LEAST: most pairs, and exp is slow."""
    similar = np.zeros_like(squares)
    near = squares < -2 * np.log(_LEAST)
    similar[near] = np.exp(squares[near] / -2)
    return similar


def _median(values: Floats) -> Floats:
    """The median of each row; np.median takes many times as long."""
    ordered = values.copy()
    ordered.sort()
    count = values.shape[1]
    median: Floats = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
    return median
