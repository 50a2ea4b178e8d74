# SPDX-License-Identifier: MIT
"""A frame for the page: the people of one processed frame, with the picture of the same frame or without one.

`viewers` makes frames of messages, once for all pages that get them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import msgspec
import numpy as np

from realtime import wire
from realtime.dashboard.camera import Camera
from realtime.dashboard.clock import Moment
from realtime.dashboard.records import Record

# Decimals that a browser needs: 0.1 pixels, and 0.01 of a score.
PIXEL_DECIMALS = 1
SCORE_DECIMALS = 2


@dataclass(slots=True, eq=False)
class Frame:
    """One frame, encoded once, when it is first sent, and shared by all viewers.

    Attributes:
        camera: its camera.
        pose: the pose message.
        picture: the picture message of the same frame; None for a skeleton only.
        width: width class of the picture; None without one.
        is_idle: whether the camera was idle.
    """

    camera: Camera
    pose: wire.PoseMessage
    picture: wire.PictureMessage | None
    width: wire.Width | None
    is_idle: bool
    _head: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """Length of the message in bytes, within a few."""
        return len(self._encoded()) + (0 if self.picture is None else len(self.picture.jpeg))

    def message(self, now: Moment) -> bytes:
        """Return the binary message of web/1, with the age of the frame at this moment."""
        head = self._encoded()
        age = b',"age_ms":%.1f}' % self.camera.age_ms(self.pose.captured_ns, now)
        jpeg = b"" if self.picture is None else self.picture.jpeg
        return b"".join((struct.pack("<I", len(head) + len(age)), head, age, jpeg))

    def _encoded(self) -> bytes:
        """The JSON up to the age, without the closing brace."""
        if not self._head:
            self._head = msgspec.json.encode(self._record())[:-1]
        return self._head

    def _record(self) -> Record:
        pose, picture = self.pose, self.picture
        return {
            "camera": self.camera.name,
            "session": pose.session,
            "epoch": pose.epoch,
            "seq": pose.seq,
            "frame": pose.frame,
            # On our clock, which a page can ask for. It knows nothing of the publisher's.
            "captured_ms": pose.captured_ns / 1e6 + self.camera.clock.ms,
            "size": pose.size,
            "jpeg_size": None if picture is None else (picture.width, picture.height),
            "idle": self.is_idle,
            "people": people_of(pose),
            "timing_ms": pose.timing_ms,
        }


def people_of(pose: wire.PoseMessage) -> list[Record]:
    """Return the people of a pose message as the page gets them, with rounded numbers."""
    # In float64, because a rounded float32 would be written with all its decimals.
    boxes = pose.boxes_array().astype(np.float64).round(PIXEL_DECIMALS).tolist()
    keypoints = pose.keypoints_array().astype(np.float64)
    rounded = np.concatenate(
        [keypoints[..., :2].round(PIXEL_DECIMALS), keypoints[..., 2:].round(SCORE_DECIMALS)], axis=-1
    )
    points = rounded.reshape(len(boxes), -1).tolist() if boxes else []
    people = [
        {"id": track_id, "score": round(score, SCORE_DECIMALS), "box": box, "points": flat, "measured": measured}
        for track_id, score, box, flat, measured in zip(
            pose.track_ids, pose.scores, boxes, points, pose.measured, strict=True
        )
    ]
    for person, label in zip(people, [] if pose.labels is wire.UNSET else pose.labels, strict=False):
        person["label"] = label
    return people
