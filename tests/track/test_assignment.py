import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from realtime.track.assignment import assign

shapes = st.tuples(st.integers(0, 6), st.integers(0, 6))
matrices = shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1).map(lambda x: round(x, 3))))


def best_sum(similar: np.ndarray, least: float) -> float:
    """The largest sum of `similar - least` over all assignments, tried one after the other."""
    gain = np.maximum(similar - least, 0)
    gain = gain if gain.shape[0] <= gain.shape[1] else gain.T
    choices = itertools.permutations(range(gain.shape[1]), gain.shape[0])
    return max(sum(gain[row, column] for row, column in enumerate(columns)) for columns in choices)


@settings(max_examples=200, deadline=None)
@given(matrices, st.floats(0.01, 0.9))
def test_no_other_assignment_has_a_larger_sum(similar: np.ndarray, least: float) -> None:
    rows, columns = assign(similar, least)
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    assert (similar[rows, columns] >= least).all()
    assert (similar[rows, columns] - least).sum() == pytest.approx(best_sum(similar, least), abs=1e-9)


def test_a_large_assignment_equals_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    for size in (5, 30, 120):
        similar = random.random((size, size + 3)) * (random.random((size, size + 3)) < 3 / size)
        rows, columns = assign(similar, 0.2)
        theirs = linear_sum_assignment(np.where(similar >= 0.2, similar - 0.2, 0), maximize=True)
        expected = {(r, c) for r, c in zip(*theirs, strict=True) if similar[r, c] >= 0.2}
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


def test_pairs_with_nothing_in_common_are_not_formed_even_without_a_minimum() -> None:
    rows, columns = assign(np.array([[0.0, 0.0], [0.0, 0.3]]), 0.0)
    assert (rows.tolist(), columns.tolist()) == ([1], [1])
