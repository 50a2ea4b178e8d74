import numpy as np
import pytest
from filterpy.common import Q_discrete_white_noise
from filterpy.kalman import KalmanFilter

from realtime.smooth import kalman


def filterpy_keypoint(place, r, speed):
    """One keypoint as filterpy users write it; state x, y, vx, vy."""
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
def test_it_is_filterpys_constant_velocity_filter(seed):
    # 1e-6 px: filterpy inverts S and uses Joseph's form of the covariance, we the closed form.
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


def test_half_the_score_is_twice_the_noise_and_no_score_is_finite():
    r = kalman.variance(np.array([[1.0, 0.5, 0.0]]), 3.0)
    np.testing.assert_allclose(r[0, :2], [9.0, 36.0])
    assert np.isfinite(r).all()
