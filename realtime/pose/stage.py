"""Pose estimation as a stage: Tracks -> Poses.

Between the tracker and the smoother. The people of all cameras that wait go through the model together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.pose.budget import PersonBudget, Turn, completed
from realtime.pose.engine import even_parts
from realtime.runtime.pool import Part, Work
from realtime.skeleton import Skeleton
from realtime.types import Poses, Tracks

# More together are hardly faster on a CPU, and then the last part of a frame keeps other threads from helping.
_PEOPLE_IN_A_PART = 2


class PoseModel(Protocol):
    """What finds the keypoints of people in their boxes: VitPose, YoloPose, or a fake in a test.

    Attributes:
        skeleton: its K keypoints.
        engine_name: what computes it, where there is a choice.
    """

    engine_name: str | None
    skeleton: Skeleton

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """For uint8 (H, W, 3) BGR images and boxes (N, 4) on each: keypoints float32 (N, K, 3) x, y, score of each."""
        ...

    def warm_up(self) -> None:
        """Run once, so that the first frame is not the slow one."""
        ...


class PoseStage:
    """The pose model of all cameras, and who of a crowd it looks at.

    At most `budget.max_people` of a frame are measured, in turns that pose/budget.py deals out; the others' poses
    are predicted.

    Attributes:
        budget: its `max_people` may be changed between frames.
    """

    name = "pose"

    def __init__(self, model: PoseModel, max_people: int | None = None) -> None:
        self._model = model
        self.budget = PersonBudget(max_people)

    @property
    def engine_name(self) -> str | None:
        """What computes the model, where there is a choice: "openvino bf16"."""
        return self._model.engine_name

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that come out."""
        return self._model.skeleton

    def warm_up(self) -> None:
        """Make the model ready, before any camera opens."""
        self._model.warm_up()

    def process(self, batch: list[Tracks]) -> list[Poses]:
        """The people of each frame with their keypoints, in the order of the frames.

        Args:
            batch: frames of any cameras; those of one camera in order of time.
        """
        # All turns are dealt out before the one call of the model, so frames of a camera that wait together share it.
        turns = [self.budget.choose(tracks) for tracks in batch]
        found = self._estimate(batch, [tracks.xyxy[turn.chosen] for tracks, turn in zip(batch, turns, strict=True)])
        return [_complete(*each) for each in zip(batch, turns, found, strict=True)]

    def divide(self, tracks: Tracks, calls: int) -> Work[Poses]:
        """The same for one frame, a few people in a part where networks compute side by side: see runtime.pool."""
        turn = self.budget.choose(tracks)
        xyxy = tracks.xyxy[turn.chosen]
        found = np.zeros((len(xyxy), len(self.skeleton), 3), np.float32)

        def estimate(people: slice) -> None:
            found[people] = self._model.estimate([tracks.frame.image], [xyxy[people]])[0]

        parts = [
            Part(partial(estimate, people), people.stop - people.start)
            for people in even_parts(len(xyxy), _PEOPLE_IN_A_PART if calls > 1 else max(1, len(xyxy)))
        ]
        return Work(parts, lambda: _complete(tracks, turn, found))

    def close(self) -> None:
        """Nothing to give up."""

    def _estimate(self, batch: list[Tracks], xyxy: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        return self._model.estimate([tracks.frame.image for tracks in batch], xyxy)


def _complete(tracks: Tracks, turn: Turn, found: NDArray[np.float32]) -> Poses:
    """Everybody's pose, from the keypoints (number chosen, K, 3) found of those whose turn it was."""
    keypoints = completed(tracks, turn, found)
    return with_keypoints(replace(tracks, measured=turn.chosen), keypoints)


def with_keypoints(tracks: Tracks, keypoints: NDArray[np.float32]) -> Poses:
    """The tracks' people with these keypoints.

    Args:
        tracks: N people.
        keypoints: float32 (N, K, 3) x, y in pixels of the frame, score.

    Returns:
        Poses with scores 0..1. A keypoint that isn't finite is in the middle of the person's box, score 0: nothing on
        the stream is NaN or infinite, whatever a model makes of a picture.
    """
    finite = np.asarray(np.isfinite(keypoints).all(axis=2))
    middles = (tracks.xyxy[:, np.newaxis, :2] + tracks.xyxy[:, np.newaxis, 2:]) / 2
    places = np.where(finite[..., np.newaxis], keypoints[..., :2], middles)
    scores = np.where(finite, np.clip(keypoints[..., 2], 0, 1), 0)
    return Poses.of(tracks, np.ascontiguousarray(places, np.float32), np.ascontiguousarray(scores, np.float32))
