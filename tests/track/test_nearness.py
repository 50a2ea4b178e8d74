import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.track.kalman import Filter, Noise
from realtime.track.nearness import log_nearness

MOTION = Filter(Noise())
BOX = np.array([[100.0, 100, 140, 200]])  # 100 px tall


def near(step_s: float, *offset: float) -> float:
    return float(log_nearness(MOTION.predict(MOTION.begin(BOX), step_s), BOX + np.tile(offset, 2))[0, 0])


@given(st.floats(0, 3), st.floats(-200, 200), st.floats(-200, 200))
def test_nothing_is_nearer_than_the_expected_place_nor_more_likely_than_certain(s: float, x: float, y: float) -> None:
    assert near(s, x, y) <= near(s, 0, 0) <= 0


@given(st.floats(0, 3), st.floats(1, 200))
def test_an_offset_upwards_is_less_likely_than_one_sideways(step_s: float, px: float) -> None:
    assert near(step_s, 0, px) < near(step_s, px, 0)


def test_with_the_time_near_places_get_less_likely_and_far_ones_more() -> None:
    assert near(0.1, 0, 0) > near(0.5, 0, 0) > near(2.0, 0, 0)
    assert near(0.1, 80, 0) < near(0.5, 80, 0)
    assert near(0.5, 300, 0) < near(2.0, 300, 0)


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.25, 2.0])
def test_other_heights_are_less_likely(ratio: float) -> None:
    state = MOTION.begin(BOX)
    middle, half = np.array([120.0, 150]), np.array([20, 50]) * ratio
    other = np.hstack([middle - half, middle + half])[np.newaxis]
    off = np.log(ratio) / 0.2
    assert log_nearness(state, other)[0, 0] == pytest.approx(log_nearness(state, BOX)[0, 0] - off**2 / 2)


@given(st.floats(0.25, 4), st.floats(-2000, 2000))
def test_a_larger_and_a_moved_picture_have_the_same_likelihoods(scale: float, offset: float) -> None:
    places = BOX + np.array([[5.0, -3, 9, 2], [40, 0, 40, 10]])
    state, other = MOTION.begin(BOX), MOTION.begin(BOX * scale + offset)
    expected = log_nearness(MOTION.predict(state, 0.2), places)
    np.testing.assert_allclose(log_nearness(MOTION.predict(other, 0.2), places * scale + offset), expected, atol=1e-6)


def test_no_people_and_no_detections_have_no_likelihoods() -> None:
    state = MOTION.begin(BOX)
    assert log_nearness(state[:, :0], BOX).shape == (0, 1)
    assert log_nearness(state, BOX[:0]).shape == (1, 0)
