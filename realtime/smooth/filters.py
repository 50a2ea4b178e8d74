"""The two filters as the smoothing stage uses them: one interface, with the settings of the configuration.

Between smooth/stage.py and the maths in smooth/one_euro.py and smooth/kalman.py.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from realtime.config import SmoothingConfig
from realtime.smooth import kalman, one_euro
from realtime.smooth.people import Bools, Floats

# The first four columns of both filters' states: x and y, then their speeds.
PLACE = slice(0, 2)
SPEED = slice(2, 4)
MOTION = slice(0, 4)


class Step(NamedTuple):
    """The input of a filter in one frame. `values` and `scores` of keypoints that were not measured are fillers."""

    values: Floats  # (N, K, 2), pixels
    scores: Floats  # (N, K)
    idle_s: Floats  # (N, K), seconds since the keypoint was last measured
    dt_s: Floats  # (N,), seconds since the track's last frame
    size: Floats  # (N,), pixels


class Filter(Protocol):
    """A filter of keypoints.

    Its state is float64 (N, K, width). The first four columns are x, y in pixels and their speeds in pixels per second.
    """

    width: int

    def start(self, step: Step) -> Floats:
        """Return the state of keypoints after a first measurement, or after the first one since a reset."""

    def move(self, state: Floats, measured: Bools, step: Step) -> Floats:
        """Return the state one frame later. Only values where `measured` (N, K) is true are used."""


class OneEuro:
    """The One-Euro filter with the settings of the configuration."""

    width = one_euro.WIDTH

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config

    def start(self, step: Step) -> Floats:
        """Return the state of keypoints after a first measurement."""
        return one_euro.start(step.values)

    def move(self, state: Floats, measured: Bools, step: Step) -> Floats:
        """Time steps run from measurement to measurement, so a keypoint that was held catches up faster."""
        moved = one_euro.step(
            state,
            step.values,
            step.idle_s,
            size=step.size,
            min_cutoff_hz=self._config.min_cutoff_hz,
            beta=self._config.beta,
            derivative_cutoff_hz=self._config.derivative_cutoff_hz,
        )
        return np.where(measured[..., None], moved, state)


class Kalman:
    """The Kalman filter with the settings of the configuration."""

    width = kalman.WIDTH

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config

    def start(self, step: Step) -> Floats:
        """Return the state of keypoints after a first measurement."""
        return kalman.start(step.values, self._variance(step), kalman.START_SPEED * step.size)

    def move(self, state: Floats, measured: Bools, step: Step) -> Floats:
        """Every frame is a time step, so a keypoint that is not measured moves to its predicted place."""
        config = self._config
        predicted = kalman.predict(state, step.dt_s, config.acceleration * step.size, config.agility)
        updated = kalman.update(predicted, step.values, self._variance(step), config.gate)
        return np.where(measured[..., None], updated, predicted)

    def _variance(self, step: Step) -> Floats:
        return kalman.variance(step.scores, self._config.noise * step.size)
