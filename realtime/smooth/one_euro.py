"""The One-Euro filter on many keypoints at once: pure functions on arrays.

Used by smooth/stage.py, which keeps the state. A low-pass filter whose cutoff rises with speed: calm at rest, quick in
motion. Source: Casiez, Roussel and Vogel, "1€ Filter", CHI 2012, Algorithm 1 and 2. What we changed: the speed is
divided by the person's size before it meets beta, so one beta fits near and far people alike; with size 1 it is the
paper's filter. As in the paper the speed is taken against the previous filtered value (the authors' later code takes
the previous raw one).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The state of one keypoint: x and y in pixels, and their low-passed speeds in pixels per second.
WIDTH = 4
PLACE = slice(0, 2)
SPEED = slice(2, 4)


def start(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The state after a first measurement: there, at rest.

    Args:
        values: float64 (N, K, 2), pixels.

    Returns:
        State, float64 (N, K, 4).
    """
    return np.concatenate([values, np.zeros_like(values)], axis=-1)


def step(
    state: NDArray[np.float64],
    values: NDArray[np.float64],
    dt_s: ArrayLike,
    *,
    size: ArrayLike = 1.0,
    min_cutoff_hz: float = 1.0,
    beta: float = 0.0,
    derivative_cutoff_hz: float = 1.0,
) -> NDArray[np.float64]:
    """The state after one more measurement. `state[..., PLACE]` is the filtered value.

    Args:
        state: float64 (N, K, 4), of `start` or `step`.
        values: float64 (N, K, 2), pixels.
        dt_s: seconds since the previous measurement, > 0: a number, (N,) or (N, K).
        size: size of the person in pixels, > 0: a number or (N,).
        min_cutoff_hz: cutoff at rest.
        beta: cutoff gained per speed, in Hz per (size per second).
        derivative_cutoff_hz: cutoff of the low-pass filter on the speed.

    Returns:
        State, float64 (N, K, 4).
    """
    dt = _per_keypoint(dt_s)
    speed = _low_pass(state[..., SPEED], (values - state[..., PLACE]) / dt, derivative_cutoff_hz, dt)
    cutoff_hz = min_cutoff_hz + beta * np.abs(speed) / _per_keypoint(size)
    place = _low_pass(state[..., PLACE], values, cutoff_hz, dt)
    return np.concatenate([place, speed], axis=-1)


def _low_pass(
    before: NDArray[np.float64], values: NDArray[np.float64], cutoff_hz: ArrayLike, dt_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Exponential smoothing with the paper's alpha = 1 / (1 + tau / dt), tau = 1 / (2 pi cutoff)."""
    alpha = 1.0 / (1.0 + 1.0 / (2.0 * np.pi * np.asarray(cutoff_hz) * dt_s))
    return before + alpha * (values - before)


def _per_keypoint(values: ArrayLike) -> NDArray[np.float64]:
    """A number, (N,) or (N, K) with as many trailing axes as broadcast over (N, K, 2)."""
    array = np.asarray(values, np.float64)
    return array.reshape(array.shape + (1,) * (3 - array.ndim)) if array.ndim else array
