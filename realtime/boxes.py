"""Geometry of boxes: overlap, size, velocity, and poses that move with their box.

Tracking, the pose models, models.yolo and evaluate use it. Numpy only.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# Lower limit for box sides that are used as divisors.
LEAST_SIDE_PX = 1.0
# Keeps the division defined if all times are equal.
_TINY_S2 = 1e-12

_Float = TypeVar("_Float", np.float32, np.float64)


def iou(first: NDArray[_Float], second: NDArray[_Float]) -> NDArray[_Float]:
    """Intersection over union of every box of one array with every box of another.

    >>> iou(np.float32([[0, 0, 10, 10]]), np.float32([[0, 0, 10, 5], [20, 0, 30, 10]]))
    array([[0.5, 0. ]], dtype=float32)

    Args:
        first: (N, 4), x1 y1 x2 y2 in pixels.
        second: (M, 4), x1 y1 x2 y2 in pixels.

    Returns:
        (N, M), 0..1. A box with zero area overlaps no other box.
    """
    low, high = first.T[:2, :, np.newaxis], first.T[2:, :, np.newaxis]
    other_low, other_high = second.T[:2, np.newaxis], second.T[2:, np.newaxis]
    sides, other_sides = high - low, other_high - other_low
    union = sides[0] * sides[1] + other_sides[0] * other_sides[1]
    shared = np.minimum(high, other_high)  # (2, N, M): an array per coordinate is faster than a coordinate per box
    shared -= np.maximum(low, other_low)
    np.maximum(shared, 0, out=shared)
    both: NDArray[_Float] = shared[0] * shared[1]
    union -= both
    np.divide(both, union, out=both, where=union > 0)
    return both


def largest_cover(boxes: NDArray[np.float64], others: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the largest part of each box that a single one of other boxes covers.

    >>> largest_cover(np.array([[0.0, 0, 10, 20], [90, 0, 99, 9]]), np.array([[5.0, 0, 50, 50], [8, 0, 10, 20]]))
    array([0.5, 0. ])

    Args:
        boxes: float64 (N, 4), x1, y1, x2, y2 in pixels, with areas above 0.
        others: float64 (M, 4). None: each box is compared with the others of `boxes`.

    Returns:
        float64 (N,), 0..1.
    """
    second = boxes if others is None else others
    sides = np.minimum(boxes[:, np.newaxis, 2:], second[:, 2:]) - np.maximum(boxes[:, np.newaxis, :2], second[:, :2])
    shared = np.maximum(sides, 0.0).prod(2)
    if others is None:
        np.fill_diagonal(shared, 0.0)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    cover: NDArray[np.float64] = shared.max(1, initial=0.0) / areas
    return cover


def carried(
    keypoints: NDArray[np.float32], before: NDArray[np.float32], now: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Move and stretch poses with their boxes.

    A box that moves by (50, 0) and doubles its height takes its keypoint along:

    >>> pose = np.float32([[[5, 5, 0.9]]])
    >>> carried(pose, np.float32([[0, 0, 10, 10]]), np.float32([[50, 0, 60, 20]]))
    array([[[55. , 10. ,  0.9]]], dtype=float32)

    Args:
        keypoints: float32 (N, K, 3) x, y in pixels of the frame, score.
        before: float32 (N, 4), the boxes x1, y1, x2, y2 in which the poses were measured.
        now: float32 (N, 4), the boxes x1, y1, x2, y2 to which the poses are moved.

    Returns:
        float32 (N, K, 3): each keypoint at the same relative position in its new box, with its old score. Width and
        height are scaled independently, because the box of a walking person widens and narrows with each stride.
    """
    old, new = before.astype(np.float64)[:, np.newaxis], now.astype(np.float64)[:, np.newaxis]
    stretch = sides_of(new) / sides_of(old)
    moved = keypoints.astype(np.float64)
    moved[..., :2] = new[..., :2] + (moved[..., :2] - old[..., :2]) * stretch
    return moved.astype(np.float32)


def sides_of(xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width and height of boxes, at least LEAST_SIDE_PX.

    >>> sides_of(np.float64([[10, 20, 50, 90], [3, 3, 3, 3]]))
    array([[40., 70.],
           [ 1.,  1.]])

    Args:
        xyxy: float64 (..., 4), x1 y1 x2 y2 in pixels.

    Returns:
        float64 (..., 2) in pixels.
    """
    sides: NDArray[np.float64] = np.maximum(xyxy[..., 2:] - xyxy[..., :2], LEAST_SIDE_PX)
    return sides


def speed_of(times_s: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a constant velocity to a moving box, by least squares.

    >>> speed_of(np.float64([0, 1, 2]), np.float64([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]]))
    array([5., 0., 5., 0.])

    Args:
        times_s: float64 (T,), the time of each box, T at least 1.
        boxes: float64 (T, 4), x1 y1 x2 y2 in pixels.

    Returns:
        float64 (4,), the velocity of each coordinate in pixels per second; 0 for a single box.
    """
    offsets_s = times_s - times_s.mean()
    speed: NDArray[np.float64] = offsets_s @ boxes / max(offsets_s @ offsets_s, _TINY_S2)
    return speed
