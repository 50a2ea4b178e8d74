"""How well boxes fit: overlaps of all tracks with all detections of a frame. Used by track/association.py."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def overlaps(first: Floats, second: Floats, grown: Floats | None = None) -> Floats:
    """Intersection over union of every box of one array with every box of another, both enlarged.

    Boxes that grow find each other although they don't overlap: Yang et al., "Hard to Track Objects with Irregular
    Motions and Similar Appearances? Make It Easier by Buffering the Matching Space" (C-BIoU), WACV 2023. There, the
    growth is fixed.

    >>> here, right = np.array([[0.0, 0, 10, 20]]), np.array([[12.0, 0, 22, 20]])
    >>> overlaps(here, right), overlaps(here, right, np.array([0.3])).round(2)
    (array([[0.]]), array([[0.14]]))

    Args:
        first: float64 (N, 4), x1, y1, x2, y2 in pixels.
        second: float64 (M, 4), with areas above 0.
        grown: float64 (N,), by which part of their width and height both boxes of a pair grow on each side. None: 0.

    Returns:
        float64 (N, M), 0..1.
    """
    low, high = first.T[:2, :, np.newaxis], first.T[2:, :, np.newaxis]
    other_low, other_high = second.T[:2, np.newaxis], second.T[2:, np.newaxis]
    sides, other_sides = high - low, other_high - other_low
    areas = sides[0] * sides[1] + other_sides[0] * other_sides[1]
    if grown is not None:
        part = grown[:, np.newaxis]
        more, other_more = part * sides, part * other_sides
        low, high, other_low, other_high = low - more, high + more, other_low - other_more, other_high + other_more
        areas *= (1 + 2 * part) ** 2
    shared = np.minimum(high, other_high)
    shared -= np.maximum(low, other_low)
    np.maximum(shared, 0.0, out=shared)
    both: Floats = shared[0] * shared[1]
    areas -= both
    both /= areas
    return both
