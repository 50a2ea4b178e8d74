"""Filters that run over one clip: the program's own, and the two that they are compared with.

The paper's One-Euro filter is written out here instead of imported from realtime.smooth, which it is compared with.
"""

from __future__ import annotations

import numpy as np

from realtime.config import SmoothingConfig
from realtime.evaluate.smoothing.clips import Bools, Clip, Floats
from realtime.pose.stage import with_keypoints
from realtime.smooth.stage import SmoothStage
from realtime.types import Frame, Poses, Tracks

DERIVATIVE_CUTOFF_HZ = 1.0
# Parameters of filterpy's filter: spectral density of the acceleration in px^2/s^3, and standard deviations of the
# measurement noise in px and of the initial velocity in px/s.
FILTERPY_DENSITY, FILTERPY_NOISE, FILTERPY_SPEED = 4e4, 3.0, 100.0


def as_the_program(clip: Clip, config: SmoothingConfig) -> Floats:
    """Filter a clip as the program does, with SmoothStage over Poses.

    A keypoint that the pose model missed enters as it leaves pose.stage: at the centre of the box, with score 0.

    Returns:
        float64 (T, K, 2), finite.
    """
    picture = np.zeros((1, 1, 3), np.uint8)
    found = np.concatenate([clip.keypoints, clip.scores[..., None]], axis=2).astype(np.float32)
    poses: list[Poses] = []
    for index, time_s in enumerate(clip.times_s.tolist()):
        frame = Frame("cam0", 0, index, picture, time_s, captured_mono_ns=0, captured_unix_ns=0)
        who = np.ones(1, np.int64), clip.measured[index : index + 1]
        tracks = Tracks(frame, clip.xyxy[index : index + 1], np.ones(1, np.float32), *who)
        poses.append(with_keypoints(tracks, found[index : index + 1]))
    return np.concatenate([out.keypoints for out in SmoothStage(config).process(poses)]).astype(np.float64)


def paper_one_euro(clip: Clip, min_cutoff_hz: Floats, beta: Floats) -> Floats:
    """Filter a clip with the reference, the One-Euro filter in pixels, at P settings.

    Source: Casiez, Roussel and Vogel, CHI 2012, Algorithm 1, applied to x and y separately. A missed keypoint keeps its
    last position.

    Args:
        clip: T frames of K keypoints.
        min_cutoff_hz: float64 (P,), the cutoff at rest of each setting.
        beta: float64 (P,), in Hz per (pixel per second).

    Returns:
        float64 (P, T, K, 2), NaN until a keypoint is first seen.
    """
    least, gain = min_cutoff_hz[:, None, None], beta[:, None, None]
    out = np.empty((len(beta), *clip.keypoints.shape))
    out[:, 0] = clip.keypoints[0]
    place, speed = out[:, 0].copy(), np.zeros_like(out[:, 0])

    def alpha(cutoff_hz: Floats | float, rate_hz: float) -> Floats:
        return np.asarray(1.0 / (1.0 + rate_hz / (2.0 * np.pi * cutoff_hz)))

    for index, dt_s in enumerate(np.diff(clip.times_s).tolist(), 1):
        seen = clip.keypoints[index]
        place = np.where(np.isnan(place), seen, place)
        moved = speed + alpha(DERIVATIVE_CUTOFF_HZ, 1 / dt_s) * ((seen - place) / dt_s - speed)
        speed = np.where(np.isnan(seen), speed, moved)
        followed = place + alpha(least + gain * np.abs(speed), 1 / dt_s) * (seen - place)
        out[:, index] = place = np.where(np.isnan(seen), place, followed)
    return out


def filterpy_kalman(clip: Clip) -> Floats:
    """Filter each keypoint with filterpy's constant-velocity KalmanFilter; a missed keypoint is predicted.

    Returns:
        float64 (T, K, 2), NaN until a keypoint is first seen.
    """
    return np.stack([_filterpy_keypoint(clip.times_s, places) for places in clip.keypoints.swapaxes(0, 1)], axis=1)


def _filterpy_keypoint(times_s: Floats, places: Floats) -> Floats:
    """Filter the positions (T, 2) of one keypoint; the state is x, y, vx, vy."""
    from filterpy.common import Q_continuous_white_noise
    from filterpy.kalman import KalmanFilter

    out = np.full_like(places, np.nan)
    seen: Bools = np.isfinite(places[:, 0])
    if not seen.any():
        return out
    first = int(seen.argmax())
    kalman = KalmanFilter(dim_x=4, dim_z=2)
    kalman.x = np.array([*places[first], 0.0, 0.0])
    kalman.H = np.eye(2, 4)
    kalman.R = np.eye(2) * FILTERPY_NOISE**2
    kalman.P = np.diag([FILTERPY_NOISE**2] * 2 + [FILTERPY_SPEED**2] * 2)
    out[first] = places[first]
    for index in range(first + 1, len(places)):
        dt_s = times_s[index] - times_s[index - 1]
        kalman.F = np.eye(4) + dt_s * np.eye(4, k=2)
        kalman.Q = np.kron(Q_continuous_white_noise(2, dt_s, FILTERPY_DENSITY), np.eye(2))
        kalman.predict()
        if seen[index]:
            kalman.update(places[index])
        out[index] = kalman.x[:2]
    return out
