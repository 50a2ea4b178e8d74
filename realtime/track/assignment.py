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
    rows, columns = (similar >= least).nonzero()
    if not len(rows):
        return rows, columns
    is_alone = np.bincount(rows).take(rows) + np.bincount(columns).take(columns) == 2
    if is_alone.all():
        return rows, columns
    is_in, is_in_too = (np.zeros(side, np.bool_) for side in similar.shape)
    is_in[rows], is_in_too[columns] = True, True
    alone = is_alone.nonzero()[0]
    rows, columns = rows.take(alone), columns.take(alone)
    is_in[rows], is_in_too[columns] = False, False
    some, others = is_in.nonzero()[0], is_in_too.nonzero()[0]
    cost = 1 - similar.take(some, 0).take(others, 1)
    _, partners, _ = lap.lapjv(cost, extend_cost=True, cost_limit=1 - least)
    taken = (partners >= 0).nonzero()[0]
    return (
        np.concatenate([rows, some.take(taken)]),
        np.concatenate([columns, others.take(partners.take(taken))]),
    )
