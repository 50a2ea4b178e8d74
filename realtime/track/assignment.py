"""One-to-one assignment of tracks to detections. Used by track/association.py and track/camera_motion.py."""

from __future__ import annotations

import lap
import numpy as np
from numpy.typing import NDArray

# Pairs that are less similar than this are never formed, even if the configured minimum is 0.
_NOTHING = 1e-6

_Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def assign(similar: NDArray[np.float64], least: float) -> _Pairs:
    """Pair rows with columns such that the sum of `similar - least` over all pairs is the largest possible.

    This is the assignment of ByteTrack (Jonker-Volgenant, lapx) with `least` as the limit. A pair without rival, in its
    row and in its column, is taken at once, which leaves little or nothing for the solver.

    >>> rows, columns = assign(np.array([[0.9, 0.6], [0.7, 0.1], [0.0, 0.1]]), least=0.2)
    >>> rows.tolist(), columns.tolist()
    ([0, 1], [1, 0])

    Args:
        similar: float64 (N, M).
        least: pairs that are less similar are not formed.

    Returns:
        Rows and columns of the pairs, each int64 (P,).
    """
    least = max(least, _NOTHING)
    rows, columns = np.nonzero(similar >= least)
    if not len(rows):
        return rows, columns
    rivals = np.bincount(rows)[rows] + np.bincount(columns)[columns]
    is_alone = rivals == 2
    if is_alone.all():
        return rows, columns
    is_contested = ~is_alone
    some, others = np.unique(rows[is_contested]), np.unique(columns[is_contested])
    _, partners, _ = lap.lapjv(1 - similar[some[:, np.newaxis], others], extend_cost=True, cost_limit=1 - least)
    is_taken = partners >= 0
    return (
        np.concatenate([rows[is_alone], some[is_taken]]),
        np.concatenate([columns[is_alone], others[partners[is_taken]]]),
    )
