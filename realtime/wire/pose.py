# SPDX-License-Identifier: MIT
"""The people of one frame, as a reader of the stream gets them: a message of the stream -> arrays.

Used by wire.subscriber.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime import wire


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """The people of one processed frame: N people with K keypoints each.

    Attributes:
        session: random id of the publisher's run. `seq` and track ids start again in a new session.
        camera: name of the camera.
        epoch: increases when the source is reopened, loops or changes its frame size; this ends all earlier tracks.
        seq: number of this message, counted per camera from 0.
        frame: index of the source frame, from 0.
        captured_ns: Unix time in nanoseconds when the frame was captured, according to `clock`.
        clock: "arrival" (when the frame reached the publisher), "rtcp" (the camera's own wall clock) or "playlist" (the
            wall clock of an HLS playlist).
        published_ns: Unix time in nanoseconds just before the message was sent.
        media_s: timestamp of the frame in seconds on the source's own clock; None if it has none.
        size: width and height of the source frame in pixels.
        skeleton: "coco17", "none", or another name; `PoseSubscriber.info` returns the names of its keypoints.
        track_ids: int64 (N,), >= 1.
        scores: float32 (N,), detection scores, 0..1.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels. Read-only, as are the keypoints.
        keypoints: float32 (N, K, 3), x, y in pixels and score 0..1. K is 0 in a frame without people.
        measured: bool (N,), False if the pose was predicted or repeated instead of measured in this frame.
        labels: N class names, such as "person" and "cat"; None if the publisher looks for people only.
        raw_keypoints: float32 (N, K, 2), x, y in pixels before smoothing; None if the publisher doesn't send them
            (`publish.raw_keypoints`).
        timing_ms: milliseconds that the frame spent in each stage, and waiting between stages (`wait`).
        missed: number of messages of this camera, by `seq`, between the previous Pose and this one. They were lost
            because the reader was too slow, or `latest` skipped them.
    """

    session: str
    camera: str
    epoch: int
    seq: int
    frame: int
    captured_ns: int
    clock: str
    published_ns: int
    media_s: float | None
    size: tuple[int, int]
    skeleton: str
    track_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    measured: NDArray[np.bool_]
    raw_keypoints: NDArray[np.float32] | None
    timing_ms: dict[str, float]
    missed: int
    labels: tuple[str, ...] | None = None

    @classmethod
    def of(cls, message: wire.PoseMessage, missed: int = 0) -> Pose:
        """Build a Pose from a message: its bytes and lists become arrays.

        >>> message = wire.PoseMessage(
        ...     session="s1", camera="cam0", epoch=0, seq=0, frame=0, captured_ns=1, clock="arrival", published_ns=2,
        ...     media_s=None, size=(640, 480), skeleton="coco17", track_ids=[7], scores=[0.9],
        ...     boxes=wire.pack(np.float32([[10, 20, 110, 220]])), keypoints=wire.pack(np.zeros((1, 17, 3))),
        ...     measured=[True], timing_ms={},
        ... )
        >>> pose = Pose.of(message)
        >>> pose.track_ids, pose.boxes.tolist(), pose.keypoints.shape
        (array([7]), [[10.0, 20.0, 110.0, 220.0]], (1, 17, 3))

        Args:
            message: a message as `PoseSubscriber.next_message` or `wire.decode` returns it.
            missed: value of the attribute `missed`.
        """
        return cls(
            session=message.session,
            camera=message.camera,
            epoch=message.epoch,
            seq=message.seq,
            frame=message.frame,
            captured_ns=message.captured_ns,
            clock=message.clock,
            published_ns=message.published_ns,
            media_s=message.media_s,
            size=message.size,
            skeleton=message.skeleton,
            track_ids=np.array(message.track_ids, np.int64),
            scores=np.array(message.scores, np.float32),
            boxes=message.boxes_array(),
            keypoints=message.keypoints_array(),
            measured=np.array(message.measured, np.bool_),
            raw_keypoints=message.raw_array(),
            timing_ms=message.timing_ms,
            missed=missed,
            labels=None if message.labels is wire.UNSET else tuple(message.labels),
        )

    def __len__(self) -> int:
        return len(self.track_ids)

    def age_s(self) -> float:
        """Seconds since the frame was captured, by this machine's clock."""
        return (time.time_ns() - self.captured_ns) / 1e9
