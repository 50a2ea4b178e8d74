"""Boxes: how much two of them have in common.

Used wherever boxes are compared: by the pose models, the test of an engine, and evaluate. Numpy only.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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
