"""A constant-velocity Kalman filter for many keypoints at once, as pure functions on arrays.

`smooth/stage.py` keeps the state and calls these functions. With `agility` 0 and no `gate`, the model is filterpy's
KalmanFilter(dim_x=4, dim_z=2) with the state x, y, vx, vy: F from the actual time step,
Q = Q_discrete_white_noise(dim=2, dt, var=sigma_a^2) for each axis, and an H that selects x and y. The noise is equal
and independent along x and y, so both axes share one 2x2 covariance and every step has a closed form: one numpy
expression over (N, K) instead of N * K matrix filters (parity test: tests/smooth/test_kalman.py).

We add two things to that model:

- The process noise rises with the estimated speed, because a limb that moves fast also accelerates hard. The
  keypoints of a still person stay steady, and a punch is followed with little lag. This is the idea of the One-Euro
  filter, applied to a Kalman filter.
- A measurement far from its prediction counts for less: its influence grows with the square root of its distance. If
  the model swaps left and right wrist in a single frame, the arm is not flung across, and a real jump is still
  followed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The state of one keypoint: position x, y in pixels, velocity vx, vy in pixels per second, and their covariance, which
# is the same on both axes: var(position), cov(position, velocity), var(velocity).
WIDTH = 7
PLACE = slice(0, 2)
VELOCITY = slice(2, 4)
COVARIANCE = slice(4, 7)

# Standard deviation of the unknown velocity of a new keypoint, in person sizes per second: a walker's keypoints reach
# about 0.8, a runner's foot or a punch about 4.
START_SPEED = 2.0
# Scores below this are raised to it, because a score of 0 would mean infinite noise.
LEAST_SCORE = 0.05


def variance(scores: NDArray[np.float64], noise: ArrayLike) -> NDArray[np.float64]:
    """Return the measurement variance R of each keypoint, (noise / score) squared.

    Args:
        scores: float64 (N, K), 0..1.
        noise: standard deviation in pixels at score 1: a scalar or (N,).

    Returns:
        float64 (N, K), pixels squared.

    Example:
        Half the score means twice the noise, which is four times the variance.

        >>> from realtime.smooth import kalman
        >>> kalman.variance(np.array([[1.0, 0.5]]), noise=3.0)
        array([[ 9., 36.]])
    """
    return (_rows(noise) / np.maximum(scores, LEAST_SCORE)) ** 2


def start(values: NDArray[np.float64], r: NDArray[np.float64], speed: ArrayLike) -> NDArray[np.float64]:
    """Return the state after a first measurement: at the measured position, with unknown velocity.

    The covariance is P0 = diag(r, speed^2).

    Args:
        values: float64 (N, K, 2), the measured positions in pixels.
        r: variance of the measurement, (N, K), pixels squared.
        speed: standard deviation of the unknown velocity in pixels per second: a scalar or (N,).

    Returns:
        State, float64 (N, K, 7).

    Example:
        >>> from realtime.smooth import kalman
        >>> kalman.start(np.array([[[100.0, 50.0]]]), r=np.array([[9.0]]), speed=20.0)
        array([[[100.,  50.,   0.,   0.,   9.,   0., 400.]]])
    """
    state = np.zeros((*values.shape[:2], WIDTH))
    state[..., PLACE] = values
    state[..., 4] = r
    state[..., 6] = _rows(speed) ** 2
    return state


def predict(
    state: NDArray[np.float64], dt_s: ArrayLike, acceleration: ArrayLike, agility: float = 0.0
) -> NDArray[np.float64]:
    """Return the state `dt_s` seconds later, without a measurement.

    Args:
        state: float64 (N, K, 7), from `start` or `update`.
        dt_s: seconds, > 0: a scalar or (N,).
        acceleration: sigma_a of a keypoint at rest, in pixels per second squared: a scalar or (N,).
        agility: how much sigma_a rises for each pixel per second of speed, in 1/s.

    Returns:
        State, float64 (N, K, 7).

    Example:
        A keypoint that moves at 30 pixels per second to the right:

        >>> from realtime.smooth import kalman
        >>> state = kalman.start(np.array([[[100.0, 50.0]]]), r=np.array([[9.0]]), speed=20.0)
        >>> state[..., kalman.VELOCITY] = 30.0, 0.0
        >>> kalman.predict(state, dt_s=0.1, acceleration=300.0)[..., kalman.PLACE]
        array([[[103.,  50.]]])
    """
    speed = np.hypot(state[..., 2], state[..., 3])
    dt, q = _rows(dt_s), (_rows(acceleration) + agility * speed) ** 2
    pp, pv, vv = np.moveaxis(state[..., COVARIANCE], -1, 0)
    later = np.empty_like(state)
    later[..., PLACE] = state[..., PLACE] + state[..., VELOCITY] * dt[..., None]
    later[..., VELOCITY] = state[..., VELOCITY]
    later[..., 4] = pp + 2.0 * dt * pv + dt**2 * vv + q * dt**4 / 4.0
    later[..., 5] = pv + dt * vv + q * dt**3 / 2.0
    later[..., 6] = vv + q * dt**2
    return later


def update(
    state: NDArray[np.float64], values: NDArray[np.float64], r: NDArray[np.float64], gate: float = np.inf
) -> NDArray[np.float64]:
    """Return the predicted state, corrected by a measurement.

    Args:
        state: float64 (N, K, 7), from `predict`.
        values: float64 (N, K, 2), the measured positions in pixels.
        r: variance of each measurement, (N, K), pixels squared.
        gate: a measurement counts for less if its distance from the prediction exceeds `gate` times the expected
            distance, the RMS value sqrt(2 (var(position) + r)).

    Returns:
        State, float64 (N, K, 7).

    Example:
        Prediction and measurement have the same variance, so the result lies halfway. With a gate it stays closer to
        the prediction.

        >>> from realtime.smooth import kalman
        >>> state, r = kalman.start(np.zeros((1, 1, 2)), r=np.array([[9.0]]), speed=20.0), np.array([[9.0]])
        >>> kalman.update(state, np.array([[[60.0, 0.0]]]), r)[..., kalman.PLACE]
        array([[[30.,  0.]]])
        >>> kalman.update(state, np.array([[[60.0, 0.0]]]), r, gate=2.5)[..., kalman.PLACE]
        array([[[15.,  0.]]])
    """
    pp, pv, vv = np.moveaxis(state[..., COVARIANCE], -1, 0)
    surprise = values - state[..., PLACE]
    distance = np.hypot(surprise[..., 0], surprise[..., 1]) / np.sqrt(2.0 * (pp + r))
    times = np.sqrt(np.maximum(1.0, distance / gate))
    r = times * r + (times - 1.0) * pp  # multiplies pp + r, the variance of the surprise, by `times`
    total = pp + r
    better = np.empty_like(state)
    better[..., PLACE] = state[..., PLACE] + (pp / total)[..., None] * surprise
    better[..., VELOCITY] = state[..., VELOCITY] + (pv / total)[..., None] * surprise
    better[..., 4] = pp * r / total
    better[..., 5] = pv * r / total
    better[..., 6] = np.maximum(0.0, vv - pv**2 / total)
    return better


def _rows(values: ArrayLike) -> NDArray[np.float64]:
    """Reshape (N,) to (N, 1) and a scalar to (1, 1): both broadcast over (N, K)."""
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim else array[None, None]
