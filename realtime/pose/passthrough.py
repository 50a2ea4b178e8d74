"""The stage in place of a pose model: `--pose.model detector` and `--pose.model none`.

Between the tracker and the smoother. A stage of its own and not a pose model, since it looks at no picture: what it
publishes came with the tracks, or is nothing.
"""

from __future__ import annotations

import numpy as np

from realtime.pose.stage import with_keypoints
from realtime.skeleton import Skeleton
from realtime.types import Poses, Tracks


class PassThrough:
    """The detector's own keypoints, or none.

    Attributes:
        skeleton: what comes out: the detector's K keypoints, or NO_SKELETON.
        engine_name: None, nothing is computed.
    """

    name = "pose"
    engine_name = None

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton

    def warm_up(self) -> None:
        """Nothing to make ready."""

    def process(self, batch: list[Tracks]) -> list[Poses]:
        """The people of each frame with the keypoints that came with them, in the order of the frames.

        Raises:
            ValueError: a skeleton was promised, and people came without keypoints or with another number of them.
        """
        return [self._pass(tracks) for tracks in batch]

    def close(self) -> None:
        """Nothing to give up."""

    def _pass(self, tracks: Tracks) -> Poses:
        expected = len(self.skeleton)
        if not expected or not len(tracks):
            return with_keypoints(tracks, np.zeros((len(tracks), expected, 3), np.float32))
        if tracks.keypoints is None or tracks.keypoints.shape[1] != expected:
            got = None if tracks.keypoints is None else tracks.keypoints.shape[1]
            raise ValueError(f"Tracks.keypoints: expected {expected} a person, as the skeleton says, got {got}")
        return with_keypoints(tracks, tracks.keypoints)
