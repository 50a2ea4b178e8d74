import numpy as np
import pytest
from filterpy.common import Q_discrete_white_noise
from filterpy.kalman import KalmanFilter

from realtime.smooth import kalman


def filterpy_keypoint(place, r, speed):
    """The filter of one keypoint as filterpy users write it; its state is x, y, vx, vy."""
    filter_ = KalmanFilter(dim_x=4, dim_z=2)
    filter_.x = np.array([*place, 0.0, 0.0])
    filter_.H = np.eye(2, 4)
    filter_.P = np.diag([r, r, speed**2, speed**2])
    return filter_


def filterpy_step(filter_, dt_s, acceleration, measurement, r):
    filter_.F = np.array([[1, 0, dt_s, 0], [0, 1, 0, dt_s], [0, 0, 1, 0], [0, 0, 0, 1]])
    filter_.Q = np.kron(Q_discrete_white_noise(dim=2, dt=dt_s, var=acceleration**2), np.eye(2))
    filter_.predict()
    if measurement is not None:
        filter_.update(measurement, R=r * np.eye(2))


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_filterpys_constant_velocity_filter(seed):
    # Tolerance 1e-6 px: filterpy inverts S and uses the Joseph form of the covariance update, we use the closed form.
    random = np.random.default_rng(seed)
    people, keypoints, frames = 2, 4, 50
    values = random.normal(0, 8, (frames, people, keypoints, 2)).cumsum(axis=0) + 400
    dt_s = random.uniform(0.004, 0.4, (frames, people))
    acceleration, speed = random.uniform(50, 900, people), random.uniform(10, 500, people)
    r = kalman.variance(random.uniform(0, 1, (frames * people, keypoints)), 3.0).reshape(frames, people, keypoints)
    missing = random.random((frames, people, keypoints)) < 0.3
    oracles = {i: filterpy_keypoint(values[(0, *i)], r[(0, *i)], speed[i[0]]) for i in np.ndindex(people, keypoints)}
    state = kalman.start(values[0], r[0], speed)
    for t in range(1, frames):
        predicted = kalman.predict(state, dt_s[t], acceleration)
        state = np.where(missing[t][..., None], predicted, kalman.update(predicted, values[t], r[t]))
        for i, oracle in oracles.items():
            seen = None if missing[(t, *i)] else values[(t, *i)]
            filterpy_step(oracle, dt_s[t, i[0]], acceleration[i[0]], seen, r[(t, *i)])
            np.testing.assert_allclose(state[i][:4], oracle.x, atol=1e-6, rtol=0)
            np.testing.assert_allclose(state[i][4:], oracle.P[[0, 0, 2], [0, 2, 2]], atol=1e-6, rtol=1e-9)


def test_half_the_score_doubles_the_noise_and_a_score_of_zero_keeps_it_finite():
    r = kalman.variance(np.array([[1.0, 0.5, 0.0]]), 3.0)
    np.testing.assert_allclose(r[0, :2], [9.0, 36.0])
    assert np.isfinite(r).all()


def follow(values, dt_s=1 / 30, **keys):
    """Filter a series of measurements (T, 2), with noise of 3 px at a size of 200 px, and return the positions."""
    r = np.full((1, 1), 9.0)
    state, places = kalman.start(values[None, None, 0], r, 400.0), [values[0]]
    for value in values[1:]:
        predicted = kalman.predict(state, dt_s, 300.0, keys.get("agility", 0.0))
        state = kalman.update(predicted, value[None, None], r, keys.get("gate", np.inf))
        places.append(state[0, 0, kalman.PLACE])
    return np.array(places)


def test_a_single_outlier_is_hardly_followed_and_a_lasting_jump_is_followed_quickly():
    still = np.zeros((60, 2))
    wild, jump = still.copy(), still.copy()
    wild[30] = 100.0, 0.0
    jump[30:] = 100.0, 0.0
    assert follow(wild, gate=1.0)[:, 0].max() < 0.4 * follow(wild)[:, 0].max()
    assert np.abs(follow(jump, gate=1.0)[45:, 0] - 100.0).max() < 15.0  # within half a second


def test_measurements_within_the_gate_count_in_full():
    random = np.random.default_rng(0)
    values = random.uniform(-1.0, 1.0, (60, 2))  # a third of the expected noise
    np.testing.assert_array_equal(follow(values, gate=1.0), follow(values))


def test_agility_reduces_lag_in_motion_and_adds_little_jitter_at_rest():
    moving = np.concatenate([np.zeros((30, 2)), np.cumsum(np.full((15, 2), 12.0), axis=0)])
    lag = {agility: np.abs(follow(moving, agility=agility) - moving)[35:].max() for agility in (0.0, 8.0)}
    assert lag[8.0] < 0.6 * lag[0.0]
    still = np.zeros((60, 2))
    still[30] = 1.0, 0.0
    calm = {agility: np.abs(follow(still, agility=agility)).sum() for agility in (0.0, 8.0)}
    assert calm[8.0] < 1.3 * calm[0.0]
