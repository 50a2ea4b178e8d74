# SPDX-License-Identifier: MIT
"""The messages of the ZeroMQ stream, their topics, and how they are encoded and decoded.

At the end of the data path, publish/ encodes the messages, and realtime.client decodes them in the subscriber's
program. `python -m realtime.wire docs` generates docs/wire.schema.json and the tables in docs/wire.md from this file.
It is under the MIT licence and imports no other module of this package, so programs that use it may have any licence.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

Encoding = Literal["msgpack", "json"]

# Every array on the wire is float32, least significant byte first, on any machine.
WIRE_FLOAT = np.dtype("<f4")
BOX_BYTES = 4 * WIRE_FLOAT.itemsize
KEYPOINT_BYTES = 3 * WIRE_FLOAT.itemsize
# Keys that are sent only if the publisher's configuration asks for them.
OPTIONAL = frozenset({"raw_keypoints"})
RAW_BYTES = 2 * WIRE_FLOAT.itemsize

# ---- the keys: types and descriptions that several messages share

Session = Annotated[str, Meta(description="random id, new for every run of the publisher")]
Camera = Annotated[str, Meta(description="name of the camera, as in the topic: letters, digits, `_` and `-`")]
Epoch = Annotated[
    int,
    Meta(
        description="+1 whenever the source was reopened, looped or changed its frame size: "
        "tracks of earlier epochs are over"
    ),
]
Seq = Annotated[
    int,
    Meta(
        description="+1 per pose message of this camera, from 0, never restarted within a session: "
        "a gap means that the subscriber missed messages"
    ),
]
FrameIndex = Annotated[
    int,
    Meta(
        description="index of the source frame, from 0, never decreasing within a camera: "
        "a gap means that the pipeline dropped frames"
    ),
]
CapturedNs = Annotated[
    int, Meta(description="Unix time in nanoseconds when the frame was captured, according to `clock`")
]
Clock = Annotated[
    Literal["arrival", "rtcp"],
    Meta(description='"arrival" (when the frame reached the publisher) or "rtcp" (the camera\'s own wall clock)'),
]
PublishedNs = Annotated[int, Meta(description="Unix time in nanoseconds just before the message was sent")]
MediaS = Annotated[
    float | None,
    Meta(description="presentation timestamp of the frame in seconds, on the source's own clock; nil if it has none"),
]
Size = Annotated[tuple[int, int], Meta(description="width and height of the source frame in pixels")]
SkeletonName = Annotated[
    str,
    Meta(description='name of the skeleton: "coco17", "none" (K is 0), or another; InfoMessage lists its keypoints'),
]
TrackIds = Annotated[
    list[int],
    Meta(description="N ids, >= 1, unique within the message and never reused within a session and camera"),
]
Scores = Annotated[list[float], Meta(description="N detection scores, 0..1")]
Measured = Annotated[
    list[bool],
    Meta(description="N: true if the pose was measured in this frame's image, false if it was predicted"),
]
TimingMs = Annotated[
    dict[str, float],
    Meta(description="milliseconds that the frame spent in each stage, and `wait`, the sum of its waits between them"),
]
BOXES = "(N, 4): x1, y1, x2, y2 in pixels"
KEYPOINTS = "(N, K, 3): x, y in pixels and score 0..1; smoothed; empty if K is 0"
RAW_KEYPOINTS = "(N, K, 2): x, y in pixels before smoothing; sent only with `publish.raw_keypoints`"


class WireError(ValueError):
    """A message that this version can't read: malformed, inconsistent, or of another schema."""


class PoseMessage(Struct, frozen=True, kw_only=True):
    """The people of one processed frame: N people, K keypoints each. N may be 0."""

    schema: Annotated[Literal["pose/1"], Meta(description='"pose/1"')] = "pose/1"
    session: Session
    camera: Camera
    epoch: Epoch
    seq: Seq
    frame: FrameIndex
    captured_ns: CapturedNs
    clock: Clock
    published_ns: PublishedNs
    media_s: MediaS
    size: Size
    skeleton: SkeletonName
    track_ids: TrackIds
    scores: Scores
    boxes: Annotated[bytes, Meta(description=f"float32 little-endian, {BOXES}")]
    keypoints: Annotated[bytes, Meta(description=f"float32 little-endian, {KEYPOINTS}")]
    measured: Measured
    timing_ms: TimingMs
    raw_keypoints: Annotated[bytes, Meta(description=f"float32 little-endian, {RAW_KEYPOINTS}")] | UnsetType = UNSET

    def __post_init__(self) -> None:
        people = len(self.track_ids)
        _expect("scores", len(self.scores), people, "one for each track id")
        _expect("measured", len(self.measured), people, "one for each track id")
        _expect("boxes", len(self.boxes), people * BOX_BYTES, f"bytes: {BOX_BYTES} for each track id")
        spare = len(self.keypoints) % (people * KEYPOINT_BYTES) if people else len(self.keypoints)
        if spare:
            raise ValueError(
                f"keypoints: got {len(self.keypoints)} bytes, expected a multiple of {people} people x {KEYPOINT_BYTES}"
            )
        raw = self.raw_array()
        _finite("boxes", self.boxes_array())
        _finite("keypoints", self.keypoints_array())
        _finite("raw_keypoints", [] if raw is None else raw)
        _finite("scores", self.scores)
        _finite("timing_ms", self.timing_ms.values())
        _finite("media_s", [self.media_s])

    def boxes_array(self) -> NDArray[np.float32]:
        """Return the boxes, float32 (N, 4): x1, y1, x2, y2 in pixels. Read-only."""
        boxes = np.frombuffer(self.boxes, WIRE_FLOAT).astype(np.float32, copy=False)
        return boxes.reshape(len(self.track_ids), 4)

    def keypoints_array(self) -> NDArray[np.float32]:
        """Return the keypoints, float32 (N, K, 3): x, y in pixels, score 0..1. Read-only. K is 0 if N is 0."""
        people = len(self.track_ids)
        keypoints = np.frombuffer(self.keypoints, WIRE_FLOAT).astype(np.float32, copy=False)
        return keypoints.reshape(people, len(self.keypoints) // (max(people, 1) * KEYPOINT_BYTES), 3)

    def raw_array(self) -> NDArray[np.float32] | None:
        """Return the keypoints before smoothing, float32 (N, K, 2): x, y in pixels. Read-only. None if not sent."""
        if self.raw_keypoints is UNSET:
            return None
        points = len(self.keypoints) // KEYPOINT_BYTES
        _expect("raw_keypoints", len(self.raw_keypoints), points * RAW_BYTES, f"bytes: {RAW_BYTES} for each keypoint")
        raw = np.frombuffer(self.raw_keypoints, WIRE_FLOAT).astype(np.float32, copy=False)
        people = len(self.track_ids)
        return raw.reshape(people, points // max(people, 1), 2)


class PoseMessageJson(Struct, frozen=True, kw_only=True):
    """PoseMessage in JSON form, with nested lists instead of bytes."""

    # A struct of its own, because msgspec would write bytes as base64.
    schema: Annotated[Literal["pose/1"], Meta(description='"pose/1"')] = "pose/1"
    session: Session
    camera: Camera
    epoch: Epoch
    seq: Seq
    frame: FrameIndex
    captured_ns: CapturedNs
    clock: Clock
    published_ns: PublishedNs
    media_s: MediaS
    size: Size
    skeleton: SkeletonName
    track_ids: TrackIds
    scores: Scores
    boxes: Annotated[list[tuple[float, float, float, float]], Meta(description=BOXES)]
    keypoints: Annotated[list[list[tuple[float, float, float]]], Meta(description=KEYPOINTS)]
    measured: Measured
    timing_ms: TimingMs
    raw_keypoints: Annotated[list[list[tuple[float, float]]], Meta(description=RAW_KEYPOINTS)] | UnsetType = UNSET


class InfoMessage(Struct, frozen=True, kw_only=True):
    """A camera's skeleton, models and frame size: what a subscriber needs to draw its people."""

    schema: Annotated[Literal["info/1"], Meta(description='"info/1"')] = "info/1"
    session: Session
    camera: Camera
    keypoint_names: Annotated[list[str], Meta(description="K names, in the order of `keypoints`")]
    edges: Annotated[list[tuple[int, int]], Meta(description="pairs of keypoint indices, from 0, to draw as limbs")]
    detector: Annotated[str, Meta(description="name of the detection model")]
    pose: Annotated[str, Meta(description="name of the pose model")]
    device: Annotated[str, Meta(description="device that runs the models: cpu, cuda:0, ...")]
    smoothing: Annotated[str, Meta(description="smoothing method: one-euro, kalman or none")]
    source_fps: Annotated[
        float | None, Meta(description="nominal frames per second of the source; nil if it declares none")
    ]
    size: Annotated[
        tuple[int, int] | None,
        Meta(description="width and height of the source frame in pixels; nil before the first frame"),
    ]
    version: Annotated[str, Meta(description="version of the publisher")]

    def __post_init__(self) -> None:
        _finite("source_fps", [self.source_fps])


class StatusMessage(Struct, frozen=True, kw_only=True):
    """The state and the counters of one camera."""

    schema: Annotated[Literal["status/1"], Meta(description='"status/1"')] = "status/1"
    session: Session
    camera: Camera
    state: Annotated[
        Literal["starting", "live", "reconnecting", "ended", "failed"],
        Meta(description='"starting", "live", "reconnecting", "ended" or "failed"'),
    ]
    reason: Annotated[str | None, Meta(description="why the camera is not live, in words; nil if there is no reason")]
    captured: Annotated[int, Meta(description="frames captured from the source so far")]
    dropped: Annotated[int, Meta(description="frames that were dropped instead of published")]
    published: Annotated[int, Meta(description="pose messages sent")]
    fps: Annotated[float, Meta(description="pose messages per second over the last few seconds")]
    latency_ms: Annotated[
        dict[str, float],
        Meta(
            description="`p50`, `p95` and `p99` of the time from capture to publishing, in milliseconds, "
            "over the last few seconds"
        ),
    ]
    uptime_s: Annotated[float, Meta(description="seconds since the publisher started")]
    tracks_started: Annotated[
        list[int], Meta(description="track ids seen for the first time since the previous status of this camera")
    ] = []
    tracks_ended: Annotated[
        list[int],
        Meta(
            description="track ids that ended since the previous status and won't return: not seen for "
            "`tracker.buffer_s` and `tracker.relink_s`, or of an earlier epoch; if the state is ended or failed, all "
            "other tracks have ended too"
        ),
    ] = []
    lowered: Annotated[
        list[str],
        Meta(
            description="configuration keys changed to compute less and meet `latency.target_ms`, with their current "
            'values, such as "detector.every=2"; empty if none'
        ),
    ] = []

    def __post_init__(self) -> None:
        _finite("fps", [self.fps])
        _finite("uptime_s", [self.uptime_s])
        _finite("latency_ms", self.latency_ms.values())


Message = PoseMessage | InfoMessage | StatusMessage


def _expect(key: str, got: int, expected: int, meaning: str) -> None:
    if got != expected:
        raise ValueError(f"{key}: got {got}, expected {expected} ({meaning})")


def _finite(key: str, values: NDArray[np.float32] | Iterable[float | None]) -> None:
    """Raise ValueError if a value is NaN or infinite; None is allowed."""
    if isinstance(values, np.ndarray):
        good = bool(np.isfinite(values).all())
    else:
        good = all(value is None or math.isfinite(value) for value in values)
    if not good:
        raise ValueError(f"{key}: got a NaN or infinite number, expected finite numbers")


# ---- topics


def pose_topic(camera: str) -> bytes:
    """Return the topic of a camera's pose messages.

    ZeroMQ compares prefixes, so without the slash at the end a subscription to `cam1` would match `cam10` too.

    >>> pose_topic("cam1")
    b'pose/cam1/'
    """
    return f"pose/{camera}/".encode()


def info_topic(camera: str) -> bytes:
    """Return the topic of a camera's info messages, `info/CAMERA/`."""
    return f"info/{camera}/".encode()


def status_topic(camera: str) -> bytes:
    """Return the topic of a camera's status messages, `status/CAMERA/`."""
    return f"status/{camera}/".encode()


# ---- encoding


def pose_message(
    *,
    session: str,
    camera: str,
    epoch: int,
    seq: int,
    frame: int,
    captured_ns: int,
    clock: Literal["arrival", "rtcp"],
    published_ns: int,
    media_s: float | None,
    size: tuple[int, int],
    skeleton: str,
    track_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    boxes: NDArray[np.float32],
    keypoints: NDArray[np.float32],
    keypoint_scores: NDArray[np.float32],
    measured: NDArray[np.bool_],
    timing_ms: dict[str, float],
    raw_keypoints: NDArray[np.float32] | None = None,
) -> PoseMessage:
    """Build a PoseMessage from arrays.

    >>> message = pose_message(
    ...     session="s1", camera="cam0", epoch=0, seq=0, frame=0, captured_ns=1, clock="arrival", published_ns=2,
    ...     media_s=None, size=(640, 480), skeleton="coco17", track_ids=np.array([7]), scores=np.float32([0.5]),
    ...     boxes=np.float32([[10, 20, 110, 220]]), keypoints=np.full((1, 17, 2), 60, np.float32),
    ...     keypoint_scores=np.ones((1, 17), np.float32), measured=np.array([True]), timing_ms={"detect": 12.5},
    ... )
    >>> message.track_ids, message.scores, len(message.boxes)
    ([7], [0.5], 16)
    >>> message.keypoints_array()[0, 0]
    array([60., 60.,  1.], dtype=float32)

    Args:
        session, camera, epoch, seq, frame, captured_ns, clock, published_ns, media_s, size, skeleton, timing_ms: the
            fields of PoseMessage with these names.
        track_ids: int64 (N,).
        scores: float32 (N,), 0..1.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels.
        keypoints: float32 (N, K, 2), pixels.
        keypoint_scores: float32 (N, K), 0..1.
        measured: bool (N,).
        raw_keypoints: float32 (N, K, 2), pixels, before smoothing; None leaves the key out.

    Raises:
        ValueError: a number is NaN or infinite, or the shapes of the arrays don't match.
    """
    if boxes.shape != (len(track_ids), 4) or keypoints.shape != (*keypoint_scores.shape, 2):
        raise ValueError(
            f"pose_message: got boxes {boxes.shape}, keypoints {keypoints.shape}, keypoint_scores "
            f"{keypoint_scores.shape} for {len(track_ids)} track ids, expected (N, 4), (N, K, 2), (N, K)"
        )
    _expect("keypoints", len(keypoints), len(track_ids), "one row for each track id")
    return PoseMessage(
        session=session,
        camera=camera,
        epoch=epoch,
        seq=seq,
        frame=frame,
        captured_ns=captured_ns,
        clock=clock,
        published_ns=published_ns,
        media_s=media_s,
        size=size,
        skeleton=skeleton,
        track_ids=track_ids.tolist(),
        scores=scores.tolist(),
        boxes=_pack(boxes),
        keypoints=_pack(np.concatenate([keypoints, keypoint_scores[..., None]], axis=-1)),
        measured=measured.tolist(),
        timing_ms=timing_ms,
        raw_keypoints=UNSET if raw_keypoints is None else _pack(raw_keypoints),
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


def _pack(values: NDArray[np.float32]) -> bytes:
    return values.astype(WIRE_FLOAT, copy=False).tobytes()


# ---- decoding

# For each kind of topic, the message that it carries and the schema that this version can read.
_MESSAGES: dict[bytes, tuple[type[Message], str]] = {
    b"pose": (PoseMessage, "pose/1"),
    b"info": (InfoMessage, "info/1"),
    b"status": (StatusMessage, "status/1"),
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
        topic: the first part of the ZeroMQ message: `pose/CAMERA/`, `info/CAMERA/` or `status/CAMERA/`.
        payload: its second part.

    Raises:
        WireError: the topic or the schema is unknown, or the payload is malformed, inconsistent or not finite.
    """
    parts = topic.split(b"/")
    if len(parts) != 3 or parts[2] or parts[0] not in _MESSAGES:
        raise WireError(f"topic: got {topic!r}, expected pose/CAMERA/, info/CAMERA/ or status/CAMERA/")
    kind, schema = _MESSAGES[parts[0]]
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
        _expect("keypoints", len(keypoints), people, "one list for each track id")
        for person in keypoints:
            _expect("keypoints", len(person), len(keypoints[0]), "as many as the first person has")
    raw = message.raw_keypoints
    if raw is not UNSET and [len(person) for person in raw] != [len(person) for person in keypoints]:
        raise ValueError("raw_keypoints: expected as many people and keypoints as in keypoints")
    fields: dict[str, Any] = {name: getattr(message, name) for name in message.__struct_fields__}  # Any: of many types
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, which PoseMessage rejects
        fields["boxes"] = np.array(message.boxes, WIRE_FLOAT).tobytes()
        fields["keypoints"] = np.array(keypoints, WIRE_FLOAT).tobytes()
        fields["raw_keypoints"] = raw if raw is UNSET else np.array(raw, WIRE_FLOAT).tobytes()
    return PoseMessage(**fields)


# ---- the documents


def json_schema() -> bytes:
    """Return the content of docs/wire.schema.json: the JSON Schema of the three messages in their JSON form.

    All keys except those in OPTIONAL are required, because they are always sent.
    """
    references, definitions = msgspec.json.schema_components([PoseMessageJson, InfoMessage, StatusMessage])
    for definition in definitions.values():
        definition["required"] = [key for key in definition["properties"] if key not in OPTIONAL]
        definition["properties"]["schema"].pop("default", None)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "realtime-pose stream, JSON form",
        "anyOf": list(references),
        "$defs": definitions,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def with_tables(markdown: str) -> str:
    """Return the text of docs/wire.md with its tables replaced, each between `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: the text lacks one of these lines.
    """
    for kind in (PoseMessage, InfoMessage, StatusMessage):
        begin, end = f"<!-- {kind.__name__} -->\n", f"<!-- /{kind.__name__} -->"
        before, found, rest = markdown.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"wire.md: expected the lines {begin.strip()} and {end}")
        markdown = before + begin + _table(kind) + end + after
    return markdown


def _table(kind: type[Message]) -> str:
    lines = ["| key | type | meaning |", "|---|---|---|"]
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        assert isinstance(field.type, msgspec.inspect.Metadata)
        assert field.type.extra_json_schema
        meaning = field.type.extra_json_schema["description"]
        lines.append(f"| `{field.name}` | {_type_name(field.type)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _type_name(kind: msgspec.inspect.Type) -> str:
    """Return the name of a type in the words of msgpack."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return _type_name(inner)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(_type_name(t) for t in types)
        case msgspec.inspect.ListType(item_type=item):
            return f"[{_type_name(item)}]"
        case msgspec.inspect.TupleType(item_types=items):
            return f"[{', '.join(_type_name(t) for t in items)}]"
    names = {"IntType": "int", "FloatType": "float", "BoolType": "bool", "StrType": "str", "LiteralType": "str"}
    names |= {"BytesType": "bin", "DictType": "map", "NoneType": "nil"}
    return names[type(kind).__name__]


def write_docs(folder: Path) -> None:
    """Write wire.schema.json, and update the tables of wire.md."""
    page = folder / "wire.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "wire.schema.json").write_bytes(json_schema())


if __name__ == "__main__":
    if sys.argv[1:] != ["docs"]:
        sys.exit("usage: python -m realtime.wire docs    (in the root of the repository)")
    write_docs(Path("docs"))
