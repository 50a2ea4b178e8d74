"""The stage that replaces the pose model: `--pose.model detector` and `--pose.model none`.

Between the tracker and the smoother. This is a stage of its own and not a pose model, because it reads no image: it
passes on the keypoints that come with the tracks, or none.
"""

from __future__ import annotations

import numpy as np

from realtime.pose.stage import with_keypoints
from realtime.runtime.governor import Effort
from realtime.skeleton import Skeleton
from realtime.types import Poses, Tracks


class PassThrough:
    """Passes on the detector's own keypoints, or none.

    Attributes:
        skeleton: the keypoints of the poses: the detector's K, or NO_SKELETON.
        engine_name: None, because nothing is computed.

    Example:
        >>> from realtime.skeleton import COCO17
        >>> from realtime.types import Frame
        >>> frame = Frame("cam0", 0, 0, np.zeros((240, 320, 3), np.uint8), 0.0, 0, 0)
        >>> box, score, keypoints = np.ones((1, 4), np.float32), np.ones(1, np.float32), np.ones((1, 17, 3), np.float32)
        >>> tracks = Tracks(frame, box, score, np.array([7]), np.array([True]), keypoints)
        >>> [poses] = PassThrough(COCO17).process([tracks])
        >>> poses.track_ids.tolist(), poses.keypoints.shape, poses.keypoint_scores.shape
        ([7], (1, 17, 2), (1, 17))
    """

    name = "pose"
    engine_name = None

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton

    def warm_up(self) -> None:
        """Do nothing: this stage has no model."""

    def set_effort(self, effort: Effort) -> None:
        """Do nothing: this stage has no model."""

    def process(self, batch: list[Tracks]) -> list[Poses]:
        """Return the people of each frame with the keypoints that came with them, in the order of the frames.

        Raises:
            ValueError: `skeleton` has K keypoints, but people came without keypoints or with a different number.
        """
        return [self._pass(tracks) for tracks in batch]

    def forget(self, camera: str) -> None:
        """Do nothing: this stage keeps no state."""

    def close(self) -> None:
        """Do nothing: this stage holds no resources."""

    def _pass(self, tracks: Tracks) -> Poses:
        expected = len(self.skeleton)
        if not expected or not len(tracks):
            return with_keypoints(tracks, np.zeros((len(tracks), expected, 3), np.float32))
        if tracks.keypoints is None or tracks.keypoints.shape[1] != expected:
            got = None if tracks.keypoints is None else tracks.keypoints.shape[1]
            raise ValueError(f"Tracks.keypoints: expected {expected} per person, as in the skeleton, got {got}")
        return with_keypoints(tracks, tracks.keypoints)
