# SPDX-License-Identifier: MIT
"""Messages to bytes and back, as msgpack or JSON.

At the end of the data path, publish/ encodes the messages, and `subscriber` decodes them in the reader's program.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, Struct
from numpy.typing import NDArray

from realtime.wire.messages import (
    WIRE_FLOAT,
    Encoding,
    InfoMessage,
    Message,
    PictureMessage,
    PoseMessage,
    PoseMessageJson,
    StatusMessage,
    WireError,
    expect,
)


def to_json(message: PoseMessage) -> PoseMessageJson:
    """Convert the arrays of a message from bytes to nested lists. The numbers keep their float32 values."""
    keypoints = message.keypoints_array()
    fields: dict[str, Any] = {name: getattr(message, name) for name in message.__struct_fields__}  # Any: of many types
    fields["boxes"] = message.boxes_array().tolist()
    fields["keypoints"] = keypoints.tolist() if keypoints.size else []
    raw = message.raw_array()
    if raw is not None:
        fields["raw_keypoints"] = raw.tolist() if raw.size else []
    return PoseMessageJson(**fields)


def encode(message: Message, encoding: Encoding) -> bytes:
    """Encode a message as the second part of a ZeroMQ message: one msgpack map or one JSON object.

    >>> status = StatusMessage(
    ...     session="s1", camera="cam0", state="live", reason=None, captured=3, dropped=1, published=2, fps=10.0,
    ...     latency_ms={"p50": 40.0}, uptime_s=1.5,
    ... )
    >>> encode(status, "json")[:66]
    b'{"schema":"status/1","session":"s1","camera":"cam0","state":"live"'
    """
    if encoding == "msgpack":
        return msgspec.msgpack.encode(message)
    return msgspec.json.encode(to_json(message) if isinstance(message, PoseMessage) else message)


def pack(values: NDArray[np.float32]) -> bytes:
    r"""Convert an array to the bytes of a message: float32, least significant byte first.

    >>> pack(np.float32([1.0]))
    b'\x00\x00\x80?'
    """
    return values.astype(WIRE_FLOAT, copy=False).tobytes()


# ---- decoding

# For each kind of topic, the message that it carries and the schema that this version can read.
_MESSAGES: dict[bytes, tuple[type[Message], str]] = {
    b"pose": (PoseMessage, "pose/1"),
    b"info": (InfoMessage, "info/1"),
    b"status": (StatusMessage, "status/1"),
    b"picture": (PictureMessage, "picture/1"),
}

_T = TypeVar("_T")


class _Head(Struct):
    """The part of a message that is decoded first, because another schema may have other keys."""

    schema: str


def decode(topic: bytes, payload: bytes) -> Message:
    """Decode one message, in either encoding. Keys that this version doesn't know are ignored.

    >>> payload = (
    ...     b'{"schema": "status/1", "session": "s1", "camera": "cam0", "state": "live", "reason": null, "captured": 3,'
    ...     b' "dropped": 1, "published": 2, "fps": 10.0, "latency_ms": {"p50": 40.0}, "uptime_s": 1.5}'
    ... )
    >>> status = decode(b"status/cam0/", payload)
    >>> status.camera, status.state, status.published
    ('cam0', 'live', 2)

    Args:
        topic: the first part of the ZeroMQ message: `pose/CAMERA/`, `info/CAMERA/`, `status/CAMERA/` or
            `picture/CAMERA/WIDTH/`.
        payload: its second part.

    Raises:
        WireError: the topic or the schema is unknown, or the payload is malformed, inconsistent or not finite.
    """
    parts = topic.split(b"/")
    kind, schema = _MESSAGES.get(parts[0], (None, ""))
    if kind is None or len(parts) != (4 if kind is PictureMessage else 3) or parts[-1]:
        raise WireError(
            f"topic: got {topic!r}, expected pose/CAMERA/, info/CAMERA/, status/CAMERA/ or picture/CAMERA/WIDTH/"
        )
    try:
        got = _parse(payload, _Head).schema
        if got != schema:
            raise WireError(f"schema: got {got!r}, expected {schema!r}: publisher and subscriber differ in version")
        if kind is PoseMessage and _is_json(payload):
            return _from_json(_parse(payload, PoseMessageJson))
        return _parse(payload, kind)
    except WireError:
        raise
    except (ValueError, RecursionError) as error:
        raise WireError(f"{topic.decode(errors='replace')}: can't read the message: {error}") from error


def _is_json(payload: bytes) -> bool:
    """Whether a payload is JSON, which starts with a brace; a msgpack map starts with 0x80-0x8f, 0xde or 0xdf."""
    return payload[:1] == b"{"


def _parse(payload: bytes, kind: type[_T]) -> _T:
    if _is_json(payload):
        return msgspec.json.decode(payload, type=kind)
    return msgspec.msgpack.decode(payload, type=kind)


def _from_json(message: PoseMessageJson) -> PoseMessage:
    people, keypoints = len(message.track_ids), message.keypoints
    if keypoints:
        expect("keypoints", len(keypoints), people, "one list for each track id")
        for person in keypoints:
            expect("keypoints", len(person), len(keypoints[0]), "as many as the first person has")
    raw = message.raw_keypoints
    if raw is not UNSET and [len(person) for person in raw] != [len(person) for person in keypoints]:
        raise ValueError("raw_keypoints: expected as many people and keypoints as in keypoints")
    fields: dict[str, Any] = {name: getattr(message, name) for name in message.__struct_fields__}  # Any: of many types
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which PoseMessage rejects
        fields["boxes"] = np.array(message.boxes, WIRE_FLOAT).tobytes()
        fields["keypoints"] = np.array(keypoints, WIRE_FLOAT).tobytes()
        fields["raw_keypoints"] = raw if raw is UNSET else np.array(raw, WIRE_FLOAT).tobytes()
    return PoseMessage(**fields)
