from dataclasses import replace

import numpy as np
import pytest
from boxmot.motion.kalman_filters.noise import KalmanNoiseConfig
from boxmot.motion.kalman_filters.xyah import KalmanFilterXYAH
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.track.kalman import ASPECT, COV, HEIGHT, MEAN, SPEED, SPEED_VAR, VAR, Filter, Noise, boxes_of

BOX = np.array([[100.0, 100, 160, 280], [300, 50, 380, 290]])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1 / 30, 1 / 20]), st.lists(st.floats(0.01, 2), min_size=1, max_size=8))
def test_the_four_small_filters_are_the_large_one_of_boxmot(seed: int, frame_s: float, steps_s: list[float]) -> None:
    """Mean and covariance of 8 coordinates, with steps of any length; the tolerance is for the order of additions."""
    random, ours = np.random.default_rng(seed), Filter(Noise(frame_s=frame_s))
    theirs = KalmanFilterXYAH(noise_config=KalmanNoiseConfig(time_unit="seconds", reference_dt_s=frame_s))
    state = ours.begin(BOX)
    expected = [theirs.initiate(xyah(box)) for box in BOX]
    for step_s in steps_s:
        state = ours.predict(state, step_s)
        expected = [theirs.predict(*each, dt=step_s) for each in expected]
        if random.random() < 0.7:
            seen = BOX[1:] + random.normal(0, 5, (1, 4))
            ours.correct(state, np.array([1]), seen)
            expected[1] = theirs.update(*expected[1], xyah(seen[0]))
        for row, (mean, covariance) in enumerate(expected):
            np.testing.assert_allclose(np.r_[state[MEAN, row], state[SPEED, row]], mean, rtol=1e-7, atol=1e-9)
            variances = np.r_[state[VAR, row], state[SPEED_VAR, row]]
            np.testing.assert_allclose(variances, np.diag(covariance), rtol=1e-7)
            np.testing.assert_allclose(state[COV, row], np.diag(covariance[:4, 4:]), rtol=1e-7, atol=1e-15)


def xyah(box: np.ndarray) -> np.ndarray:
    width, height = box[2:] - box[:2]
    return np.array([*(box[:2] + box[2:]) / 2, width / height, height])


@given(st.floats(0.01, 3), st.floats(0.01, 3))
def test_two_steps_equal_one_of_the_same_duration(first_s: float, second_s: float) -> None:
    motion = Filter(Noise(speed=0.0, height_speed=0.0, aspect_speed=0.0, place=0.1))
    state = motion.begin(BOX)
    state[SPEED] = [[20, -10, 0, 0], [5, 5, 0, 0]]
    twice = motion.predict(motion.predict(state, first_s), second_s)
    np.testing.assert_allclose(twice, motion.predict(state, first_s + second_s), rtol=1e-9, atol=1e-12)


@given(st.floats(0.25, 4), st.floats(-2000, 2000))
def test_a_larger_picture_gives_larger_boxes_and_a_moved_one_moved_boxes(scale: float, offset: float) -> None:
    motion = Filter(Noise())

    def last(boxes: np.ndarray) -> np.ndarray:
        state = motion.begin(boxes[0])
        for seen in boxes[1:]:
            state = motion.predict(state, 0.1)
            motion.correct(state, np.arange(len(seen)), seen)
        return boxes_of(motion.predict(state, 0.1))

    walk = np.stack([BOX + np.array([3, 1, 3, 1]) * k for k in range(10)])
    np.testing.assert_allclose(last(walk * scale + offset), last(walk) * scale + offset, rtol=1e-6, atol=1e-6)


def test_a_new_person_s_box_is_the_detection() -> None:
    np.testing.assert_allclose(boxes_of(Filter(Noise()).begin(BOX)), BOX)


def test_the_size_of_a_shrinking_box_stays_positive() -> None:
    motion = Filter(Noise())
    state = motion.begin(BOX)
    state[SPEED, :, [ASPECT, HEIGHT]] = -1e4
    assert (motion.predict(state, 1.0)[MEAN, :, ASPECT:] > 0).all()


@pytest.mark.parametrize("noise", [Noise(), replace(Noise(), is_integrated=False)])
def test_a_correction_leaves_other_people_alone(noise: Noise) -> None:
    motion = Filter(noise)
    state = motion.predict(motion.begin(BOX), 0.1)
    before = state.copy()
    motion.correct(state, np.array([0]), BOX[:1] + 5)
    np.testing.assert_array_equal(state[:, 1], before[:, 1])
    assert (state[VAR, 0] < before[VAR, 0]).all()


def test_a_height_that_is_less_certain_follows_a_jump_less() -> None:
    """A box cut off by an occlusion for one frame: less of it stays in the estimate."""
    heights = []
    for noise in (Noise(), Noise(height=1 / 10, height_speed=1 / 1600)):
        motion = Filter(noise)
        state = motion.begin(np.array([[100.0, 100, 160, 280]]))
        for bottom in [280.0] * 20 + [220.0]:
            state = motion.predict(state, 1 / 30)
            motion.correct(state, np.array([0]), np.array([[100.0, 100, 160, bottom]]))
        heights.append(state[MEAN, 0, HEIGHT])
    assert 120 < heights[0] < heights[1] - 5 < 175
