"""A recording for the Rerun viewer: keypoints, limbs and boxes, on time lines of frames and of capture times.

Each camera is an entity, and each track one below it, /CAMERA/TRACK_ID, with its box at /CAMERA/TRACK_ID/box. The names
and connections of the keypoints are written once; the viewer draws the limbs. It measures from the outer corner of the
top left pixel, whose centre is thus at 0.5 (rerun#3896), as Foxglove does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from realtime import wire
from realtime.errors import RealtimeError
from realtime.publish.palette import VISIBLE, colour_of
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.foxglove import HALF_PIXEL
from realtime.recordings.convert.numbering import Numbering
from realtime.recordings.convert.output import new_path, safe_name

# Its library logs problems with the file too, in lines of its own. We report them.
os.environ.setdefault("RUST_LOG", "off")
import rerun as rr

_APPLICATION = "realtime-pose"
# A class for each colour, so that the limbs of a person have the colour of the person.
_CLASSES = 16
# A complete file ends with this mark and a few bytes.
_END, _END_BYTES = b"FOOT", 16


def write(conversion: Conversion, out: Path) -> None:
    """Write all cameras, or the one that was chosen, whatever the skeletons.

    Keypoints with a low score, which are guesses, are left out.

    Raises:
        ConfigError: the recording can't be read.
        OutputError, RealtimeError: the file can't be written.
    """
    with new_path(out) as path:
        stream = rr.RecordingStream(_APPLICATION)
        stream.set_log_time_enabled(False)
        stream.set_log_tick_enabled(False)
        stream.save(path)
        _log(stream, conversion)
        try:
            stream.flush()
            stream.disconnect()
            is_complete = _has_end(path)
        except RuntimeError:  # its writer has stopped
            is_complete = False
        if not is_complete:
            raise RealtimeError(f"{out}: can't be written completely: is the disk full?")


def _log(stream: rr.RecordingStream, conversion: Conversion) -> None:
    numbering = Numbering()
    described: set[str] = set()
    shown: dict[str, set[int]] = {}  # the tracks of each camera that the viewer shows now
    for message, info in conversion.named_messages():
        camera = safe_name(message.camera)
        if camera not in described and (message.track_ids or info.keypoint_names):
            described.add(camera)
            stream.log(camera, _context(info), static=True, strict=True)
        frame, ids = numbering.place(message)
        stream.set_time("frame", sequence=frame)
        stream.set_time("captured", timestamp=np.datetime64(message.captured_ns, "ns"))
        for gone in shown.get(camera, set()) - set(ids):
            stream.log(f"{camera}/{gone}", rr.Clear(recursive=True), strict=True)
        shown[camera] = set(ids)
        _log_people(stream, camera, message, ids)


def _log_people(stream: rr.RecordingStream, camera: str, message: wire.PoseMessage, ids: Iterable[int]) -> None:
    boxes, keypoints = message.boxes_array(), message.keypoints_array()
    people = zip(ids, message.scores, message.measured, boxes, keypoints, strict=True)
    for track_id, score, measured, box, points in people:
        seen = np.flatnonzero(points[:, 2] >= VISIBLE)
        label = track_id % _CLASSES
        stream.log(
            f"{camera}/{track_id}",
            rr.Points2D(points[seen, :2] + HALF_PIXEL, class_ids=[label] * len(seen), keypoint_ids=seen),
            rr.AnyValues(keypoint_scores=points[seen, 2], score=score, measured=measured),
            strict=True,
        )
        stream.log(
            f"{camera}/{track_id}/box",
            rr.Boxes2D(array=[box], array_format=rr.Box2DFormat.XYXY, class_ids=[label], labels=[str(track_id)]),
            strict=True,
        )


def _context(info: wire.InfoMessage) -> rr.AnnotationContext:
    return rr.AnnotationContext(
        [
            rr.ClassDescription(
                info=rr.AnnotationInfo(number, "person", colour_of(number)[::-1]),
                keypoint_annotations=[rr.AnnotationInfo(k, name) for k, name in enumerate(info.keypoint_names)],
                keypoint_connections=info.edges,
            )
            for number in range(_CLASSES)
        ]
    )


def _has_end(path: Path) -> bool:
    """Whether a file has the last part of a complete one."""
    with path.open("rb") as file:
        file.seek(-min(_END_BYTES, path.stat().st_size), os.SEEK_END)
        return _END in file.read()
