"""Boxes: how much two have in common, where one that moves is going, and poses that move with them.

Used by tracking, the pose models, smoothing and evaluate. Numpy only.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# Sides are divided by; a box is never this small.
LEAST_SIDE_PX = 1.0
_TINY_S2 = 1e-12

_Float = TypeVar("_Float", np.float32, np.float64)


def iou(first: NDArray[_Float], second: NDArray[_Float]) -> NDArray[_Float]:
    """Intersection over union of every box of one list with every one of another.

    Args:
        first: (N, 4), x1 y1 x2 y2 in pixels.
        second: (M, 4), likewise.

    Returns:
        (N, M), 0..1. A box without an area has nothing in common with any.
    """
    low = np.maximum(first[:, np.newaxis, :2], second[:, :2])
    high = np.minimum(first[:, np.newaxis, 2:], second[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas, others = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second))
    union = areas[:, np.newaxis] + others - both
    shared: NDArray[_Float] = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return shared


def carried(
    keypoints: NDArray[np.float32], before: NDArray[np.float32], now: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Poses moved and stretched as their boxes were.

    Args:
        keypoints: float32 (N, K, 3) x, y in pixels of the frame, score.
        before: float32 (N, 4), the boxes x1, y1, x2, y2 that the poses were measured in.
        now: float32 (N, 4), the boxes they are wanted in.

    Returns:
        float32 (N, K, 3): each keypoint at the same spot of the box, the score as it was. Width and height are
        stretched each for itself: a walker's box widens and narrows with the legs.
    """
    old, new = before.astype(np.float64)[:, np.newaxis], now.astype(np.float64)[:, np.newaxis]
    stretch = sides_of(new) / sides_of(old)
    moved = keypoints.astype(np.float64)
    moved[..., :2] = new[..., :2] + (moved[..., :2] - old[..., :2]) * stretch
    return moved.astype(np.float32)


def sides_of(xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width and height of boxes float64 (..., 4) in pixels, at least LEAST_SIDE_PX: (..., 2)."""
    sides: NDArray[np.float64] = np.maximum(xyxy[..., 2:] - xyxy[..., :2], LEAST_SIDE_PX)
    return sides


def speed_of(times_s: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The speed that fits a moving box best, by least squares.

    Args:
        times_s: float64 (T,), T at least 1.
        boxes: float64 (T, 4), x1 y1 x2 y2 in pixels.

    Returns:
        float64 (4,), of each coordinate in pixels a second; 0 where there is one box alone.
    """
    offsets_s = times_s - times_s.mean()
    speed: NDArray[np.float64] = offsets_s @ boxes / max(offsets_s @ offsets_s, _TINY_S2)
    return speed
