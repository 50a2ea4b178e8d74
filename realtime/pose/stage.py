"""Pose estimation as a stage: Tracks -> Poses.

Between the tracker and the smoother. The model runs once for the people of all waiting frames, across cameras; on a CPU
the runtime divides each frame into parts instead (`PoseStage.divide`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.pose.budget import PersonBudget, Turn, completed
from realtime.runtime.batches import even_parts
from realtime.runtime.governor import Effort
from realtime.runtime.stage import Part, Work
from realtime.skeleton import Skeleton
from realtime.types import Poses, Tracks

# Larger parts are hardly faster on a CPU, and threads that could help with a frame stay idle during its last part.
_PEOPLE_IN_A_PART = 2


class PoseModel(Protocol):
    """A model that finds the keypoints of people in their boxes: VitPose, YoloPose, or a fake in a test.

    Attributes:
        skeleton: the model's K keypoints.
        engine_name: engine and precision, such as "openvino bf16"; None for a model without a choice of engine.
    """

    engine_name: str | None
    skeleton: Skeleton

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Estimate the keypoints of all people in all images.

        Args:
            images: uint8 (H, W, 3) BGR each, sizes may differ.
            xyxy: for each image, its people's boxes float32 (N, 4), pixels of the image. N may be 0.

        Returns:
            For each image float32 (N, K, 3): x, y in pixels of the image, and score.
        """
        ...

    def warm_up(self) -> None:
        """Run once, so that the first frame is not slower than the others."""
        ...


class PoseStage:
    """Runs the pose model for all cameras, on at most `budget.max_people` people per frame.

    pose/budget.py chooses the people: in a larger crowd they take turns, and the poses of the others are
    predicted. If the camera has a motion gate, the pose of a person whose picture has not changed is repeated.

    Attributes:
        budget: decides which people are measured; its `max_people` may be changed between frames.

    Example:
        >>> from realtime.skeleton import COCO17
        >>> from realtime.types import Frame
        >>> class StandIn:
        ...     skeleton, engine_name = COCO17, None
        ...     def estimate(self, images, xyxy):
        ...         return [np.ones((len(boxes), 17, 3), np.float32) for boxes in xyxy]
        >>> frame = Frame("cam0", 0, 0, np.zeros((240, 320, 3), np.uint8), 0.0, 0, 0)
        >>> boxes, scores = np.ones((2, 4), np.float32), np.ones(2, np.float32)
        >>> tracks = Tracks(frame, boxes, scores, np.array([1, 2]), np.ones(2, np.bool_))
        >>> [poses] = PoseStage(StandIn(), max_people=1).process([tracks])
        >>> poses.keypoints.shape, poses.measured.tolist()
        ((2, 17, 2), [True, False])
    """

    name = "pose"

    def __init__(self, model: PoseModel, max_people: int | None = None, pose_s: float = math.inf) -> None:
        """Take a loaded model.

        Args:
            model: finds the keypoints.
            max_people: measure at most this many people per frame; None: no limit.
            pose_s: how long the pose of a still person is repeated, in seconds; inf: as long as they are still.
        """
        self._model = model
        self.budget = PersonBudget(max_people, pose_s)

    @property
    def engine_name(self) -> str | None:
        """Engine and precision of the model, such as "openvino bf16"; None for a model without a choice of engine."""
        return self._model.engine_name

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints of the poses."""
        return self._model.skeleton

    def warm_up(self) -> None:
        """Warm up the model, before any camera opens."""
        self._model.warm_up()

    def set_effort(self, effort: Effort) -> None:
        """Measure at most this many people per frame from now on."""
        self.budget.max_people = effort.max_people

    def process(self, batch: list[Tracks]) -> list[Poses]:
        """Return the people of each frame with their keypoints, in the order of the frames.

        Args:
            batch: frames of any cameras; those of one camera in order of time.
        """
        # The people of all frames are chosen before the model runs, so that one call serves the whole batch, even if it
        # holds several frames of one camera.
        turns = [self.budget.choose(tracks) for tracks in batch]
        found = self._estimate(batch, [tracks.xyxy[turn.chosen] for tracks, turn in zip(batch, turns, strict=True)])
        return [_complete(*each) for each in zip(batch, turns, found, strict=True)]

    def divide(self, tracks: Tracks, concurrency: int) -> Work[Poses]:
        """Return the same work for one frame, as parts that the threads of runtime.pool run side by side.

        Args:
            tracks: the people of one frame.
            concurrency: how many inferences the pool runs at the same time. With more than one, a part is at most
                _PEOPLE_IN_A_PART people; with one, the frame is a single part.
        """
        turn = self.budget.choose(tracks)
        xyxy = tracks.xyxy[turn.chosen]
        found = np.zeros((len(xyxy), len(self.skeleton), 3), np.float32)

        def estimate(people: slice) -> None:
            found[people] = self._model.estimate([tracks.frame.image], [xyxy[people]])[0]

        parts = [
            Part(partial(estimate, people), people.stop - people.start)
            for people in even_parts(len(xyxy), _PEOPLE_IN_A_PART if concurrency > 1 else max(1, len(xyxy)))
        ]
        return Work(parts, lambda: _complete(tracks, turn, found))

    def forget(self, camera: str) -> None:
        """Drop the state of a camera, once no frame of it is in the pipeline."""
        self.budget.forget(camera)

    def close(self) -> None:
        """Do nothing: the stage holds no resources of its own."""

    def _estimate(self, batch: list[Tracks], xyxy: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        return self._model.estimate([tracks.frame.image for tracks in batch], xyxy)


def _complete(tracks: Tracks, turn: Turn, found: NDArray[np.float32]) -> Poses:
    """Return the poses of all people, given the keypoints float32 (M, K, 3) that the model found for the M chosen."""
    keypoints = completed(tracks, turn, found)
    return replace(with_keypoints(replace(tracks, measured=turn.chosen), keypoints), still=turn.still)


def with_keypoints(tracks: Tracks, keypoints: NDArray[np.float32]) -> Poses:
    """Return the tracks' people with these keypoints.

    Args:
        tracks: N people.
        keypoints: float32 (N, K, 3) x, y in pixels of the frame, score.

    Returns:
        Poses with scores clipped to 0..1. A keypoint with a value that is not finite is moved to the middle of the
        person's box and scored 0, so the stream never carries NaN or infinity, whatever the model returns.
    """
    finite = np.asarray(np.isfinite(keypoints).all(axis=2))
    middles = (tracks.xyxy[:, np.newaxis, :2] + tracks.xyxy[:, np.newaxis, 2:]) / 2
    places = np.where(finite[..., np.newaxis], keypoints[..., :2], middles)
    scores = np.where(finite, np.clip(keypoints[..., 2], 0, 1), 0)
    return Poses.of(tracks, np.ascontiguousarray(places, np.float32), np.ascontiguousarray(scores, np.float32))
