"""How boxes overlap: all tracks with all detections of a frame, and detections with each other.

Used by track/association.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every box of one array with every box of another.

    >>> overlaps(np.array([[0.0, 0, 10, 20]]), np.array([[5.0, 0, 15, 20], [12, 0, 22, 20]])).round(2)
    array([[0.33, 0.  ]])

    Args:
        first: float64 (N, 4), x1, y1, x2, y2 in pixels.
        second: float64 (M, 4), with areas above 0.

    Returns:
        float64 (N, M), 0..1.
    """
    low, high = first.T[:2, :, np.newaxis], first.T[2:, :, np.newaxis]
    other_low, other_high = second.T[:2, np.newaxis], second.T[2:, np.newaxis]
    sides, other_sides = high - low, other_high - other_low
    areas = sides[0] * sides[1] + other_sides[0] * other_sides[1]
    shared = np.minimum(high, other_high)
    shared -= np.maximum(low, other_low)
    np.maximum(shared, 0.0, out=shared)
    both: Floats = shared[0] * shared[1]
    areas -= both
    both /= areas
    return both


def largest_cover(boxes: Floats, others: Floats) -> Floats:
    """The part of each box that the one box of others which covers most of it covers.

    >>> largest_cover(np.array([[0.0, 0, 10, 20], [90, 0, 99, 9]]), np.array([[5.0, 0, 50, 50], [8, 0, 10, 20]]))
    array([0.5, 0. ])

    Args:
        boxes: float64 (N, 4), x1, y1, x2, y2 in pixels, with areas above 0.
        others: float64 (M, 4).

    Returns:
        float64 (N,), 0..1.
    """
    shared = np.minimum(boxes[:, np.newaxis, 2:], others[:, 2:]) - np.maximum(boxes[:, np.newaxis, :2], others[:, :2])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    cover: Floats = np.maximum(shared, 0.0).prod(2).max(1, initial=0.0) / areas
    return cover
