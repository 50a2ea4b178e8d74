"""A CSV table: a row for each person and frame, with a header that names the keypoints."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from realtime import wire
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.output import new_file

log = logging.getLogger(__name__)

COLUMNS = (
    "session", "camera", "epoch", "seq", "frame", "captured_ns", "media_s", "width", "height", "track_id", "score",
    "measured", "x1", "y1", "x2", "y2",
)  # fmt: skip
# A column between these and the keypoints, if the recording has labels.
LABEL = ("label",)
# Decimal places: a thousandth of a pixel.
_PLACES = 3


def write(conversion: Conversion, out: Path) -> None:
    """Write all cameras, or the one that was chosen. Frames without people have no row.

    If cameras have different skeletons, the header is that of the first one, and the others are left out with a
    warning.

    Raises:
        ConfigError: the recording can't be read.
        OutputError, RealtimeError: the file can't be written.
    """
    header: list[str] | None = None
    has_labels = False
    left_out: set[str] = set()
    with new_file(out) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        rows = csv.writer(text, lineterminator="\n")
        for message, info in conversion.named_messages():
            if header is None and (message.track_ids or info.keypoint_names):
                header, has_labels = list(info.keypoint_names), message.labels is not wire.UNSET
                more = LABEL if has_labels else ()
                rows.writerow([*COLUMNS, *more, *(f"{name}_{part}" for name in header for part in ("x", "y", "score"))])
            if message.track_ids and info.keypoint_names != header:
                left_out.add(message.camera)
                continue
            for row in _rows_of(message, has_labels):
                rows.writerow(row)
        if header is None:
            rows.writerow(COLUMNS)
        text.detach()  # writes the rest; `file` is closed by new_file
    if left_out:
        names = ", ".join(sorted(left_out))
        log.warning("%s: left out, because it has other keypoints than the header: convert it with --camera", names)


def _rows_of(message: wire.PoseMessage, has_labels: bool) -> Iterator[list[object]]:
    origin = [message.session, message.camera, message.epoch, message.seq, message.frame, message.captured_ns]
    media_s = "" if message.media_s is None else message.media_s
    boxes, keypoints = message.boxes_array(), message.keypoints_array()
    numbers = np.concatenate([boxes, keypoints.reshape(len(boxes), 3 * keypoints.shape[1])], axis=1)
    rounded = np.round(numbers.astype(np.float64), _PLACES).tolist()
    labels = [""] * len(boxes) if message.labels is wire.UNSET else message.labels
    people = zip(message.track_ids, message.scores, message.measured, labels, rounded, strict=True)
    for track_id, score, measured, label, row in people:
        more = [label] if has_labels else []
        box, points = row[:4], row[4:]
        yield [*origin, media_s, *message.size, track_id, round(score, 4), int(measured), *box, *more, *points]
