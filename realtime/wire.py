# SPDX-License-Identifier: MIT
"""What goes over ZeroMQ: the messages, their topics, and how they become bytes and back.

Used by publish/ at the end of the data path and by realtime.client at the other side. This file is the source of
docs/wire.schema.json and of the tables in docs/wire.md: `python -m realtime.wire docs` writes both. It is under the
MIT licence and imports nothing else of this package, so that a subscriber's own program stays free.
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

# Every array on the wire is float32, least significant byte first, whatever machine sends it.
WIRE_FLOAT = np.dtype("<f4")
BOX_BYTES = 4 * WIRE_FLOAT.itemsize
KEYPOINT_BYTES = 3 * WIRE_FLOAT.itemsize
# Keys that are sent only where the publisher is told to.
OPTIONAL = frozenset({"raw_keypoints"})
RAW_BYTES = 2 * WIRE_FLOAT.itemsize

# ---- the keys. Those that several messages share are described once.

Session = Annotated[str, Meta(description="a new random id for every run of the publisher")]
Camera = Annotated[str, Meta(description="the camera's name, as in the topic: letters, digits, `_` and `-`")]
Epoch = Annotated[
    int,
    Meta(description="+1 when the source reopened, looped or changed its size: track ids of an earlier epoch are over"),
]
Seq = Annotated[
    int,
    Meta(
        description="+1 per pose message of this camera, from 0, never restarted within a session: "
        "a gap is what the subscriber missed"
    ),
]
FrameIndex = Annotated[
    int,
    Meta(
        description="index of the source frame, from 0, never decreasing within a camera: "
        "a gap is what the pipeline dropped"
    ),
]
CapturedNs = Annotated[int, Meta(description="Unix time in nanoseconds of the moment the frame was taken, by `clock`")]
Clock = Annotated[
    Literal["arrival", "rtcp"],
    Meta(description='"arrival" (when the frame reached the publisher) or "rtcp" (the camera\'s own wall clock)'),
]
PublishedNs = Annotated[int, Meta(description="Unix time in nanoseconds just before the message was sent")]
MediaS = Annotated[
    float | None, Meta(description="the source's own clock (presentation time stamp) in seconds; nil where it has none")
]
Size = Annotated[tuple[int, int], Meta(description="width and height of the source frame in pixels")]
SkeletonName = Annotated[
    str, Meta(description='"coco17", another name that InfoMessage spells out, or "none" (K is 0)')
]
TrackIds = Annotated[
    list[int],
    Meta(description="N ids, >= 1, unique within the message and never reused within (session, camera)"),
]
Scores = Annotated[list[float], Meta(description="N detection scores, 0..1")]
Measured = Annotated[
    list[bool],
    Meta(description="N: true where this frame's image was looked at, false where the pose was predicted"),
]
TimingMs = Annotated[
    dict[str, float],
    Meta(description="milliseconds this frame spent in each stage, and `wait`, the sum of its waits between them"),
]
BOXES = "(N, 4): x1, y1, x2, y2 in pixels"
KEYPOINTS = "(N, K, 3): x, y in pixels and score 0..1; smoothed; empty where K is 0"
RAW_KEYPOINTS = "(N, K, 2): x, y in pixels before smoothing; only with `publish.raw_keypoints`"


class WireError(ValueError):
    """A message that this version can't read: malformed, inconsistent, or of another schema."""


class PoseMessage(Struct, frozen=True, kw_only=True):
    """One processed frame, with or without people. N people, K keypoints."""

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
        """The boxes, float32 (N, 4): x1, y1, x2, y2 in pixels. Read-only."""
        boxes = np.frombuffer(self.boxes, WIRE_FLOAT).astype(np.float32, copy=False)
        return boxes.reshape(len(self.track_ids), 4)

    def keypoints_array(self) -> NDArray[np.float32]:
        """The keypoints, float32 (N, K, 3): x, y in pixels, score 0..1. K is 0 where there is nobody. Read-only."""
        people = len(self.track_ids)
        keypoints = np.frombuffer(self.keypoints, WIRE_FLOAT).astype(np.float32, copy=False)
        return keypoints.reshape(people, len(self.keypoints) // (max(people, 1) * KEYPOINT_BYTES), 3)

    def raw_array(self) -> NDArray[np.float32] | None:
        """The keypoints before smoothing, float32 (N, K, 2): x, y in pixels; None where not sent. Read-only."""
        if self.raw_keypoints is UNSET:
            return None
        points = len(self.keypoints) // KEYPOINT_BYTES
        _expect("raw_keypoints", len(self.raw_keypoints), points * RAW_BYTES, f"bytes: {RAW_BYTES} for each keypoint")
        raw = np.frombuffer(self.raw_keypoints, WIRE_FLOAT).astype(np.float32, copy=False)
        people = len(self.track_ids)
        return raw.reshape(people, points // max(people, 1), 2)


class PoseMessageJson(Struct, frozen=True, kw_only=True):
    """PoseMessage as JSON: `boxes` and `keypoints` are nested lists (msgspec would write bytes as base64)."""

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
    """What a subscriber has to know of a camera to draw its people."""

    schema: Annotated[Literal["info/1"], Meta(description='"info/1"')] = "info/1"
    session: Session
    camera: Camera
    keypoint_names: Annotated[list[str], Meta(description="K names, in the order of `keypoints`")]
    edges: Annotated[
        list[tuple[int, int]], Meta(description="pairs of keypoint indices, from 0, that are drawn as limbs")
    ]
    detector: Annotated[str, Meta(description="name of the detection model")]
    pose: Annotated[str, Meta(description="name of the pose model")]
    device: Annotated[str, Meta(description="what the models run on: cpu, cuda:0, ...")]
    smoothing: Annotated[str, Meta(description="one-euro, kalman or none")]
    source_fps: Annotated[
        float | None, Meta(description="frames per second that the source says it has; nil where it says nothing")
    ]
    size: Annotated[
        tuple[int, int] | None,
        Meta(description="width and height of the source frame in pixels; nil before the first frame"),
    ]
    version: Annotated[str, Meta(description="version of the publisher")]

    def __post_init__(self) -> None:
        _finite("source_fps", [self.source_fps])


class StatusMessage(Struct, frozen=True, kw_only=True):
    """How a camera is doing."""

    schema: Annotated[Literal["status/1"], Meta(description='"status/1"')] = "status/1"
    session: Session
    camera: Camera
    state: Annotated[
        Literal["starting", "live", "reconnecting", "ended", "failed"],
        Meta(description='"starting", "live", "reconnecting", "ended" or "failed"'),
    ]
    reason: Annotated[str | None, Meta(description="why it is not live, in words; nil where there is nothing to say")]
    captured: Annotated[int, Meta(description="frames taken from the source so far")]
    dropped: Annotated[int, Meta(description="frames that were not processed")]
    published: Annotated[int, Meta(description="pose messages sent")]
    fps: Annotated[float, Meta(description="pose messages per second over the last seconds")]
    latency_ms: Annotated[
        dict[str, float],
        Meta(
            description="`p50`, `p95` and `p99` of the milliseconds from captured to published, over the last seconds"
        ),
    ]
    uptime_s: Annotated[float, Meta(description="seconds since the publisher started")]
    tracks_started: Annotated[
        list[int], Meta(description="track ids seen for the first time since the last status of this camera")
    ] = []
    tracks_ended: Annotated[
        list[int],
        Meta(
            description="track ids that won't come back, since the last status: not seen for `tracker.buffer_s` or of "
            "an earlier epoch; with the state ended or failed all others end too"
        ),
    ] = []
    lowered: Annotated[
        list[str],
        Meta(
            description="what is lower than configured, to keep `latency.target_ms`: keys with their value now, "
            'such as "detector.every=2"; empty where nothing is'
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
    """Raise ValueError where a value is NaN or infinite; None is fine."""
    if isinstance(values, np.ndarray):
        good = bool(np.isfinite(values).all())
    else:
        good = all(value is None or math.isfinite(value) for value in values)
    if not good:
        raise ValueError(f"{key}: got a number that is NaN or infinite, expected finite ones")


# ---- topics


def pose_topic(camera: str) -> bytes:
    """`pose/CAMERA/`. The slash at the end keeps `cam1` from matching `cam10`: ZeroMQ compares prefixes."""
    return f"pose/{camera}/".encode()


def info_topic(camera: str) -> bytes:
    """`info/CAMERA/`."""
    return f"info/{camera}/".encode()


def status_topic(camera: str) -> bytes:
    """`status/CAMERA/`."""
    return f"status/{camera}/".encode()


# ---- writing


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
    """A PoseMessage from arrays.

    Args:
        session, camera, epoch, seq, frame, captured_ns, clock, published_ns, media_s, size, skeleton, timing_ms: as in
            PoseMessage.
        track_ids: int64 (N,).
        scores: float32 (N,), 0..1.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels.
        keypoints: float32 (N, K, 2), pixels.
        keypoint_scores: float32 (N, K), 0..1.
        measured: bool (N,).
        raw_keypoints: float32 (N, K, 2), pixels; None: not sent.

    Raises:
        ValueError: a number is NaN or infinite, or the arrays are not of the same people.
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
    """The same message with nested lists in the place of bytes. The numbers are the same float32 values."""
    keypoints = message.keypoints_array()
    fields: dict[str, Any] = {name: getattr(message, name) for name in message.__struct_fields__}  # Any: of many types
    fields["boxes"] = message.boxes_array().tolist()
    fields["keypoints"] = keypoints.tolist() if keypoints.size else []
    raw = message.raw_array()
    if raw is not None:
        fields["raw_keypoints"] = raw.tolist() if raw.size else []
    return PoseMessageJson(**fields)


def encode(message: Message, encoding: Encoding) -> bytes:
    """The second part of a ZeroMQ message: one msgpack map or one JSON object."""
    if encoding == "msgpack":
        return msgspec.msgpack.encode(message)
    return msgspec.json.encode(to_json(message) if isinstance(message, PoseMessage) else message)


def _pack(values: NDArray[np.float32]) -> bytes:
    return values.astype(WIRE_FLOAT, copy=False).tobytes()


# ---- reading

# Kind of topic to the message that it carries, and the schema that this version reads.
_MESSAGES: dict[bytes, tuple[type[Message], str]] = {
    b"pose": (PoseMessage, "pose/1"),
    b"info": (InfoMessage, "info/1"),
    b"status": (StatusMessage, "status/1"),
}

_T = TypeVar("_T")


class _Head(Struct):
    """What is looked at first: another schema may have other keys."""

    schema: str


def decode(topic: bytes, payload: bytes) -> Message:
    """Read one message, in either encoding. Keys that this version doesn't know are ignored.

    Args:
        topic: the first part, `pose/CAMERA/`, `info/CAMERA/` or `status/CAMERA/`.
        payload: the second part.

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
    """A JSON object begins with a brace; a msgpack map never does (0x80-0x8f, 0xde, 0xdf)."""
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
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which PoseMessage refuses
        fields["boxes"] = np.array(message.boxes, WIRE_FLOAT).tobytes()
        fields["keypoints"] = np.array(keypoints, WIRE_FLOAT).tobytes()
        fields["raw_keypoints"] = raw if raw is UNSET else np.array(raw, WIRE_FLOAT).tobytes()
    return PoseMessage(**fields)


# ---- the documents


def json_schema() -> bytes:
    """docs/wire.schema.json: the three messages in their JSON form. All but OPTIONAL keys are always sent."""
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
    """docs/wire.md with the table of each message written anew between `<!-- NAME -->` and `<!-- /NAME -->`."""
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
    """A type as readers of msgpack call it."""
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
    """Write wire.schema.json and bring the tables of wire.md up to date."""
    page = folder / "wire.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "wire.schema.json").write_bytes(json_schema())


if __name__ == "__main__":
    if sys.argv[1:] != ["docs"]:
        sys.exit("usage: python -m realtime.wire docs    (in the root of the repository)")
    write_docs(Path("docs"))
