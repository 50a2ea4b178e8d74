"""The One-Euro filter for many keypoints at once, as pure functions on arrays.

`smooth/stage.py` keeps the state and calls these functions. The filter is a low-pass whose cutoff rises with speed:
steady at rest, responsive in motion. Source: Casiez, Roussel and Vogel, "1€ Filter", CHI 2012, Algorithms 1 and 2.

We changed one thing: the speed is divided by the person's size before it is multiplied by beta, so that one beta suits
people near and far. With size 1 this is the paper's filter. As in the paper, the speed is the difference from the
previous filtered value; the authors' later code uses the previous raw value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The state of one keypoint: the filtered x, y in pixels, and their low-passed speeds in pixels per second.
WIDTH = 4
PLACE = slice(0, 2)
SPEED = slice(2, 4)


def start(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the state after a first measurement: at the measured position, at rest.

    Args:
        values: float64 (N, K, 2), the measured positions in pixels.

    Returns:
        State, float64 (N, K, 4).

    Example:
        >>> from realtime.smooth import one_euro
        >>> one_euro.start(np.array([[[100.0, 50.0]]]))
        array([[[100.,  50.,   0.,   0.]]])
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
    """Return the state after one more measurement; `state[..., PLACE]` is the filtered position.

    Args:
        state: float64 (N, K, 4), from `start` or `step`.
        values: float64 (N, K, 2), the measured positions in pixels.
        dt_s: seconds since the previous measurement, > 0: a scalar, (N,) or (N, K).
        size: size of the person in pixels, > 0: a scalar or (N,).
        min_cutoff_hz: cutoff at rest.
        beta: how much the cutoff rises with speed, in Hz per (size per second).
        derivative_cutoff_hz: cutoff of the low-pass filter on the speed.

    Returns:
        State, float64 (N, K, 4).

    Example:
        A keypoint jumps by 10 pixels between two frames. With a higher beta the filter follows faster.

        >>> from realtime.smooth import one_euro
        >>> state = one_euro.start(np.array([[[100.0, 50.0]]]))
        >>> jumped = np.array([[[110.0, 50.0]]])
        >>> one_euro.step(state, jumped, dt_s=1 / 30)[..., one_euro.PLACE].round(1)
        array([[[101.7,  50. ]]])
        >>> one_euro.step(state, jumped, dt_s=1 / 30, size=200.0, beta=8.0)[..., one_euro.PLACE].round(1)
        array([[[103.9,  50. ]]])
    """
    dt = _per_keypoint(dt_s)
    speed = _low_pass(state[..., SPEED], (values - state[..., PLACE]) / dt, derivative_cutoff_hz, dt)
    cutoff_hz = min_cutoff_hz + beta * np.abs(speed) / _per_keypoint(size)
    place = _low_pass(state[..., PLACE], values, cutoff_hz, dt)
    return np.concatenate([place, speed], axis=-1)


def _low_pass(
    before: NDArray[np.float64], values: NDArray[np.float64], cutoff_hz: ArrayLike, dt_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smooth exponentially with the paper's alpha = 1 / (1 + tau / dt), tau = 1 / (2 pi cutoff)."""
    alpha = 1.0 / (1.0 + 1.0 / (2.0 * np.pi * np.asarray(cutoff_hz) * dt_s))
    return before + alpha * (values - before)


def _per_keypoint(values: ArrayLike) -> NDArray[np.float64]:
    """Append axes to an (N,) or (N, K) array so that it broadcasts over (N, K, 2); a scalar needs none."""
    array = np.asarray(values, np.float64)
    return array.reshape(array.shape + (1,) * (3 - array.ndim)) if array.ndim else array
