"""A recording for the Rerun viewer: keypoints, limbs and boxes, on time lines of frames and of capture times.

Each camera is an entity, and each track one below it, /CAMERA/TRACK_ID, with its box at /CAMERA/TRACK_ID/box. The names
and connections of the keypoints are written once; the viewer draws the limbs. It measures from the outer corner of the
top left pixel, whose centre is thus at 0.5 (rerun#3896), as Foxglove does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
# This many people are in memory until their rows are written.
_ROWS = 10_000
# If the disk is full, the library may wait forever for its writer.
_PATIENCE_S = 30.0


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
        stream.save(path, write_footer=False)  # the footer, an index for faster loading, is in memory until the end
        try:
            _log(stream, conversion)
            stream.flush(timeout_sec=_PATIENCE_S)
        except RuntimeError:  # its writer has stopped
            raise RealtimeError(f"{out}: can't be written completely: is the disk full?") from None
        stream.disconnect()


def _log(stream: rr.RecordingStream, conversion: Conversion) -> None:
    numbering = Numbering()
    described: set[str] = set()
    shown: dict[str, set[int]] = {}  # the tracks of each camera that the viewer shows now
    tracks: dict[str, list[_Person]] = {}  # by entity
    waiting = 0
    for message, info in conversion.named_messages():
        camera = safe_name(message.camera)
        if camera not in described and (message.track_ids or info.keypoint_names):
            described.add(camera)
            stream.log(camera, _context(info), static=True, strict=True)
        frame, ids = numbering.place(message)
        for person, track_id in enumerate(ids):
            tracks.setdefault(f"{camera}/{track_id}", []).append(_Person(message, person, frame, track_id))
        waiting += len(ids)
        for gone in shown.get(camera, set()) - set(ids):
            stream.set_time("frame", sequence=frame)
            stream.set_time("captured", timestamp=np.datetime64(message.captured_ns, "ns"))
            stream.log(f"{camera}/{gone}", rr.Clear(recursive=True), strict=True)
        shown[camera] = set(ids)
        if waiting >= _ROWS:
            _send(stream, tracks)
            stream.flush(timeout_sec=_PATIENCE_S)
            tracks, waiting = {}, 0
    _send(stream, tracks)


class _Person(NamedTuple):
    """A person, by the message and the position in it, with the number of the frame and the id of the track."""

    message: wire.PoseMessage
    person: int
    frame: int
    track_id: int


def _send(stream: rr.RecordingStream, tracks: Mapping[str, Sequence[_Person]]) -> None:
    """Write the rows of each track together, which is many times faster than one by one."""
    for entity, rows in tracks.items():
        keypoints = [row.message.keypoints_array()[row.person] for row in rows]
        seen = [np.flatnonzero(points[:, 2] >= VISIBLE) for points in keypoints]
        counts = [len(each) for each in seen]
        points = np.concatenate([each[index] for each, index in zip(keypoints, seen, strict=True)])
        boxes = np.array([row.message.boxes_array()[row.person] for row in rows])
        label = rows[0].track_id % _CLASSES
        name = str(rows[0].track_id)
        if (labels := rows[0].message.labels) is not wire.UNSET:
            name += f" {labels[rows[0].person]}"
        times = [
            rr.TimeColumn("frame", sequence=[row.frame for row in rows]),
            rr.TimeColumn("captured", timestamp=np.array([row.message.captured_ns for row in rows], "datetime64[ns]")),
        ]
        stream.send_columns(
            entity,
            times,
            [
                *rr.Points2D.columns(
                    positions=points[:, :2] + HALF_PIXEL,
                    class_ids=[label] * len(points),
                    keypoint_ids=np.concatenate(seen),
                ).partition(counts),
                *rr.AnyValues.columns(keypoint_scores=points[:, 2]).partition(counts),
                *rr.AnyValues.columns(
                    score=[row.message.scores[row.person] for row in rows],
                    measured=[row.message.measured[row.person] for row in rows],
                ),
            ],
            strict=True,
        )
        stream.send_columns(
            f"{entity}/box",
            times,
            rr.Boxes2D.columns(
                centers=(boxes[:, :2] + boxes[:, 2:]) / 2,
                half_sizes=(boxes[:, 2:] - boxes[:, :2]) / 2,
                class_ids=[label] * len(rows),
                labels=[name] * len(rows),
            ),
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
