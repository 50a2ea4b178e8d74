# SPDX-License-Identifier: MIT
"""The messages of the ZeroMQ stream, their checks, and their topics.

`codec` encodes and decodes them. `python -m realtime.wire.document` generates docs/wire.schema.json and the tables in
docs/wire.md from this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType
from numpy.typing import NDArray

Encoding = Literal["msgpack", "json"]
# The last part of a picture topic: how wide the picture is, at most. A frame that is narrower is not enlarged.
Width = Literal["320", "640", "1280", "full"]
WIDTHS: tuple[Width, ...] = ("320", "640", "1280", "full")

# Every array on the wire is float32, least significant byte first, on any machine.
WIRE_FLOAT = np.dtype("<f4")
BOX_BYTES = 4 * WIRE_FLOAT.itemsize
KEYPOINT_BYTES = 3 * WIRE_FLOAT.itemsize
# Keys that are sent only if the publisher's configuration asks for them.
OPTIONAL = frozenset({"raw_keypoints", "activity", "labels", "swaps"})
RAW_BYTES = 2 * WIRE_FLOAT.itemsize

# ---- the keys: types and descriptions that several messages share

# JSON has integers of any size. Ours fit into 64 bits, as in msgpack, so that readers can convert them to floats.
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Session = Annotated[str, Meta(description="random id, new for every run of the publisher")]
Camera = Annotated[str, Meta(description="name of the camera, as in the topic: letters, digits, `_` and `-`")]
BOXES = "(N, 4): x1, y1, x2, y2 in pixels"
KEYPOINTS = "(N, K, 3): x, y in pixels and score 0..1; smoothed; empty if K is 0"
RAW_KEYPOINTS = "(N, K, 2): x, y in pixels before smoothing; sent only with `publish.raw_keypoints`"


class WireError(ValueError):
    """A message that this version can't read: malformed, inconsistent, or of another schema."""


class _PoseFields(Struct, frozen=True, kw_only=True):
    """The fields of a pose message in their order on the wire. A subclass gives `boxes` and `keypoints` their types."""

    schema: Annotated[Literal["pose/1"], Meta(description='"pose/1"')] = "pose/1"
    session: Session
    camera: Camera
    epoch: Annotated[
        Integer,
        Meta(
            description="+1 whenever the source was reopened, looped, changed its frame size or set its clock back: "
            "tracks of earlier epochs are over"
        ),
    ]
    seq: Annotated[
        Integer,
        Meta(
            description="+1 per pose message of this camera, from 0, never restarted within a session: "
            "a gap means that the subscriber missed messages"
        ),
    ]
    frame: Annotated[
        Integer,
        Meta(
            description="index of the source frame, from 0, never decreasing for a camera: "
            "a gap means that frames were dropped (on purpose with `target_fps` and while the camera is empty) or that "
            "messages were missed"
        ),
    ]
    captured_ns: Annotated[
        Integer, Meta(description="Unix time in nanoseconds when the frame was captured, according to `clock`")
    ]
    clock: Annotated[
        Literal["arrival", "rtcp", "playlist"],
        Meta(
            description='"arrival" (when the frame reached the publisher), "rtcp" (the camera\'s own wall clock) or '
            '"playlist" (the wall clock of an HLS playlist)'
        ),
    ]
    published_ns: Annotated[Integer, Meta(description="Unix time in nanoseconds just before the message was sent")]
    media_s: Annotated[
        float | None,
        Meta(
            description="presentation timestamp of the frame in seconds, on the source's own clock; nil if it has none"
        ),
    ]
    size: Annotated[tuple[Integer, Integer], Meta(description="width and height of the source frame in pixels")]
    skeleton: Annotated[
        str,
        Meta(
            description='name of the skeleton: "coco17", "none" (K is 0), or another; InfoMessage lists its keypoints'
        ),
    ]
    track_ids: Annotated[
        list[Integer],
        Meta(description="N ids, >= 1, unique within the message and never reused within a session and camera"),
    ]
    scores: Annotated[list[float], Meta(description="N detection scores, 0..1")]
    labels: (
        Annotated[
            list[str],
            Meta(
                description="N class names, by the detector; sent only if it looks for more than people "
                "(`detector.classes`)"
            ),
        ]
        | UnsetType
    ) = UNSET
    boxes: object
    keypoints: object
    measured: Annotated[
        list[bool],
        Meta(description="N: true if the pose was measured in this frame, false if it was predicted or repeated"),
    ]
    timing_ms: Annotated[
        dict[str, float],
        Meta(
            description="milliseconds that the frame spent in each stage, and `wait`, the sum of its waits between them"
        ),
    ]


class PoseMessage(_PoseFields, frozen=True, kw_only=True):
    """The people of one processed frame: N people, K keypoints each. N may be 0."""

    boxes: Annotated[bytes, Meta(description=f"float32 little-endian, {BOXES}")]
    keypoints: Annotated[bytes, Meta(description=f"float32 little-endian, {KEYPOINTS}")]
    raw_keypoints: Annotated[bytes, Meta(description=f"float32 little-endian, {RAW_KEYPOINTS}")] | UnsetType = UNSET

    def __post_init__(self) -> None:
        people = len(self.track_ids)
        expect("scores", len(self.scores), people, "one for each track id")
        expect("measured", len(self.measured), people, "one for each track id")
        if self.labels is not UNSET:
            expect("labels", len(self.labels), people, "one for each track id")
        expect("boxes", len(self.boxes), people * BOX_BYTES, f"bytes: {BOX_BYTES} for each track id")
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
        expect("raw_keypoints", len(self.raw_keypoints), points * RAW_BYTES, f"bytes: {RAW_BYTES} for each keypoint")
        raw = np.frombuffer(self.raw_keypoints, WIRE_FLOAT).astype(np.float32, copy=False)
        people = len(self.track_ids)
        return raw.reshape(people, points // max(people, 1), 2)


class PoseMessageJson(_PoseFields, frozen=True, kw_only=True):
    """PoseMessage in JSON form, with nested lists instead of bytes."""

    # A struct of its own, because msgspec would write bytes as base64.
    boxes: Annotated[list[tuple[float, float, float, float]], Meta(description=BOXES)]
    keypoints: Annotated[list[list[tuple[float, float, float]]], Meta(description=KEYPOINTS)]
    raw_keypoints: Annotated[list[list[tuple[float, float]]], Meta(description=RAW_KEYPOINTS)] | UnsetType = UNSET


class InfoMessage(Struct, frozen=True, kw_only=True):
    """A camera's skeleton, models and frame size: what a subscriber needs to draw its people."""

    schema: Annotated[Literal["info/1"], Meta(description='"info/1"')] = "info/1"
    session: Session
    camera: Camera
    keypoint_names: Annotated[list[str], Meta(description="K names, in the order of `keypoints`")]
    edges: Annotated[
        list[tuple[Integer, Integer]], Meta(description="pairs of keypoint indices, from 0, to draw as limbs")
    ]
    detector: Annotated[str, Meta(description="name of the detection model")]
    pose: Annotated[str, Meta(description="name of the pose model")]
    device: Annotated[str, Meta(description="device that runs the models: cpu, cuda:0, ...")]
    smoothing: Annotated[str, Meta(description="smoothing method: one-euro, kalman or none")]
    source_fps: Annotated[
        float | None,
        Meta(description="frames per second of the source: declared, or measured if a camera declares none"),
    ]
    size: Annotated[
        tuple[Integer, Integer] | None,
        Meta(description="width and height of the source frame in pixels; nil before the first frame"),
    ]
    version: Annotated[str, Meta(description="version of the publisher")]
    pictures: Annotated[
        str | None,
        Meta(
            description="endpoint of the pictures (`publish.pictures`), or nil. A reader replaces a wildcard host "
            "(`0.0.0.0`, `[::]`, `*`) by the host through which it reached the stream"
        ),
    ] = None
    live: Annotated[
        bool | None,
        Meta(
            description="true if new frames replace waiting ones (a camera, or a file with `--realtime`), false if all "
            "frames are processed (a file); nil before the first frame"
        ),
    ] = None
    swaps: (
        Annotated[
            list[tuple[Integer, Integer, Integer]],
            Meta(
                description="all `tracks_swapped` of the camera's status messages; never sent, only written to "
                "`x.info.json` beside a recording, if there were any"
            ),
        ]
        | UnsetType
    ) = UNSET

    def __post_init__(self) -> None:
        _finite("source_fps", [self.source_fps])


class Recording(Struct, frozen=True, kw_only=True):
    """How far the recording of a run has come: lines of all cameras together."""

    written: Annotated[Integer, Meta(description="lines written so far")]
    lost: Annotated[Integer, Meta(description="lines lost so far")]
    error: Annotated[str | None, Meta(description="why lines are being lost now, in words; nil if none are")]


class Process(Struct, frozen=True, kw_only=True):
    """What the publisher's process has used."""

    cpu_s: Annotated[float, Meta(description="CPU seconds of all threads since the process started")]
    rss_mb: Annotated[float, Meta(description="resident memory (MiB)")]


class StatusMessage(Struct, frozen=True, kw_only=True):
    """The state and the counters of one camera."""

    schema: Annotated[Literal["status/1"], Meta(description='"status/1"')] = "status/1"
    session: Session
    camera: Camera
    state: Annotated[
        Literal["starting", "live", "reconnecting", "ended", "failed"],
        Meta(description='"starting", "live", "reconnecting", "ended" or "failed"'),
    ]
    reason: Annotated[
        str | None,
        Meta(
            description="why the camera is not live, in words, such as `timed out`; of an ended camera `stopped` (the "
            "run was) or `removed`; nil if there is no reason, as at the end of a file"
        ),
    ]
    captured: Annotated[Integer, Meta(description="frames captured from the source so far")]
    dropped: Annotated[Integer, Meta(description="frames that were dropped instead of published")]
    published: Annotated[Integer, Meta(description="pose messages sent")]
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
        list[Integer], Meta(description="track ids seen for the first time since the previous status of this camera")
    ] = []
    tracks_ended: Annotated[
        list[Integer],
        Meta(
            description="ids of tracks that ended since the previous status; they won't return. A track ends when its "
            "person was not seen for longer than both `tracker.buffer_s` and `tracker.relink_s`, or when a new epoch "
            "starts. If the state is ended or failed, all other tracks have ended too"
        ),
    ] = []
    tracks_swapped: Annotated[
        list[tuple[Integer, Integer, Integer]],
        Meta(
            description="two track ids and a `seq`, for each swap since the previous status, in the order in which to "
            "apply them: the ids had gone to each other's person, and from the pose message of this `seq` on they have "
            "changed places. Earlier messages keep their ids. A swap is sent at once"
        ),
    ] = []
    lowered: Annotated[
        list[str],
        Meta(
            description="configuration keys changed to compute less and meet `latency.target_ms`, with their current "
            'values, such as "detector.every=2"; empty if none'
        ),
    ] = []
    recording: Annotated[
        Recording | None,
        Meta(
            description="the recording of the whole run: `written` and `lost`, counts of lines, and `error`, why lines "
            "are being lost now, or nil; nil without `--record`"
        ),
    ] = None
    since_ns: Annotated[
        Integer | None,
        Meta(
            description="Unix time in nanoseconds at which this state began; another reason for the same state doesn't "
            "change it"
        ),
    ] = None
    drops: Annotated[
        dict[str, Integer],
        Meta(
            description="`dropped` by cause, such as `newer frame`; `idle`: left out on purpose while the camera was "
            "empty"
        ),
    ] = {}
    stages: Annotated[
        dict[str, dict[str, float]],
        Meta(
            description="by stage: `p50` and `p95` of the time of one call, and `wait_p95` of the time that a frame "
            "waited for it, in milliseconds, over the last few seconds and all cameras"
        ),
    ] = {}
    reconnects: Annotated[
        dict[str, Integer],
        Meta(description="how many times the camera was lost so far while it was live, by reason, such as `timed out`"),
    ] = {}
    process: Annotated[
        Process | None, Meta(description="what the publisher's process has used: `cpu_s` and `rss_mb`")
    ] = None
    activity: (
        Annotated[
            Literal["active", "still", "empty"],
            Meta(
                description='how much happens in front of the camera: "active", "still" (people, but no motion near '
                'them) or "empty" (no people and no motion: one pose message a second); missing if the camera has no '
                "motion gate or is not open; a change is sent at once"
            ),
        ]
        | UnsetType
    ) = UNSET

    def __post_init__(self) -> None:
        _finite("fps", [self.fps])
        _finite("uptime_s", [self.uptime_s])
        _finite("latency_ms", self.latency_ms.values())
        for times_ms in self.stages.values():
            _finite("stages", times_ms.values())
        if self.process is not None:
            _finite("process", [self.process.cpu_s, self.process.rss_mb])


class PictureMessage(Struct, frozen=True, kw_only=True):
    """The picture of one frame whose pose was published. Sent on the pictures endpoint only."""

    schema: Annotated[Literal["picture/1"], Meta(description='"picture/1"')] = "picture/1"
    session: Session
    camera: Camera
    epoch: Annotated[Integer, Meta(description="as in the pose message of the same frame")]
    seq: Annotated[Integer, Meta(description="`seq` of the pose message of the same frame")]
    frame: Annotated[Integer, Meta(description="as in the pose message of the same frame")]
    captured_ns: Annotated[Integer, Meta(description="as in the pose message of the same frame")]
    size: Annotated[tuple[Integer, Integer], Meta(description="width and height of the source frame in pixels")]
    width: Annotated[Integer, Meta(description="width of the JPEG in pixels")]
    height: Annotated[Integer, Meta(description="height of the JPEG in pixels")]
    jpeg: Annotated[bytes, Meta(description="the picture as a JPEG file; base64 in JSON")]


Message = PoseMessage | InfoMessage | StatusMessage | PictureMessage


def expect(key: str, got: int, expected: int, meaning: str) -> None:
    """Raise ValueError unless the two numbers are equal."""
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
