"""The smoothing stage: keeps one filter state per track, and decides where to put keypoints that can't be seen.

Poses -> Poses, between the pose model and the publisher.

A keypoint is *measured* when it is finite and its score is at least `min_score`. The filter follows measured
keypoints. For at most `reset_s` seconds after its last measurement, a keypoint that is not measured stays at its
filtered position (One-Euro) or moves to the predicted one (Kalman). After that, or if it was never measured, the pose
model's own value is published unfiltered, and the filter restarts at the next measurement.

A person whose pose is only predicted in a frame (`Poses.measured` is false, see pose/budget.py) is *waiting*. The
filter ignores their keypoints, whatever the scores, and predicts them itself: the person still has a box in every
frame, so the filter smooths the corners of the box as if they were keypoints, and moves the keypoints with the
smoothed box. While a person waits, the time does not count towards `reset_s`. Once the person is measured again, a
keypoint missing from that measurement counts as unseen since its own last measurement.

For a person whose pose is repeated because they are *still* (`Poses.still`), time stops instead: their keypoints stay
where they are, at speed 0, and the next measurement counts as if it came right after the last one. Otherwise the noise
of that single measurement would pass through, because a filter gives an old position little weight.

The reason to follow the box is accuracy. On motion capture (30 Hz, boxes with 2 % noise) the error equals that of the
filters' own extrapolation when every 2nd frame is measured; it is lower by a fifth when every 6th is, and by nearly
half when every 15th is. Following the unsmoothed box would pass on its flicker, which adds a fifth to the error when
every 2nd frame is measured.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from realtime.config import SmoothingConfig
from realtime.runtime.epochs import PerEpoch
from realtime.smooth.filters import MOTION, PLACE, SPEED, Filter, Kalman, OneEuro, Step
from realtime.smooth.people import Bools, CameraState, Floats, People
from realtime.types import Poses

# A keypoint is extrapolated at most this far ahead of its frame, because a limb has changed its velocity by then.
MOST_AHEAD_S = 0.5
# Lower bound of the values that we divide by: the sides of a box and the size of a person. No real box is smaller.
LEAST_SIZE_PX = 1.0
FLOAT32_MAX = float(np.finfo(np.float32).max)


class SmoothStage:
    """Filters every keypoint of every person over time.

    State is kept per camera and track, on the timeline of `frame.time_s`. A camera's state is dropped when its epoch
    changes or the camera is removed, and a track's state when the track was not seen for `reset_s`. Memory is therefore
    bounded by the number of people seen within `reset_s`.

    Args:
        config: the `smoothing` section of the configuration.

    Example:
        A wrist jitters by 4 pixels between frames, and by about 1 pixel after smoothing.

        >>> from realtime.config import SmoothingConfig
        >>> from realtime.smooth.stage import SmoothStage
        >>> from realtime.types import Frame, Poses
        >>> def poses(index, x):
        ...     frame = Frame("door", 0, index, np.zeros((480, 640, 3), np.uint8), index / 30, 0, 0)
        ...     box, score = np.array([[50, 50, 150, 250]], np.float32), np.ones(1, np.float32)
        ...     wrist = np.array([[[x, 90.0]]], np.float32)
        ...     return Poses(frame, np.ones(1, np.int64), box, score, wrist, score[None], np.ones(1, np.bool_))
        >>> stage = SmoothStage(SmoothingConfig(method="one-euro"))
        >>> smoothed = stage.process([poses(i, x) for i, x in enumerate([100.0, 104.0, 100.0, 104.0])])
        >>> [round(float(one.keypoints[0, 0, 0]), 1) for one in smoothed]
        [100.0, 101.1, 100.8, 101.8]
    """

    name = "smooth"

    def __init__(self, config: SmoothingConfig) -> None:
        self._config = config
        self._filter: Filter | None = None
        if config.method != "none":
            self._filter = OneEuro(config) if config.method == "one-euro" else Kalman(config)
        self._cameras = PerEpoch(lambda frame: CameraState())

    def process(self, batch: list[Poses]) -> list[Poses]:
        """Return the same people with smoothed keypoints.

        Args:
            batch: frames of any cameras; the frames of one camera must be in order of time.

        Returns:
            One Poses per item of the batch. Only `keypoints` and `raw` differ: `keypoints` are smoothed and always
            finite, `raw` holds the original ones. With method none, or if the skeleton has no keypoints, the result
            holds the same objects as the batch, predicted poses included.

        Raises:
            ValueError: the time of a camera did not increase within an epoch.
        """
        if self._filter is None:
            return list(batch)
        return [self._smooth(poses, self._filter) if poses.keypoint_scores.shape[1] else poses for poses in batch]

    def remembered(self, camera: str) -> int:
        """The number of this camera's tracks whose state is kept."""
        state = self._cameras.get(camera)
        return len(state.people.track_ids) - 1 if state and state.people else 0

    def forget(self, camera: str) -> None:
        """Drop the state of a camera, once no frame of it is in the pipeline."""
        self._cameras.forget(camera)

    def close(self) -> None:
        """Drop the state of all cameras."""
        self._cameras.clear()

    def _smooth(self, poses: Poses, filter_: Filter) -> Poses:
        frame, now_s = poses.frame, poses.frame.time_s
        camera = self._cameras.of(frame)
        if not now_s > camera.time_s:
            raise ValueError(
                f"{frame.camera}: smooth: time went from {camera.time_s} s to {now_s} s, expected it to increase"
            )
        people = camera.people or People.empty(poses.keypoints.shape[1], filter_.width)
        recent = people.seen_within(self._config.reset_s, now_s).exchanged(poses.swapped)
        rows = recent.rows_of(poses.track_ids)
        people, followed = self._advance(recent.take(rows), poses, filter_)
        camera.time_s = now_s
        camera.people = people.joined(recent.without(rows))
        ahead = np.where(followed[..., None], people.state[..., SPEED] * self._ahead_s(poses), 0.0)
        places = np.clip(people.places + ahead, -FLOAT32_MAX, FLOAT32_MAX)
        return replace(poses, keypoints=places.astype(np.float32), raw=poses.keypoints)

    def _ahead_s(self, poses: Poses) -> float:
        """How far ahead of their frame keypoints are extrapolated, in seconds."""
        if self._config.predict_ms != "age":
            return self._config.predict_ms / 1e3
        age_s = (time.monotonic_ns() - poses.frame.captured_mono_ns) / 1e9
        return min(max(0.0, age_s), MOST_AHEAD_S)

    def _advance(self, people: People, poses: Poses, filter_: Filter) -> tuple[People, Bools]:
        """Advance the people of a frame by one step.

        Args:
            people: their remembered state; row i belongs to person i of `poses`, also in the result.
            poses: N people with K keypoints.
            filter_: the filter that advances the state.

        Returns:
            The new state, and bool (N, K): True where the filter determines the position, False where the pose
            model's value or a fallback was used.
        """
        now_s = poses.frame.time_s
        raw = poses.keypoints.astype(np.float64)
        looked_at = poses.measured[:, None]
        usable: Bools = np.isfinite(raw[..., 0]) & np.isfinite(raw[..., 1])
        # A NaN score compares false, so the keypoint counts as not measured.
        measured: Bools = usable & (poses.keypoint_scores >= self._config.min_score) & looked_at
        dt_s = np.where(np.isfinite(people.seen_s), now_s - people.seen_s, 1.0)
        still = poses.is_still
        measured_s = people.measured_s + np.where(still, dt_s, 0.0)[:, None]
        idle_s = now_s - measured_s
        waited_s = np.where(poses.measured | still, people.waited_s, people.waited_s + dt_s)
        alive = idle_s - waited_s[:, None] <= self._config.reset_s
        step = Step(
            values=np.where(measured[..., None], raw, 0.0),
            scores=np.where(measured, poses.keypoint_scores, 1.0),
            # Without a state, and of still people, the result is discarded; 1 keeps the arithmetic finite.
            idle_s=np.where(alive & ~still[:, None], idle_s, 1.0),
            dt_s=dt_s,
            size=_size(poses.xyxy),
        )
        box = _follow_box(people, poses.xyxy, step, filter_)
        state = np.where(alive[..., None], filter_.move(people.state, measured, step), people.state)
        state = np.where((measured & ~alive)[..., None], filter_.start(step), state)
        if not poses.measured.all():
            along = _carried(people.state[..., PLACE], people.box[..., PLACE], box)
            state[..., MOTION] = np.where(looked_at[..., None], state[..., MOTION], along)
            state[still] = people.state[still]
            state[still, :, SPEED] = 0.0
        last = np.where(np.isfinite(people.places), people.places, _centre(poses.xyxy)[:, None])
        places = np.where(usable[..., None], raw, last)
        places = np.where((measured | alive)[..., None], state[..., PLACE], places)
        people = People(
            track_ids=poses.track_ids,
            seen_s=np.full(len(poses), now_s),
            waited_s=np.where(poses.measured, 0.0, waited_s),
            measured_s=np.where(measured, now_s, measured_s),
            # A prediction from absurd values may exceed the range of float32.
            places=np.clip(places, -FLOAT32_MAX, FLOAT32_MAX),
            state=state,
            box=box,
        )
        return people, measured | alive


def _size(xyxy: NDArray[np.float32]) -> Floats:
    """The size of each person in pixels, (N,): the longer side of the box, which changes little when they lie down.

    The size is not low-passed: it only scales speeds and noise, where a flicker of a few percent is not visible.
    """
    sides = xyxy[:, 2:].astype(np.float64) - xyxy[:, :2]
    longer: Floats = np.maximum(sides[:, 0], sides[:, 1])
    return np.where(np.isfinite(longer), np.maximum(longer, LEAST_SIZE_PX), LEAST_SIZE_PX)


def _centre(xyxy: NDArray[np.float32]) -> Floats:
    """The centre of each box, float64 (N, 2)."""
    return np.nan_to_num((xyxy[:, :2].astype(np.float64) + xyxy[:, 2:]) / 2.0)


# ---- a waiting person moves with their box


def _follow_box(people: People, xyxy: NDArray[np.float32], step: Step, filter_: Filter) -> Floats:
    """Advance the filter state of each box's two corners, float64 (N, 2, width): they are measured in every frame."""
    corners = np.nan_to_num(xyxy.astype(np.float64), posinf=0.0, neginf=0.0).reshape(-1, 2, 2)
    everywhere = np.ones(corners.shape[:2], np.bool_)
    step = step._replace(values=corners, scores=everywhere.astype(np.float64), idle_s=step.dt_s[:, None])
    is_new = ~np.isfinite(people.seen_s)[:, None, None]
    return np.where(is_new, filter_.start(step), filter_.move(people.box, everywhere, step))


def _carried(places: Floats, before: Floats, box: Floats) -> Floats:
    """Move positions as their box moved, and return them with the velocity of the box at that spot.

    Positions and velocities are interpolated linearly between the corners of the box, separately along x and y. The
    velocity is the box's, not the keypoint's: a stale limb velocity would overshoot at the next measurement.

    Args:
        places: float64 (N, K, 2), positions in pixels of the frame.
        before: float64 (N, 2, 2), the corners of the box to which `places` refer.
        box: float64 (N, 2, width), the state of the corners now.

    Returns:
        float64 (N, K, 4): x, y in pixels, and their speeds in pixels per second.
    """
    first, side = before[:, :1], np.maximum(before[:, 1:] - before[:, :1], LEAST_SIZE_PX)
    along = np.concatenate([(places - first) / side] * 2, axis=-1)
    now = box[..., MOTION]
    return now[:, :1] + along * (now[:, 1:] - now[:, :1])
