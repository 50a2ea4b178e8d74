"""The motion model of the tracker: a Kalman filter with constant velocity, for all people of a camera at once.

track/association.py uses it. It is the filter of ByteTrack and DeepSORT (Wojke et al., "Simple Online and Realtime
Tracking with a Deep Association Metric", ICIP 2017) with the continuous time of boxmot 25 (motion/kalman_filters). No
coordinate of it influences another, so four filters of 2 x 2 replace one of 8 x 8, and one call serves N people.

The state is float64 (5, N, 4): the rows below, and for each person centre x, centre y, aspect ratio (width / height)
and height of the box. Lengths are in pixels, speeds per second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Rows of the state: estimate, its speed, variance of the estimate, covariance of both, variance of the speed.
MEAN, SPEED, VAR, COV, SPEED_VAR = range(5)
# Columns of the state.
X, Y, ASPECT, HEIGHT = range(4)
_IS_LENGTH = np.array([True, True, False, True])
# The estimates of aspect ratio and height stay above this, as in boxmot.
_LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Noise:
    """How people move and how detections jitter: standard deviations per reference frame, with DeepSORT's numbers.

    Attributes:
        frame_s: duration of the reference frame in seconds.
        place: of a detection, and of the change of the estimate; in heights of the person.
        speed: of the change of the speed, in heights per reference frame.
        first_place, first_speed: of a new person's estimate and speed, as multiples of `place` and `speed`.
        aspect: of a detection's aspect ratio.
        aspect_place, aspect_speed: of the change of the aspect ratio and of its speed, and of a new person's.
        is_integrated: integrate the changes over the time step, so that two steps equal one of the same total duration.
            False: add them once per step, as boxmot does if its time step is fixed.
    """

    frame_s: float = 1 / 30
    place: float = 1 / 20
    speed: float = 1 / 160
    first_place: float = 2.0
    first_speed: float = 10.0
    aspect: float = 1e-1
    aspect_place: float = 1e-2
    aspect_speed: float = 1e-5
    is_integrated: bool = True


class Filter:
    """The filter with one set of `Noise`.

    A person who walks 3 px in each 1/30 s:

    >>> motion = Filter(Noise())
    >>> state = motion.begin(np.array([[100.0, 100, 160, 280]]))
    >>> for k in range(1, 60):
    ...     state = motion.predict(state, 1 / 30)
    ...     motion.correct(state, np.array([0]), np.array([[100.0 + 3 * k, 100, 160 + 3 * k, 280]]))
    >>> state[SPEED].round().tolist(), boxes_of(state).round().tolist()
    ([[90.0, 0.0, 0.0, 0.0]], [[277.0, 100.0, 337.0, 280.0]])
    """

    def __init__(self, noise: Noise) -> None:
        place, speed, frame_s = noise.place, noise.speed / noise.frame_s, noise.frame_s
        aspect_speed = noise.aspect_speed / frame_s
        self._measured2 = np.array([place, place, noise.aspect, place]) ** 2
        # Per second, or per reference frame if nothing is integrated.
        self._place2 = np.array([place, place, noise.aspect_place, place]) ** 2 / frame_s
        self._speed2 = np.array([speed, speed, aspect_speed, speed]) ** 2 / frame_s
        first_place, first_speed = noise.first_place * place, noise.first_speed * speed
        self._first_place2 = np.array([first_place, first_place, noise.aspect_place, first_place]) ** 2
        self._first_speed2 = np.array([first_speed, first_speed, aspect_speed, first_speed]) ** 2
        # Parts of the speed's change that arrive in the covariance and in the estimate within a step of 1 s.
        self._to_cov, self._to_var = (1 / 2, 1 / 3) if noise.is_integrated else (0.0, 0.0)

    def begin(self, xyxy: Floats) -> Floats:
        """Return the state of new people: float64 (5, N, 4).

        Args:
            xyxy: float64 (N, 4), their detected boxes x1, y1, x2, y2 in pixels.
        """
        state = np.zeros((5, *xyxy.shape))
        state[MEAN] = _measured(xyxy)
        lengths2 = _lengths2(state[MEAN])
        state[VAR] = lengths2 * self._first_place2
        state[SPEED_VAR] = lengths2 * self._first_speed2
        return state

    def predict(self, state: Floats, step_s: float) -> Floats:
        """Return the state `step_s` seconds later.

        The noise is that of boxmot's `_elapsed_motion`: white noise on the place and on the speed, integrated over the
        step.
        """
        mean, speed, var, cov, speed_var = state
        lengths2 = _lengths2(mean)
        change = lengths2 * (self._speed2 * step_s)  # of the speed's variance
        later = np.empty_like(state)
        np.add(mean, speed * step_s, out=later[MEAN])
        np.maximum(later[MEAN, :, ASPECT:], _LEAST, out=later[MEAN, :, ASPECT:])
        later[SPEED] = speed
        later[VAR] = (
            var + step_s * (2 * cov + step_s * (speed_var + self._to_var * change)) + lengths2 * (self._place2 * step_s)
        )
        later[COV] = cov + step_s * (speed_var + self._to_cov * change)
        np.add(speed_var, change, out=later[SPEED_VAR])
        return later

    def correct(self, state: Floats, rows: NDArray[np.int64], xyxy: Floats) -> None:
        """Correct some people's state by their detections, in place.

        Args:
            state: float64 (5, N, 4), as predicted for the time of the detections.
            rows: int64 (M,), whose boxes were detected.
            xyxy: float64 (M, 4), these boxes.
        """
        now = state.take(rows, 1)
        off = _measured(xyxy) - now[MEAN]
        var, cov = now[VAR].copy(), now[COV].copy()
        total = var + _lengths2(now[MEAN]) * self._measured2
        gain, speed_gain = var / total, cov / total
        now[MEAN] += gain * off
        now[SPEED] += speed_gain * off
        now[VAR] -= gain * var
        now[COV] -= gain * cov
        now[SPEED_VAR] -= speed_gain * cov
        np.maximum(now[MEAN, :, ASPECT:], _LEAST, out=now[MEAN, :, ASPECT:])
        state[:, rows] = now


def boxes_of(state: Floats) -> Floats:
    """Return the estimated boxes x1, y1, x2, y2 in pixels, float64 (N, 4)."""
    mean = state[MEAN]
    half: Floats = mean[:, ASPECT:] / 2  # aspect ratio, height
    half[:, 0] *= mean[:, HEIGHT]
    boxes: Floats = np.empty_like(mean)
    np.subtract(mean[:, :ASPECT], half, out=boxes[:, :2])
    np.add(mean[:, :ASPECT], half, out=boxes[:, 2:])
    return boxes


def _measured(xyxy: Floats) -> Floats:
    """Return boxes as centre x, centre y, aspect ratio and height."""
    found = np.empty_like(xyxy)
    low, high = xyxy[:, :2], xyxy[:, 2:]
    np.add(low, high, out=found[:, :2])
    found[:, :2] /= 2
    np.subtract(high, low, out=found[:, 2:])
    found[:, ASPECT] /= found[:, HEIGHT]
    return found


def _lengths2(mean: Floats) -> Floats:
    """Return the factors (N, 4) of the variances: the squared height, and 1 for the aspect ratio."""
    factors: Floats = np.where(_IS_LENGTH, mean[:, HEIGHT:] ** 2, 1.0)
    return factors
