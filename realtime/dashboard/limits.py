# SPDX-License-Identifier: MIT
"""What a publisher may make this program keep and pass on to browsers: names, sizes and counts.

`feed` decodes every message here. A publisher may be another program than ours, or broken, and one that sends nonsense
must only lose its own tiles.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sized

from realtime import wire

# Longest messages (bytes) of the poses' socket and of the pictures' socket; ZeroMQ drops a connection that sends more.
# 300 people with 133 keypoints, before and after smoothing, take 2 MB as JSON. A JPEG of a 4K frame has 1 to 3 MB.
LONGEST_POSE = 2 * 2**20
LONGEST_PICTURE = 6 * 2**20
# Longest info or status message (bytes). Ours have less than 10 kB.
LONGEST_STATE = 64 * 2**10
# People in a frame, keypoints of a person, and entries of the other lists and maps. Ours have at most 300, 133 and 50.
MOST_PEOPLE = 1000
MOST_KEYPOINTS = 1000
MOST_ENTRIES = 1000
# Payloads that are kept for a pipeline (bytes): the newest of each kind and camera. 1000 cameras of ours take 5 MB.
MOST_KEPT = 32 * 2**20
# Longest side of a frame, and most pixels of a picture, for which a browser takes 4 bytes each. 8K has 33 million.
LONGEST_SIDE = 32_768
MOST_PIXELS = 40_000_000
# Topics of a camera that are kept: pose, info and status.
_KINDS = 3
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read(topic: bytes, payload: bytes) -> wire.Message:
    """Decode one message and check that it stays within the limits.

    >>> try:
    ...     read(b"pose/../", b"{}")
    ... except wire.WireError as error:
    ...     print(error)
    camera: got '..', expected letters, digits, _ and -, at most 64

    Raises:
        realtime.wire.WireError: it can't be read, or is beyond a limit.
    """
    kind, _, rest = topic.partition(b"/")
    camera = rest.partition(b"/")[0].decode("ascii", "replace")
    if not _NAME.fullmatch(camera):
        raise wire.WireError(f"camera: got {camera[:100]!r}, expected letters, digits, _ and -, at most 64")
    if kind in (b"info", b"status"):
        _most("message", payload, LONGEST_STATE)
    message = wire.decode(topic, payload)
    if message.camera != camera:
        raise wire.WireError(f"camera: got {message.camera[:100]!r} under the topic of {camera!r}")
    _most("session", message.session, 100)
    if isinstance(message, wire.PoseMessage):
        _check_pose(message)
    elif isinstance(message, wire.PictureMessage):
        _check_picture(message)
    elif isinstance(message, wire.InfoMessage):
        for entries in (message.keypoint_names, message.edges):
            _most("info", entries, MOST_KEYPOINTS)
    else:
        for counts in (message.drops, message.stages, message.reconnects, message.latency_ms, message.lowered):
            _most("status", counts, MOST_ENTRIES)
    return message


def _most(what: str, got: Sized, most: int) -> None:
    if len(got) > most:
        raise wire.WireError(f"{what}: got {len(got)} entries or bytes, expected at most {most}")


def _check_pose(pose: wire.PoseMessage) -> None:
    _most("track_ids", pose.track_ids, MOST_PEOPLE)
    _most("timing_ms", pose.timing_ms, MOST_ENTRIES)
    _most("skeleton", pose.skeleton, 100)
    for label in () if pose.labels is wire.UNSET else pose.labels:
        _most("labels", label, 100)
    _check_size(pose.size)


def _check_picture(picture: wire.PictureMessage) -> None:
    _check_size(picture.size)
    if jpeg_size(picture.jpeg) != (picture.width, picture.height):
        raise wire.WireError(f"jpeg: expected a JPEG of {picture.width}x{picture.height}")
    if not 0 < picture.width * picture.height <= MOST_PIXELS:
        raise wire.WireError(f"jpeg: got {picture.width}x{picture.height}, expected at most {MOST_PIXELS:,} pixels")


def _check_size(size: tuple[int, int]) -> None:
    if not all(0 < side <= LONGEST_SIDE for side in size):
        raise wire.WireError(f"size: got {size[0]}x{size[1]}, expected at most {LONGEST_SIDE} on each side")


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    r"""Return width and height from the header of a JPEG file; None if it is none.

    The browser would reserve memory for any size that the header claims. (ITU-T T.81, B.2.2: the frame header is a
    segment SOF0..SOF15 except DHT, JPG and DAC.)

    >>> jpeg_size(b"\xff\xd8" + b"\xff\xc0\x00\x0b\x08\x00\x02\x00\x03\x01\x00\x00\x00")
    (3, 2)
    >>> jpeg_size(b"GIF89a") is None
    True
    """
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if length < 2 or marker == 0xDA:
            return None
        at += 2 + length
    return None


class Kept:
    """Counts the bytes of the payloads that are kept for one pipeline.

    >>> kept = Kept()
    >>> kept.fits(b"pose/cam0/", 1000), kept.fits(b"pose/cam1/", MOST_KEPT)
    (True, False)
    """

    def __init__(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self._sum = 0

    def fits(self, topic: bytes, size: int) -> bool:
        """Whether a payload fits instead of the last one of the same topic. If it does, it is counted."""
        total = self._sum - self._sizes.get(topic, 0) + size
        if total > MOST_KEPT:
            return False
        self._sizes[topic] = size
        self._sum = total
        return True

    def keep_only(self, cameras: Collection[str]) -> None:
        """Stop counting the cameras that have left.

        Args:
            cameras: own names of the others.
        """
        if len(self._sizes) <= _KINDS * len(cameras):
            return
        for topic in [*self._sizes]:
            if topic.split(b"/")[1].decode() not in cameras:
                self._sum -= self._sizes.pop(topic)
