"""Measures of how well a filtered motion follows the true one: error, jitter, lag and overshoot.

The command `smoothing` uses them. Its tests compare error, jitter and lag with an independent implementation: a scoring
script that is kept with the evaluation data, outside this repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from realtime.evaluate.smoothing.clips import WARM_UP_S, Clip, Floats

# The largest lag that is searched for.
MAX_LAG_S = 0.25
# Frames further apart than this do not count as neighbours, because their difference says nothing about jitter.
LONGEST_STEP_S = 0.25
# True speeds in person sizes per second. A keypoint slower than the first is at rest, one faster than the second is in
# motion. The median speed of a walker's keypoints is 0.7.
REST_SPEED, MOTION_SPEED = 0.1, 0.5
# Overshoot is the distance beyond the range of the truth, taken over this time before and after each frame.
OVERSHOOT_S = 0.5


@dataclass(frozen=True)
class Score:
    """The score of a filter on one clip, or its mean over clips. A measure that is undefined is NaN.

    Attributes:
        rmse_px: root mean square distance from the truth.
        rmse_percent: the same, in percent of the person's size.
        jitter_px: root mean square of the second difference of the error, in px per frame^2; 0 if the output moves
            exactly as the truth does. Without ground truth it is computed from the output itself.
        rest_px: jitter of the keypoints while their true speed is below REST_SPEED.
        motion_px: jitter of the keypoints while their true speed is above MOTION_SPEED.
        lag_ms: the time by which the output trails the truth.
        overshoot_px: how far the output for noise-free input goes beyond the truth where the truth turns or stops: the
            worst overshoot of each keypoint, averaged over the keypoints.
        missing_percent: share of the true keypoints without an output, which the other measures skip.

    Example:
        >>> from realtime.evaluate.smoothing.motion import Score
        >>> mean = Score.mean([Score(lag_ms=10.0, rmse_px=2.0), Score(lag_ms=20.0)])
        >>> mean.lag_ms, mean.rmse_px, mean.jitter_px
        (15.0, 2.0, nan)
    """

    rmse_px: float = np.nan
    rmse_percent: float = np.nan
    jitter_px: float = np.nan
    rest_px: float = np.nan
    motion_px: float = np.nan
    lag_ms: float = np.nan
    overshoot_px: float = np.nan
    missing_percent: float = np.nan

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """Average each measure over the clips for which it is defined."""
        columns = {field.name: np.array([getattr(score, field.name) for score in scores]) for field in fields(cls)}
        return cls(**{name: float(column[np.isfinite(column)].mean()) if np.isfinite(column).any() else np.nan
                      for name, column in columns.items()})  # fmt: skip


def measure(clip: Clip, output: Floats, of_truth: Floats | None = None) -> Score:
    """Score the output of a filter on one clip.

    The warm-up at the start of the clip counts for overshoot only.

    Args:
        clip: T frames of K keypoints.
        output: float64 (T, K, 2), pixels; NaN for a missing keypoint.
        of_truth: float64 (T, K, 2), the filter's output for `clip.without_noise()`. Overshoot is NaN without it.

    Returns:
        All measures. Without ground truth only the jitter measures are defined, and a moving average of the keypoints
        separates rest from motion.

    Example:
        An output that is 3 pixels to the right of the truth and 4 below it moves as the truth does.

        >>> from realtime.evaluate.smoothing.clips import Clip
        >>> from realtime.evaluate.smoothing.motion import measure
        >>> times_s = np.arange(60) / 30
        >>> truth = 50 * np.sin(3 * times_s)[:, None, None] * [1, 0]
        >>> boxes = np.zeros((60, 4), np.float32)
        >>> clip = Clip("wave", times_s, truth, np.ones((60, 1)), truth, 100.0, boxes, np.ones(60, np.bool_))
        >>> score = measure(clip, truth + [3, 4])
        >>> round(score.rmse_px, 6), round(score.jitter_px, 6), round(score.lag_ms, 6)
        (5.0, 0.0, 0.0)
    """
    start = clip.warm_up
    if clip.truth is None:
        shaking = second_difference(output, clip.times_s)
        moving = speeds(_centred_mean(clip.keypoints, clip.times_s), clip.times_s) / clip.size
    else:
        shaking = second_difference(output - clip.truth, clip.times_s)
        moving = speeds(clip.truth, clip.times_s) / clip.size
    shaking = np.linalg.norm(shaking, axis=2)[start:]
    moving = moving[start:]
    jitter = {
        "jitter_px": _rms(shaking),
        "rest_px": _rms(shaking[moving < REST_SPEED]),
        "motion_px": _rms(shaking[moving > MOTION_SPEED]),
    }
    if clip.truth is None:
        return Score(**jitter)
    off = np.linalg.norm(output - clip.truth, axis=2)[start:]
    labelled = np.isfinite(clip.truth[start:, :, 0])
    told = np.isfinite(off) & labelled
    rmse = _rms(off[told])
    return Score(
        rmse_px=rmse,
        rmse_percent=100 * rmse / clip.size,
        lag_ms=lag_ms(output[start:], clip.truth[start:], clip.times_s[start:]),
        overshoot_px=np.nan if of_truth is None else overshoot(of_truth, clip.truth, clip.times_s),
        missing_percent=100 * (1 - float(told.sum()) / max(1, int(labelled.sum()))),
        **jitter,
    )


def second_difference(places: Floats, times_s: Floats) -> Floats:
    """Return the second difference of positions over time.

    If frames are missing, this is the divided difference, scaled to the median time step, so that it is constant for a
    parabola. With equal steps it is the ordinary second difference.

    Args:
        places: float64 (T, K, 2), pixels.
        times_s: float64 (T,), increasing.

    Returns:
        float64 (T - 2, K, 2), px per frame^2; NaN across gaps longer than LONGEST_STEP_S.

    Example:
        >>> from realtime.evaluate.smoothing.motion import second_difference
        >>> parabola = np.array([[[0.0, 0.0]], [[1.0, 0.0]], [[4.0, 0.0]], [[9.0, 0.0]]])
        >>> second_difference(parabola, np.array([0.0, 0.125, 0.25, 0.375]))[:, 0]
        array([[2., 0.],
               [2., 0.]])
    """
    step = np.diff(times_s)
    before, after = step[:-1, None, None], step[1:, None, None]
    slopes = np.diff(places, axis=0) / step[:, None, None]
    bend = 2.0 * np.diff(slopes, axis=0) / (before + after) * np.median(step) ** 2
    return np.where(np.maximum(before, after) <= LONGEST_STEP_S, bend, np.nan)


def speeds(places: Floats, times_s: Floats) -> Floats:
    """Return the speed of each keypoint in every frame except the first and the last, by central differences.

    Args:
        places: float64 (T, K, 2), pixels.
        times_s: float64 (T,), increasing.

    Returns:
        float64 (T - 2, K), pixels per second.

    Example:
        >>> from realtime.evaluate.smoothing.motion import speeds
        >>> speeds(np.array([[[0.0, 0.0]], [[3.0, 4.0]], [[6.0, 8.0]]]), np.array([0.0, 0.125, 0.25]))
        array([[40.]])
    """
    return np.asarray(np.linalg.norm(places[2:] - places[:-2], axis=2) / (times_s[2:] - times_s[:-2])[:, None])


def _centred_mean(places: Floats, times_s: Floats) -> Floats:
    """The mean over a quarter of a second before and after each frame: estimates the motion without ground truth."""
    near = np.abs(times_s[:, None] - times_s[None, :]) <= WARM_UP_S / 2
    return np.stack([np.nanmean(places[row], axis=0) for row in near])


def lag_ms(output: Floats, truth: Floats, times_s: Floats) -> float:
    """Return the time by which the output trails the truth: the shift at which their velocities correlate best.

    The velocities of all keypoints and axes enter one normalised cross-correlation. It is computed at shifts of whole
    frames up to MAX_LAG_S, and refined by the vertex of the parabola through the best shift and its two neighbours.

    Args:
        output: float64 (T, K, 2), pixels; NaN for a missing keypoint.
        truth: float64 (T, K, 2), pixels.
        times_s: float64 (T,), increasing. If frames are missing, output and truth are both interpolated linearly.

    Returns:
        Milliseconds, positive if the output is late; NaN if the truth stands still.

    Example:
        >>> from realtime.evaluate.smoothing.motion import lag_ms
        >>> times_s = np.arange(90) / 30
        >>> truth, late = (50 * np.sin(3 * (times_s - delay_s))[:, None, None] * [1, 0] for delay_s in (0.0, 0.1))
        >>> round(lag_ms(late, truth, times_s))
        100
    """
    if not _rms(np.diff(truth, axis=0)) > 0.1:
        return np.nan
    step_s = float(np.median(np.diff(times_s)))
    moved, truly = (np.diff(_evenly(places, times_s, step_s), axis=0) for places in (output, truth))
    furthest = min(max(2, round(MAX_LAG_S / step_s)), (len(moved) + 1) // 3)
    alike = [_alike(moved, truly, shift) for shift in range(-furthest, furthest + 1)]
    best = int(np.argmax(alike))
    between = 0.0
    if 0 < best < len(alike) - 1:
        before, here, after = alike[best - 1 : best + 2]
        bend = before - 2 * here + after
        between = 0.5 * (before - after) / bend if abs(bend) > 1e-12 else 0.0
    return 1e3 * (best - furthest + between) * step_s


def _alike(moved: Floats, truly: Floats, shift: int) -> float:
    """The normalised correlation of two series of velocities (T, K, 2), the first of which is `shift` frames late."""
    first, second = (moved[shift:], truly[: len(truly) - shift]) if shift >= 0 else (moved[:shift], truly[-shift:])
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    return float(first @ second / np.sqrt(max(1e-12, float(first @ first) * float(second @ second))))


def _evenly(places: Floats, times_s: Floats, step_s: float) -> Floats:
    """Resample (T, K, 2) to equal time steps by linear interpolation; returned as they are if the steps are equal."""
    if np.abs(np.diff(times_s) - step_s).max() < step_s * 1e-3:
        return places
    wanted = np.arange(times_s[0], times_s[-1], step_s)
    after = np.clip(np.searchsorted(times_s, wanted, side="right"), 1, len(times_s) - 1)
    part = ((wanted - times_s[after - 1]) / (times_s[after] - times_s[after - 1]))[:, None, None]
    return (1 - part) * places[after - 1] + part * places[after]


def overshoot(output: Floats, truth: Floats, times_s: Floats) -> float:
    """Return how far a filter goes beyond the points where the truth turns or stops, along x or y.

    Args:
        output: float64 (T, K, 2), the filter's output for noise-free input, in pixels.
        truth: float64 (T, K, 2), pixels.
        times_s: float64 (T,), increasing.

    Returns:
        Pixels, the mean over the keypoints of each one's largest distance beyond the range of the truth. The range is
        taken over OVERSHOOT_S before and after each frame. NaN if the result is undefined for all keypoints.

    Example:
        The truth jumps from 0 to 100 px, and the output swings to 108 px.

        >>> from realtime.evaluate.smoothing.motion import overshoot
        >>> truth = np.repeat([0.0, 100.0], 5)[:, None, None] * [1, 0]
        >>> output = truth.copy()
        >>> output[6, 0, 0] = 108.0
        >>> overshoot(output, truth, np.arange(10) / 10)
        8.0
    """
    near = np.abs(times_s[:, None] - times_s[None, :]) <= OVERSHOOT_S
    low, high = (np.stack([pick(truth[row], axis=0) for row in near]) for pick in (np.min, np.max))
    beyond = np.maximum(np.maximum(output - high, low - output), 0.0).max(axis=(0, 2))
    beyond = beyond[np.isfinite(beyond)]
    return float(beyond.mean()) if beyond.size else np.nan


def _rms(values: Floats) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt((values * values).mean())) if values.size else np.nan
