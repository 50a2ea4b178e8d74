"""A constant-velocity Kalman filter on many keypoints at once: pure functions on arrays.

Used by smooth/stage.py, which keeps the state. With `agility` 0 and no `gate` the model is filterpy's
KalmanFilter(dim_x=4, dim_z=2) with state
x, y, vx, vy; F from the real time step; Q = Q_discrete_white_noise(dim=2, dt, var=sigma_a^2) for each axis; H picks
x and y. Its noise is the same along x and y and independent, so both axes share one 2x2 covariance and everything has
a closed form: one numpy expression over (N, K) instead of N K matrix filters (parity: tests/smooth/test_kalman.py).

Two things are added. What moves fast accelerates hard: the process noise rises with the estimated speed, so that a
still person is calm and a punch has no lag (the idea of the One-Euro filter, in the Kalman filter's terms). And a
measurement that is far from what was predicted counts for less: its influence grows with the square root of its
distance, so that a wrist which is taken for the other one in a single frame doesn't fling the arm, and a real jump is
still followed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The state of one keypoint: x and y in pixels, vx and vy in pixels per second, and the covariance of place and velocity
# (the same on both axes): var(place), cov(place, velocity), var(velocity).
WIDTH = 7
PLACE = slice(0, 2)
VELOCITY = slice(2, 4)
COVARIANCE = slice(4, 7)

# A keypoint's unknown speed at first sight, standard deviation in person sizes per second: a walker makes about 0.8, a
# runner's foot or a punch about 4.
START_SPEED = 2.0
# A score of 0 would mean infinite noise.
LEAST_SCORE = 0.05


def variance(scores: NDArray[np.float64], noise: ArrayLike) -> NDArray[np.float64]:
    """R of each keypoint: the noise of a sure keypoint divided by its score, squared.

    Args:
        scores: float64 (N, K), 0..1.
        noise: standard deviation in pixels at score 1: a number or (N,).

    Returns:
        float64 (N, K), pixels squared.
    """
    return (_rows(noise) / np.maximum(scores, LEAST_SCORE)) ** 2


def start(values: NDArray[np.float64], r: NDArray[np.float64], speed: ArrayLike) -> NDArray[np.float64]:
    """The state after a first measurement: there, moving anywhere. P0 = diag(r, speed^2).

    Args:
        values: float64 (N, K, 2), pixels.
        r: variance of the measurement, (N, K).
        speed: standard deviation of the unknown velocity in pixels per second: a number or (N,).

    Returns:
        State, float64 (N, K, 7).
    """
    state = np.zeros((*values.shape[:2], WIDTH))
    state[..., PLACE] = values
    state[..., 4] = r
    state[..., 6] = _rows(speed) ** 2
    return state


def predict(
    state: NDArray[np.float64], dt_s: ArrayLike, acceleration: ArrayLike, agility: float = 0.0
) -> NDArray[np.float64]:
    """The state `dt_s` later, with nothing measured.

    Args:
        state: float64 (N, K, 7).
        dt_s: seconds, > 0: a number or (N,).
        acceleration: sigma_a of what is at rest, in pixels per second squared: a number or (N,).
        agility: what sigma_a gains for each pixel per second of speed, 1/s.

    Returns:
        State, float64 (N, K, 7).
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
    """The predicted state corrected by a measurement.

    Args:
        state: float64 (N, K, 7), of `predict`.
        values: float64 (N, K, 2), pixels.
        r: variance of each measurement, (N, K).
        gate: distance from the prediction, in its standard deviations, from which on a measurement counts for less.

    Returns:
        State, float64 (N, K, 7).
    """
    pp, pv, vv = np.moveaxis(state[..., COVARIANCE], -1, 0)
    surprise = values - state[..., PLACE]
    distance = np.hypot(surprise[..., 0], surprise[..., 1]) / np.sqrt(2.0 * (pp + r))
    times = np.sqrt(np.maximum(1.0, distance / gate))
    r = times * r + (times - 1.0) * pp  # so that pp + r becomes that many times what it was
    total = pp + r
    better = np.empty_like(state)
    better[..., PLACE] = state[..., PLACE] + (pp / total)[..., None] * surprise
    better[..., VELOCITY] = state[..., VELOCITY] + (pv / total)[..., None] * surprise
    better[..., 4] = pp * r / total
    better[..., 5] = pv * r / total
    better[..., 6] = np.maximum(0.0, vv - pv**2 / total)
    return better


def _rows(values: ArrayLike) -> NDArray[np.float64]:
    """A number as it is, (N,) as (N, 1): both broadcast over (N, K)."""
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim else array[None, None]
