"""How well a filtered motion follows the true one: error, jitter, lag, overshoot.

Used by evaluate.smoothing. Error, jitter and lag are those of the evaluation data's score_smoothing.py (parity:
tests/evaluate/test_smoothing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from realtime.evaluate.clips import WARM_UP_S, Clip, Floats

# The largest lag that is looked for.
MAX_LAG_S = 0.25
# Frames further apart than this are no neighbours: their difference says nothing about jitter.
LONGEST_STEP_S = 0.25
# True speeds in person sizes per second: slower than the first is at rest, faster than the second in motion. A walker's
# keypoints move at 0.7, in the middle.
REST_SPEED, MOTION_SPEED = 0.1, 0.5
# Overshoot is what lies beyond the truth's own range so long before and after.
OVERSHOOT_S = 0.5


@dataclass(frozen=True)
class Score:
    """How a filter did on a clip, or the mean over clips. NaN where it can't be told.

    Attributes:
        rmse_px: root mean square distance from the truth.
        rmse_percent: the same, of the person's size.
        jitter_px: root mean square of the second difference, px per frame^2, of the error; of the output itself where
            there is no truth. 0 where the output moves exactly as the truth does.
        rest_px: that, where the keypoint truly moves by less than REST_SPEED.
        motion_px: that, where it moves by more than MOTION_SPEED.
        lag_ms: by how much the output trails the truth.
        overshoot_px: how far the output of noise-free input goes beyond where the truth turns or stops: each keypoint's
            worst, the mean of them.
        missing_percent: true keypoints with no output; they are left out of the rest.
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
        """Of each measure, over the clips where it can be told."""
        columns = {field.name: np.array([getattr(score, field.name) for score in scores]) for field in fields(cls)}
        return cls(**{name: float(column[np.isfinite(column)].mean()) if np.isfinite(column).any() else np.nan
                      for name, column in columns.items()})  # fmt: skip


def measure(clip: Clip, output: Floats, of_truth: Floats | None = None) -> Score:
    """All measures of one filter's output on one clip.

    Args:
        clip: T frames of K keypoints.
        output: (T, K, 2), pixels.
        of_truth: (T, K, 2), the filter's output where `clip.without_noise()` is its input; overshoot needs it.
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
    """The second difference of (T, K, 2): (T - 2, K, 2), NaN across gaps.

    Where frames are missing it is the divided difference, scaled to the clip's usual step: a parabola gives the same
    everywhere. With equal steps it is the plain one.
    """
    step = np.diff(times_s)
    before, after = step[:-1, None, None], step[1:, None, None]
    slopes = np.diff(places, axis=0) / step[:, None, None]
    bend = 2.0 * np.diff(slopes, axis=0) / (before + after) * np.median(step) ** 2
    return np.where(np.maximum(before, after) <= LONGEST_STEP_S, bend, np.nan)


def speeds(places: Floats, times_s: Floats) -> Floats:
    """How fast (T, K, 2) moves in each frame but the first and the last: (T - 2, K), pixels per second."""
    return np.asarray(np.linalg.norm(places[2:] - places[:-2], axis=2) / (times_s[2:] - times_s[:-2])[:, None])


def _centred_mean(places: Floats, times_s: Floats) -> Floats:
    """Each frame's mean over a quarter of a second before and after: roughly the motion, where there is no truth."""
    near = np.abs(times_s[:, None] - times_s[None, :]) <= WARM_UP_S / 2
    return np.stack([np.nanmean(places[row], axis=0) for row in near])


def lag_ms(output: Floats, truth: Floats, times_s: Floats) -> float:
    """By how much the output trails: the shift at which its velocity is most like the truth's.

    score_smoothing.py's: the normalised correlation of the velocities, all keypoints and axes together, at shifts of
    whole frames up to MAX_LAG_S; between them the vertex of the parabola through the best and its neighbours.

    Args:
        output: (T, K, 2), pixels; NaN where there is none.
        truth: (T, K, 2).
        times_s: (T,); where frames are missing, both are read between the others by the same straight lines.

    Returns:
        Milliseconds, positive is late; NaN where the truth stands still.
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
    """The correlation of velocities (T, K, 2), the first taken to be `shift` frames late."""
    first, second = (moved[shift:], truly[: len(truly) - shift]) if shift >= 0 else (moved[:shift], truly[-shift:])
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    return float(first @ second / np.sqrt(max(1e-12, float(first @ first) * float(second @ second))))


def _evenly(places: Floats, times_s: Floats, step_s: float) -> Floats:
    """(T, K, 2) at equal steps of time, by straight lines between the frames; as they are where steps are equal."""
    if np.abs(np.diff(times_s) - step_s).max() < step_s * 1e-3:
        return places
    wanted = np.arange(times_s[0], times_s[-1], step_s)
    after = np.clip(np.searchsorted(times_s, wanted, side="right"), 1, len(times_s) - 1)
    part = ((wanted - times_s[after - 1]) / (times_s[after] - times_s[after - 1]))[:, None, None]
    return (1 - part) * places[after - 1] + part * places[after]


def overshoot(output: Floats, truth: Floats, times_s: Floats) -> float:
    """How far a filter goes beyond where the truth turns or stops, along x or y.

    Args:
        output: (T, K, 2), of noise-free input.
        truth: (T, K, 2).
        times_s: (T,).

    Returns:
        Pixels: each keypoint's worst distance beyond the truth's range within OVERSHOOT_S, the mean of them.
    """
    near = np.abs(times_s[:, None] - times_s[None, :]) <= OVERSHOOT_S
    low, high = (np.stack([pick(truth[row], axis=0) for row in near]) for pick in (np.min, np.max))
    beyond = np.maximum(np.maximum(output - high, low - output), 0.0).max(axis=(0, 2))
    beyond = beyond[np.isfinite(beyond)]
    return float(beyond.mean()) if beyond.size else np.nan


def _rms(values: Floats) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt((values * values).mean())) if values.size else np.nan
