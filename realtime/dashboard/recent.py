# SPDX-License-Identifier: MIT
"""The poses of the last seconds of one pipeline, to find the one that belongs to a picture."""

from __future__ import annotations

from realtime import wire

# A picture comes after the pose of its frame: by some 10 to 100 ms, and later on a busy machine (s).
LONGEST_S = 3.0
# Bytes that are kept at most, roughly. 20 cameras with 10 people each, at 10 fps, take 3 MB.
MOST_BYTES = 32 * 2**20
# Memory (bytes) that a person takes besides the arrays, and each entry of a map.
_PERSON = 150
_ENTRY = 150


class RecentPoses:
    """Poses by camera, session and number.

    >>> from tests.wire import examples
    >>> recent, pose = RecentPoses(), examples.pose()
    >>> recent.add(pose, now_s=0.0)
    >>> recent.find(pose.camera, pose.session, pose.seq) is pose
    True
    """

    def __init__(self) -> None:
        self._poses: dict[tuple[str, str, int], tuple[wire.PoseMessage, float, int]] = {}  # oldest first
        self._bytes = 0

    def add(self, pose: wire.PoseMessage, now_s: float) -> None:
        """Keep a pose, and drop those that are too old or too many.

        Args:
            pose: the message.
            now_s: monotonic time (s) at which it was received.
        """
        key, size = (pose.camera, pose.session, pose.seq), _size(pose)
        self._drop(key)
        self._poses[key] = pose, now_s, size
        self._bytes += size
        while self._poses:
            oldest = next(iter(self._poses))
            if self._bytes <= MOST_BYTES and now_s - self._poses[oldest][1] <= LONGEST_S:
                return
            self._drop(oldest)

    def find(self, camera: str, session: str, seq: int) -> wire.PoseMessage | None:
        """Return the pose of a frame; None if it isn't kept."""
        found = self._poses.get((camera, session, seq))
        return None if found is None else found[0]

    def _drop(self, key: tuple[str, str, int]) -> None:
        if (found := self._poses.pop(key, None)) is not None:
            self._bytes -= found[2]


def _size(pose: wire.PoseMessage) -> int:
    arrays = len(pose.boxes) + len(pose.keypoints)
    raw = 0 if pose.raw_keypoints is wire.UNSET else len(pose.raw_keypoints)
    return arrays + raw + _PERSON * (1 + len(pose.track_ids)) + _ENTRY * len(pose.timing_ms)
