"""The smoothing stage: which filter state belongs to whom, and what happens to keypoints that can't be seen.

Poses -> Poses, after the pose model and before the publisher. A keypoint is *measured* when it is finite and its score
is at least `min_score`. Then the filter follows it; else it is held where the filter last had it (Kalman: where it
predicts it) for at most `reset_s` seconds. After that, and where there never was anything to hold, the model's own
value passes, and the filter starts afresh at the next measurement.

Who is not measured at all in a frame (`Poses.measured` false: the pose is a prediction, pose/budget.py) is *waiting*.
Their keypoints are no measurements to the filter, whatever their scores. It predicts them itself: the box is still
seen in every frame, so its corners are filtered like keypoints, and the filtered places move along with the filtered
box. Waiting is not counted towards `reset_s`, until a look at the person shows the keypoint or does not.
Why so: on motion capture (30 Hz, boxes with 2 % noise) the error is that of the filters' own extrapolation where every
2nd frame is measured, a fifth less for every 6th and nearly half for every 15th. The box as it comes, in the place of
the filtered one, brings its flicker: a fifth more error for every 2nd.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.config import SmoothingConfig
from realtime.smooth import kalman, one_euro
from realtime.types import Poses

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# How far ahead a keypoint may be put: what moves by then has changed its speed.
MOST_AHEAD_S = 0.5
# Sizes are divided by; a box is never this small.
LEAST_SIZE_PX = 1.0
FLOAT32_MAX = float(np.finfo(np.float32).max)
# What both filters' states begin with: x and y, then their speeds.
PLACE = slice(0, 2)
SPEED = slice(2, 4)
MOTION = slice(0, 4)


class SmoothStage:
    """Filters every keypoint of every person along its own time line.

    State is kept per camera and track, on `frame.time_s`. It is dropped when the camera's epoch changes, and a track's
    when it wasn't seen for `reset_s`: memory is bounded by the people seen within `reset_s`.
    """

    name = "smooth"

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config
        self._filter: _Filter | None = None
        if config.method != "none":
            self._filter = _OneEuro(config) if config.method == "one-euro" else _Kalman(config)
        self._cameras: dict[str, _Camera] = {}

    def process(self, batch: list[Poses]) -> list[Poses]:
        """The same people with smoothed keypoints.

        Args:
            batch: frames of any cameras; those of one camera in order of time.

        Returns:
            One Poses for each of the batch; only `keypoints` differ, and they are finite; `raw` is what they were. With
            method none, and where there are no keypoints, the very same objects, predicted poses too.

        Raises:
            ValueError: time stood still or ran backwards within an epoch.
        """
        if self._filter is None:
            return list(batch)
        return [self._smooth(poses, self._filter) if poses.keypoint_scores.shape[1] else poses for poses in batch]

    def remembered(self, camera: str) -> int:
        """How many tracks of this camera there is state for."""
        return len(self._cameras[camera].people.track_ids) - 1 if camera in self._cameras else 0

    def close(self) -> None:
        """Forget everybody."""
        self._cameras.clear()

    def _smooth(self, poses: Poses, filter_: _Filter) -> Poses:
        frame, now_s = poses.frame, poses.frame.time_s
        camera = self._cameras.get(frame.camera)
        if camera is None or camera.epoch != frame.epoch:
            nobody = _People.nobody(poses.keypoints.shape[1], filter_.width)
            camera = self._cameras[frame.camera] = _Camera(frame.epoch, -np.inf, nobody)
        if not now_s > camera.time_s:
            raise ValueError(
                f"{frame.camera}: smooth: time went from {camera.time_s} s to {now_s} s, expected it to rise"
            )
        recent = camera.people.seen_within(self._config.reset_s, now_s)
        rows = recent.rows_of(poses.track_ids)
        people, followed = self._advance(recent.take(rows), poses, filter_)
        camera.time_s = now_s
        camera.people = people.joined(recent.without(rows))
        ahead = np.where(followed[..., None], people.state[..., SPEED] * self._ahead_s(poses), 0.0)
        places = np.clip(people.places + ahead, -FLOAT32_MAX, FLOAT32_MAX)
        return replace(poses, keypoints=places.astype(np.float32), raw=poses.keypoints)

    def _ahead_s(self, poses: Poses) -> float:
        """How far ahead of the frame keypoints are published, in seconds."""
        if self._config.predict_ms != "age":
            return self._config.predict_ms / 1e3
        age_s = (time.monotonic_ns() - poses.frame.captured_mono_ns) / 1e9
        return min(max(0.0, age_s), MOST_AHEAD_S)

    def _advance(self, people: _People, poses: Poses, filter_: _Filter) -> tuple[_People, Bools]:
        """The people of this frame one step on: row i is person i of `poses`, before and after.

        Also bool (N, K): which keypoints are where the filter has them.
        """
        now_s = poses.frame.time_s
        raw = poses.keypoints.astype(np.float64)
        looked_at = poses.measured[:, None]
        usable: Bools = np.isfinite(raw[..., 0]) & np.isfinite(raw[..., 1])
        # A score that is NaN compares false: not measured.
        measured: Bools = usable & (poses.keypoint_scores >= self._config.min_score) & looked_at
        idle_s = now_s - people.measured_s
        dt_s = np.where(np.isfinite(people.seen_s), now_s - people.seen_s, 1.0)
        waited_s = np.where(poses.measured, people.waited_s, people.waited_s + dt_s)
        alive = idle_s - waited_s[:, None] <= self._config.reset_s
        step = _Step(
            values=np.where(measured[..., None], raw, 0.0),
            scores=np.where(measured, poses.keypoint_scores, 1.0),
            # Where there is no state the result is not used; 1 keeps the arithmetic finite.
            idle_s=np.where(alive, idle_s, 1.0),
            dt_s=dt_s,
            size=_size(poses.xyxy),
        )
        box = _follow_box(people, poses.xyxy, step, filter_)
        state = np.where(alive[..., None], filter_.move(people.state, measured, step), people.state)
        state = np.where((measured & ~alive)[..., None], filter_.start(step), state)
        if not poses.measured.all():
            along = _carried(people.state[..., PLACE], people.box[..., PLACE], box)
            state[..., MOTION] = np.where(looked_at[..., None], state[..., MOTION], along)
        last = np.where(np.isfinite(people.places), people.places, _centre(poses.xyxy)[:, None])
        places = np.where(usable[..., None], raw, last)
        places = np.where((measured | alive)[..., None], state[..., PLACE], places)
        people = _People(
            track_ids=poses.track_ids,
            seen_s=np.full(len(poses), now_s),
            waited_s=np.where(poses.measured, 0.0, waited_s),
            measured_s=np.where(measured, now_s, people.measured_s),
            # A prediction from absurd values may leave float32's range.
            places=np.clip(places, -FLOAT32_MAX, FLOAT32_MAX),
            state=state,
            box=box,
        )
        return people, measured | alive


def _size(xyxy: NDArray[np.float32]) -> Floats:
    """The size of each person in pixels, (N,): the longer side of the box, so that who lies down keeps their height.

    Not low-passed: it only scales speeds and noise, where a few percent of flicker can't be seen.
    """
    sides = xyxy[:, 2:].astype(np.float64) - xyxy[:, :2]
    longer: Floats = np.maximum(sides[:, 0], sides[:, 1])
    return np.where(np.isfinite(longer), np.maximum(longer, LEAST_SIZE_PX), LEAST_SIZE_PX)


def _centre(xyxy: NDArray[np.float32]) -> Floats:
    """The middle of each box, float64 (N, 2)."""
    return np.nan_to_num((xyxy[:, :2].astype(np.float64) + xyxy[:, 2:]) / 2.0)


# ---- who waits moves with their box


def _follow_box(people: _People, xyxy: NDArray[np.float32], step: _Step, filter_: _Filter) -> Floats:
    """The filter's state of each box's two corners, float64 (N, 2, width), one step on: measured in every frame."""
    corners = np.nan_to_num(xyxy.astype(np.float64), posinf=0.0, neginf=0.0).reshape(-1, 2, 2)
    everywhere = np.ones(corners.shape[:2], np.bool_)
    step = step._replace(values=corners, scores=everywhere.astype(np.float64), idle_s=step.dt_s[:, None])
    is_new = ~np.isfinite(people.seen_s)[:, None, None]
    return np.where(is_new, filter_.start(step), filter_.move(people.box, everywhere, step))


def _carried(places: Floats, before: Floats, box: Floats) -> Floats:
    """Places moved as their box was, and how fast the box moves at that spot.

    Linear between the box's corners, along x and y each for itself. The speed is the box's and not the place's own: a
    limb's speed of long ago would throw it when the person is measured again.

    Args:
        places: float64 (N, K, 2), pixels of the frame.
        before: float64 (N, 2, 2), the corners of the box that they are places in.
        box: float64 (N, 2, width), the state of the corners now.

    Returns:
        float64 (N, K, 4): x, y in pixels, and their speeds in pixels per second.
    """
    first, side = before[:, :1], np.maximum(before[:, 1:] - before[:, :1], LEAST_SIZE_PX)
    along = np.concatenate([(places - first) / side] * 2, axis=-1)
    now = box[..., MOTION]
    return now[:, :1] + along * (now[:, 1:] - now[:, :1])


# ---- who is remembered


@dataclass(slots=True)
class _Camera:
    """What is remembered of one camera."""

    epoch: int
    time_s: float
    people: _People


class _People(NamedTuple):
    """What is remembered of M tracks, one row each. The last row is nobody's: the state of a track never seen.

    (The people of a single frame are held in the same arrays, without that last row.)
    """

    track_ids: NDArray[np.int64]  # (M,), 0 for nobody (ids are >= 1)
    seen_s: Floats  # (M,), when the track was last in a frame
    waited_s: Floats  # (M,), for how long it has been waiting for a look, up to then
    measured_s: Floats  # (M, K), when the keypoint was last measured; -inf: never
    places: Floats  # (M, K, 2), where it was last said to be; NaN: nowhere yet
    state: Floats  # (M, K, the filter's width)
    box: Floats  # (M, 2, the filter's width), of its corners x1 y1 and x2 y2

    @classmethod
    def nobody(cls, keypoints: int, width: int) -> _People:
        return cls(
            np.zeros(1, np.int64),
            np.full(1, -np.inf),
            np.zeros(1),
            np.full((1, keypoints), -np.inf),
            np.full((1, keypoints, 2), np.nan),
            np.zeros((1, keypoints, width)),
            np.zeros((1, 2, width)),
        )

    def take(self, rows: NDArray[np.int64] | Bools) -> _People:
        return _People._make(array[rows] for array in self)

    def seen_within(self, reset_s: float, now_s: float) -> _People:
        """Without the tracks that were not seen for longer than `reset_s`."""
        keep = now_s - self.seen_s <= reset_s
        keep[-1] = True
        return self.take(keep)

    def rows_of(self, track_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each track; -1, nobody's, where it is new."""
        same = track_ids[:, None] == self.track_ids[None, :]
        return np.where(same.any(axis=1), same.argmax(axis=1), -1)

    def without(self, rows: NDArray[np.int64]) -> _People:
        """All other rows, nobody's always."""
        keep = np.ones(len(self.track_ids), np.bool_)
        keep[rows] = False
        keep[-1] = True
        return self.take(keep)

    def joined(self, others: _People) -> _People:
        return _People._make(np.concatenate(pair) for pair in zip(self, others, strict=True))


# ---- the two filters, as the stage drives them


class _Step(NamedTuple):
    """What a filter is told of one frame. Where a keypoint was not measured, values and scores are fillers."""

    values: Floats  # (N, K, 2), pixels
    scores: Floats  # (N, K)
    idle_s: Floats  # (N, K), since the keypoint was last measured
    dt_s: Floats  # (N,), since the track's last frame
    size: Floats  # (N,), pixels


class _Filter(Protocol):
    """State is float64 (N, K, width) and begins with x, y in pixels and their speeds in pixels per second."""

    width: int

    def start(self, step: _Step) -> Floats:
        """The state of keypoints measured for the first time."""

    def move(self, state: Floats, measured: Bools, step: _Step) -> Floats:
        """The state one frame later; `measured` (N, K) says which values may be used."""


class _OneEuro:
    width = one_euro.WIDTH

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config

    def start(self, step: _Step) -> Floats:
        return one_euro.start(step.values)

    def move(self, state: Floats, measured: Bools, step: _Step) -> Floats:
        """Its time runs from measurement to measurement: what was held meanwhile is caught up with the sooner."""
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


class _Kalman:
    width = kalman.WIDTH

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config

    def start(self, step: _Step) -> Floats:
        return kalman.start(step.values, self._variance(step), kalman.START_SPEED * step.size)

    def move(self, state: Floats, measured: Bools, step: _Step) -> Floats:
        config = self._config
        predicted = kalman.predict(state, step.dt_s, config.acceleration * step.size, config.agility)
        updated = kalman.update(predicted, step.values, self._variance(step), config.gate)
        return np.where(measured[..., None], updated, predicted)

    def _variance(self, step: _Step) -> Floats:
        return kalman.variance(step.scores, self._config.noise * step.size)
