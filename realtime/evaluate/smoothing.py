"""python -m realtime.evaluate smoothing: filters against true motion, side by side: error, jitter, lag, overshoot.

Drives realtime.smooth.stage as the program does; beside it the paper's One-Euro filter, in pixels, over a sweep of its
two parameters, and filterpy's constant-velocity Kalman filter. Error, jitter and lag are those of the evaluation data's
score_smoothing.py (parity: tests/evaluate/test_smoothing.py).

A filter is judged on jitter and lag together: either alone is had for nothing, by freezing the output or by passing the
input. So the plot is jitter over lag, and the last two columns compare with the best that the reference reaches there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from itertools import compress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from realtime import wire
from realtime.config import SmoothingConfig, leaves, load
from realtime.errors import ConfigError, OutputError
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.pose.stage import with_keypoints
from realtime.smooth.stage import SmoothStage
from realtime.types import Frame, Poses, Tracks

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FILTERS = ("none", "one-euro", "kalman", "reference", "filterpy")
# Left out at the beginning of a clip, where every filter still learns; of short clips a quarter.
WARM_UP_S = 0.5
# The largest lag that is looked for.
MAX_LAG_S = 0.25
# Frames further apart than this are no neighbours: their difference says nothing about jitter.
LONGEST_STEP_S = 0.25
# True speeds in person sizes per second: slower than the first is at rest, faster than the second in motion. A walker's
# keypoints move at 0.7, in the middle.
REST_SPEED, MOTION_SPEED = 0.1, 0.5
# Overshoot is what lies beyond the truth's own range so long before and after.
OVERSHOOT_S = 0.5
# A person's box reaches so far beyond the extent of the keypoints, on each side: there is more than joints to a person.
BOX_MARGIN = 0.1
# Tracks of a recording that are shorter say nothing.
SHORTEST_TRACK = 30
# The reference's two parameters, min_cutoff in Hz and beta in Hz per (pixel per second): from a filter that hardly
# moves to one that hardly filters.
SWEEP_MIN_CUTOFF_HZ = np.geomspace(0.1, 25.6, 11)
SWEEP_BETA = np.concatenate([[0.0], np.geomspace(4e-4, 0.8, 20)])
# Settings of it that are met in the wild: the authors' constructor, pose demos, and a good one from the sweep.
KNOWN = ((1.0, 0.0), (1.0, 0.007), (0.5, 0.02))
DERIVATIVE_CUTOFF_HZ = 1.0
# filterpy's: spectral density of the acceleration in px^2/s^3; measurement noise and first speed, standard deviations
# in px and px/s.
FILTERPY_DENSITY, FILTERPY_NOISE, FILTERPY_SPEED = 4e4, 3.0, 100.0


# ---- clips


@dataclass(frozen=True, eq=False)
class Clip:
    """One person's keypoints over time, T frames of K keypoints, in pixels.

    Attributes:
        name: what the report calls it.
        times_s: float64 (T,), rising.
        keypoints: float64 (T, K, 2), as a pose model says; NaN where it missed one.
        scores: float64 (T, K), 0..1.
        truth: float64 (T, K, 2), NaN where there is none; None for a recording.
        size: the square root of the person's area in pixels, COCO's scale.
        xyxy: float32 (T, 4), the person's box.
        measured: bool (T,), False where the pose is the program's prediction.
    """

    name: str
    times_s: Floats
    keypoints: Floats
    scores: Floats
    truth: Floats | None
    size: float
    xyxy: NDArray[np.float32]
    measured: Bools

    def __len__(self) -> int:
        return len(self.times_s)

    def take(self, frames: Bools) -> Clip:
        """These frames alone, of a mask (T,)."""
        truth = None if self.truth is None else self.truth[frames]
        arrays = (self.times_s[frames], self.keypoints[frames], self.scores[frames], truth)
        return Clip(self.name, *arrays, self.size, self.xyxy[frames], self.measured[frames])

    def without_noise(self) -> Clip:
        """The truth itself as what the pose model says, every keypoint sure: how a filter moves when nothing shakes."""
        assert self.truth is not None
        sure = np.ones_like(self.scores)
        return Clip(self.name, self.times_s, self.truth, sure, self.truth, self.size, self.xyxy, self.measured)

    @property
    def step_s(self) -> float:
        """The time from frame to frame, as it mostly is."""
        return float(np.median(np.diff(self.times_s)))

    @property
    def warm_up(self) -> int:
        """How many frames are left out at the beginning."""
        learning = self.times_s - self.times_s[0] < WARM_UP_S - self.step_s / 2
        return min(int(learning.sum()), len(self) // 4)


def read_clips(paths: Sequence[Path]) -> list[Clip]:
    """The clips of files and of all such files in folders.

    Args:
        paths: `.npz` with `gt` and `noisy` (T, K, 2), `conf` (T, K), `fps` and `scale`, or `times_s` (T,) in the place
            of `fps` and `xyxy` (T, 4) if it likes; `.jsonl`: a recording of the program, each track is a clip.

    Raises:
        ConfigError: a file is missing or holds something else.
    """
    clips: list[Clip] = []
    for path in paths:
        inside = [file for file in path.iterdir() if file.suffix in (".npz", ".jsonl")] if path.is_dir() else [path]
        for file in sorted(inside):
            clips += _read_recording(file) if file.suffix == ".jsonl" else [_read_npz(file)]
    if not clips:
        shown = ", ".join(map(str, paths))
        raise ConfigError(
            f"smoothing: {shown}: got no clip, expected .npz files or recordings of at least {SHORTEST_TRACK} frames"
        )
    return clips


def _read_npz(path: Path) -> Clip:
    try:
        with np.load(path) as data:
            truth, keypoints, scores = (data[key].astype(np.float64) for key in ("gt", "noisy", "conf"))
            times_s = data["times_s"] if "times_s" in data else np.arange(len(truth)) / float(data["fps"])
            xyxy = np.asarray(data["xyxy"] if "xyxy" in data else _boxes_around(truth), np.float32)
            size = float(data["scale"])
    except KeyError as error:
        raise ConfigError(f"{path}: {error.args[0]}, expected gt, noisy, conf, fps and scale") from None
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "damaged, or something else"
        raise ConfigError(f"{path}: can't read it as .npz: {reason}") from None
    if not (truth.shape == keypoints.shape == (*scores.shape, 2) and len(truth) == len(times_s) == len(xyxy) > 2):
        raise ConfigError(
            f"{path}: got gt {truth.shape}, noisy {keypoints.shape}, conf {scores.shape}, {len(times_s)} times and "
            f"{len(xyxy)} boxes, expected (T, K, 2), (T, K, 2), (T, K), T and T, T at least 3"
        )
    times_s = np.asarray(times_s, np.float64)
    if not (np.diff(times_s) > 0).all():
        raise ConfigError(f"{path}: times_s: got times that stand still or run backwards, expected them to rise")
    return Clip(path.stem, times_s, keypoints, scores, truth, size, xyxy, np.ones(len(truth), np.bool_))


def _boxes_around(truth: Floats) -> Floats:
    """Boxes (T, 4) as a detector would see the person; true ones, since a filter only takes the person's size of it."""
    first, last = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    margin = BOX_MARGIN * (last - first).max(axis=1, keepdims=True)
    return np.concatenate([first - margin, last + margin], axis=1)


def _read_recording(path: Path) -> list[Clip]:
    """Each track of a recording that is long enough."""
    tracks: dict[tuple[str, int, int], list[tuple[wire.PoseMessage, int]]] = defaultdict(list)
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            message = _decode(line, f"{path} line {number}")
            for row, track_id in enumerate(message.track_ids):
                tracks[message.camera, message.epoch, track_id].append((message, row))
    except OSError as error:
        raise ConfigError(f"{path}: can't read it: {error.strerror}") from None
    named = (
        (f"{camera}/{epoch}/{track_id}", seen)
        for (camera, epoch, track_id), seen in tracks.items()
        if len(seen) >= SHORTEST_TRACK
    )
    return [_track(name, seen) for name, seen in named]


def _decode(line: bytes, where: str) -> wire.PoseMessage:
    try:
        message = wire.decode(wire.pose_topic("recorded"), line)
    except wire.WireError as error:
        raise ConfigError(f"{where}: {error}") from None
    assert isinstance(message, wire.PoseMessage)
    return message


def _track(name: str, seen: list[tuple[wire.PoseMessage, int]]) -> Clip:
    """One track's (message, row) pairs as a clip, on the source's own time line where it has one that rises."""
    media_s = [message.media_s for message, _ in seen]
    times_s = np.array([np.nan if time_s is None else time_s for time_s in media_s])
    if not (np.diff(times_s) > 0).all():
        times_s = np.array([message.captured_ns for message, _ in seen]) / 1e9
    keypoints = np.stack([message.keypoints_array()[row] for message, row in seen]).astype(np.float64)
    xyxy = np.stack([message.boxes_array()[row] for message, row in seen])
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1.0).astype(np.float64)
    clip = Clip(
        name,
        times_s,
        keypoints[..., :2],
        keypoints[..., 2],
        None,
        float(np.median(np.sqrt(sides.prod(axis=1)))),
        xyxy,
        np.array([message.measured[row] for message, row in seen]),
    )
    before = np.maximum.accumulate(np.concatenate([[-np.inf], times_s[:-1]]))
    return clip.take(times_s > before)


def thin(clip: Clip, every: int, drop: float, random: np.random.Generator) -> Clip:
    """The clip as a slower camera or a busy machine sees it.

    Args:
        clip: T frames.
        every: every n-th frame is kept.
        drop: of those each but the first is lost with this probability.
        random: decides that.
    """
    kept = np.arange(len(clip)) % every == 0
    kept[1:] &= random.random(len(clip) - 1) >= drop
    return clip.take(kept)


# ---- the filters, each over one clip


def as_the_program(clip: Clip, config: SmoothingConfig) -> Floats:
    """What the program would publish: SmoothStage over Poses, frame by frame.

    A keypoint that the pose model missed is given as pose.stage gives it: in the middle of the box, score 0.

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
    """The reference: Casiez, Roussel and Vogel, CHI 2012, Algorithm 1, in pixels, x and y each for itself.

    A missed keypoint is held. Written out here and not taken from realtime.smooth: it is what that is compared with.

    Args:
        clip: T frames of K keypoints.
        min_cutoff_hz: (P,), one for each setting.
        beta: (P,), in Hz per (pixel per second).

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
    """filterpy's KalmanFilter with a constant velocity, one for each keypoint; a missed keypoint is predicted.

    Returns:
        float64 (T, K, 2), NaN until a keypoint is first seen.
    """
    return np.stack([_filterpy_keypoint(clip.times_s, places) for places in clip.keypoints.swapaxes(0, 1)], axis=1)


def _filterpy_keypoint(times_s: Floats, places: Floats) -> Floats:
    """One keypoint's places (T, 2), filtered; state x, y, vx, vy."""
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


# ---- the measures


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


# ---- the reference's curve


@dataclass(frozen=True)
class Setting:
    """One of the reference's settings and how it did, mean over the clips in which somebody moves."""

    min_cutoff_hz: float
    beta: float
    score: Score


@dataclass(frozen=True, eq=False)
class Curve:
    """The least jitter that the reference reaches at each lag.

    Attributes:
        lag_ms: (C,), rising.
        jitter_px: (C,), falling.
    """

    lag_ms: Floats
    jitter_px: Floats

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> Curve:
        """Of all settings those that no other beats in both."""
        points = sorted((setting.score.lag_ms, setting.score.jitter_px) for setting in settings)
        best: list[tuple[float, float]] = []
        for lag, jitter in points:
            if not best or jitter < best[-1][1]:
                best.append((lag, jitter))
        lags, jitters = np.array(best, np.float64).reshape(-1, 2).T
        return cls(lags, jitters)

    def jitter_ratio(self, score: Score) -> float:
        """A filter's jitter relative to the reference's at the same lag; NaN beyond the curve's ends."""
        return score.jitter_px / float(np.interp(score.lag_ms, self.lag_ms, self.jitter_px, left=np.nan, right=np.nan))

    def later_ms(self, score: Score) -> float:
        """A filter's lag less the reference's at the same jitter; NaN beyond the curve's ends."""
        at = np.interp(score.jitter_px, self.jitter_px[::-1], self.lag_ms[::-1], left=np.nan, right=np.nan)
        return score.lag_ms - float(at)


def sweep(clips: Sequence[Clip]) -> list[Setting]:
    """The reference at all its settings, on the clips with a truth that moves."""
    cutoffs, betas = (grid.ravel() for grid in np.meshgrid(SWEEP_MIN_CUTOFF_HZ, SWEEP_BETA, indexing="ij"))
    scores: list[list[Score]] = [[] for _ in betas]
    for clip in progress([clip for clip in clips if _moves(clip)], "reference", unit="clips"):
        for own, output in zip(scores, paper_one_euro(clip, cutoffs, betas), strict=True):
            own.append(measure(clip, output))
    named = zip(cutoffs.tolist(), betas.tolist(), scores, strict=True)
    return [Setting(cutoff, beta, Score.mean(own)) for cutoff, beta, own in named if own]


def _moves(clip: Clip) -> bool:
    return clip.truth is not None and not np.isnan(lag_ms(clip.truth, clip.truth, clip.times_s))


# ---- python -m realtime.evaluate smoothing

_COLUMNS = {
    "rmse_px": "RMSE px",
    "rmse_percent": "% of size",
    "jitter_px": "jitter px",
    "rest_px": "at rest",
    "motion_px": "in motion",
    "lag_ms": "lag ms",
    "overshoot_px": "overshoot px",
    "missing_percent": "missing %",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `smoothing`."""
    add = parser.add_argument
    add("clips", nargs="+", type=Path, metavar="CLIP", help=".npz with gt, noisy, conf, fps and scale, .jsonl that the program recorded (no truth: jitter only), or a folder of them")  # fmt: skip # noqa: E501
    add("--filter", type=_filters, default=FILTERS, metavar="NAME,...", help=f"some of {', '.join(FILTERS)}; all by default")  # fmt: skip # noqa: E501
    add("--every", type=int, default=1, metavar="N", help="keep each Nth frame only")
    add("--drop", type=float, default=0.0, metavar="SHARE", help="leave out this share of the frames, at random")
    add("--seed", type=int, default=0, metavar="N", help="another N, other frames are dropped")
    add("--plot", type=Path, metavar="FILE.png", help="draw jitter over lag, with the reference's curve")
    add("--config", action="append", type=Path, default=[], metavar="FILE", help="YAML file; repeatable")
    for key, _, description in leaves():
        if key.startswith("smoothing.") and key != "smoothing.method":
            names = dict.fromkeys(f"--{name}" for name in (key.replace("_", "-"), key))
            add(*names, dest=key, metavar="VALUE", help=description.replace("%", "%%"))


def _filters(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in FILTERS:
            raise argparse.ArgumentTypeError(f"got {name!r}, expected some of {', '.join(FILTERS)}")
    return names


def run(options: argparse.Namespace) -> Report:
    """Filter every clip with every filter, and measure.

    Raises:
        ConfigError: a flag or a file is wrong.
        OutputError: the plot can't be written.
    """
    if options.every < 1 or not 0 <= options.drop < 1:
        raise ConfigError(
            f"got --every {options.every} --drop {options.drop}, expected at least 1, and 0 up to below 1"
        )
    random = np.random.default_rng(options.seed)
    flags = {key: value for key, value in vars(options).items() if key.startswith("smoothing.") and value is not None}
    config = load(options.config, flags=flags).smoothing
    clips = [thin(clip, options.every, options.drop, random) for clip in read_clips(options.clips)]
    if short := [clip.name for clip in clips if len(clip) < 4]:
        raise ConfigError(f"smoothing: {short[0]}: less than 4 frames are left of it, expected more")
    results = {
        label: [measure(*each) for each in outputs] for label, outputs in _outputs(options.filter, clips, config)
    }
    settings = sweep(clips) if "reference" in options.filter else []
    report = _report(clips, results, settings, config)
    if options.plot is not None:
        _plot(options.plot, _moving(clips, results), settings)
    return report


def _outputs(
    names: Sequence[str], clips: Sequence[Clip], config: SmoothingConfig
) -> Iterator[tuple[str, list[tuple[Clip, Floats, Floats | None]]]]:
    """Each filter's label, and for every clip what it makes of it and of its truth."""
    for name in names:
        for label, filtered in _labelled(name, config):
            yield (
                label,
                [
                    (clip, filtered(clip), None if clip.truth is None else filtered(clip.without_noise()))
                    for clip in progress(clips, label, unit="clips")
                ],
            )


def _labelled(name: str, config: SmoothingConfig) -> list[tuple[str, Callable[[Clip], Floats]]]:
    """The filters that a name stands for, each with its label."""
    if name == "none":
        return [("none", lambda clip: clip.keypoints)]
    if name == "filterpy":
        return [("filterpy constant velocity", filterpy_kalman)]
    if name == "reference":
        return [(f"reference {cutoff:g}, {beta:g}", partial(_one_setting, cutoff, beta)) for cutoff, beta in KNOWN]
    return [(name, partial(as_the_program, config=SmoothingConfig(**(config.model_dump() | {"method": name}))))]


def _one_setting(min_cutoff_hz: float, beta: float, clip: Clip) -> Floats:
    [output] = paper_one_euro(clip, np.array([min_cutoff_hz]), np.array([beta]))
    return np.asarray(output)


def _moving(clips: Sequence[Clip], results: Mapping[str, Sequence[Score]]) -> dict[str, Score]:
    """Each filter's mean over the clips that the reference's curve is made of."""
    moving = [_moves(clip) for clip in clips]
    return {label: Score.mean([*compress(scores, moving)]) for label, scores in results.items()}


def _report(
    clips: Sequence[Clip], results: Mapping[str, Sequence[Score]], settings: Sequence[Setting], config: SmoothingConfig
) -> Report:
    curve = Curve.of(settings) if settings else None
    means = {label: Score.mean(scores) for label, scores in results.items()}
    against = {
        label: (curve.jitter_ratio(score), curve.later_ms(score)) if curve else (np.nan, np.nan)
        for label, score in _moving(clips, results).items()
    }
    rows: list[list[Cell]] = [
        [label, *(getattr(score, name) for name in _COLUMNS), *against[label]] for label, score in means.items()
    ]
    data = {
        "clips": [clip.name for clip in clips],
        "smoothing": config.model_dump(),
        "filters": {
            label: {
                "mean": asdict(score),
                "clips": {clip.name: asdict(own) for clip, own in zip(clips, results[label], strict=True)},
                "jitter_to_reference": against[label][0],
                "later_than_reference_ms": against[label][1],
            }
            for label, score in means.items()
        },
        "reference": [
            {"min_cutoff_hz": setting.min_cutoff_hz, "beta": setting.beta, **asdict(setting.score)}
            for setting in settings
        ],
    }
    title = f"smoothing: {len(clips)} clips, {sum(map(len, clips))} frames, mean over the clips"
    return Report(title, ["filter", *_COLUMNS.values(), "jitter/ref", "lag-ref ms"], rows, data, _notes(clips, curve))


def _notes(clips: Sequence[Clip], curve: Curve | None) -> list[str]:
    notes = [
        "jitter: RMS second difference of the error, px per frame^2; at rest, in motion: where the keypoint truly "
        f"moves slower than {REST_SPEED:g}, faster than {MOTION_SPEED:g} person sizes per second",
    ]
    if curve is not None:
        notes.append(
            "jitter/ref, lag-ref: against the paper's One-Euro filter at its best setting for the same lag, the same "
            "jitter; clips with motion only"
        )
    if untrue := sum(clip.truth is None for clip in clips):
        notes.append(
            f"{untrue} clips have no truth: their jitter is the output's own. Record with --smoothing.method none to "
            "compare filters"
        )
    return notes


def _plot(file: Path, means: Mapping[str, Score], settings: Sequence[Setting]) -> None:
    """Jitter over lag: the reference's settings and their curve, every other filter as a point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="tight")
    axes = figure.subplots()
    if settings:
        scores, curve = [setting.score for setting in settings], Curve.of(settings)
        axes.plot([s.lag_ms for s in scores], [s.jitter_px for s in scores], ".", color="0.85", ms=3)
        axes.plot(curve.lag_ms, curve.jitter_px, color="0.4", label="reference One-Euro, best of its settings")
    for label, score in means.items():
        axes.plot(score.lag_ms, score.jitter_px, "o", label=label)
    axes.set(xlabel="lag in motion, ms", ylabel="jitter, px per frame$^2$", xlim=(-5, 105), ylim=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    try:
        figure.savefig(file, dpi=100)
    except OSError as error:
        raise OutputError(f"--plot: can't write {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"--plot: got {file}: {error}") from None
