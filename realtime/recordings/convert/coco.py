"""COCO keypoint results: a JSON list with an entry for each person and frame, as `COCO.loadRes` reads it.

`image_id` is the number of the frame, from 0, so the images of the ground truth must have the same ids. COCO ranks
results by `score`: the detection score times the mean score of the seen keypoints, as in realtime.evaluate. The
category is the one that has the name of the label. Labels that are neither people nor animals are left out.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import numpy as np

from realtime import wire
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.names import coco_columns
from realtime.recordings.convert.numbering import Numbering
from realtime.recordings.convert.output import new_file

log = logging.getLogger(__name__)

# Categories of COCO, by their names: people, who have no label in most recordings, and animals.
_PERSON = "person"
_ANIMALS = "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"
_CATEGORIES = {_PERSON: 1, **{name: 16 + index for index, name in enumerate(_ANIMALS)}}
# Keypoints with a higher score count as seen (mmpose's vis_thr, and SEEN_SCORE of realtime.evaluate).
_SEEN_SCORE = 0.2
# Decimal places: a thousandth of a pixel.
_PLACES = 3


def write(conversion: Conversion, out: Path) -> None:
    """Write one camera.

    Raises:
        ConfigError: the recording can't be read, or its skeleton lacks keypoints of COCO.
        OutputError, RealtimeError: the file can't be written.
    """
    numbering = Numbering()
    left_out: set[str] = set()
    with new_file(out) as file:
        before = b"[\n"
        for message, info in conversion.named_messages():
            columns = coco_columns(info.keypoint_names, "coco", f"{conversion.recording.path}: {message.camera}")
            for entry in _entries(message, columns, numbering.place(message)[0]):
                file.write(before + msgspec.json.encode(entry))
                before = b",\n"
            left_out |= set(_labels(message)) - _CATEGORIES.keys()
        file.write(b"[]\n" if before == b"[\n" else b"\n]\n")
    if left_out:
        log.warning("%s: left out, because COCO has no such animal", ", ".join(sorted(left_out)))


def _entries(message: wire.PoseMessage, columns: list[int], image_id: int) -> list[dict[str, object]]:
    if not message.track_ids:
        return []
    keypoints = message.keypoints_array()[:, columns].astype(np.float64)
    is_seen = keypoints[..., 2] > _SEEN_SCORE
    means = (keypoints[..., 2] * is_seen).sum(axis=1) / np.maximum(is_seen.sum(axis=1), 1)
    rows = np.round(keypoints, _PLACES).reshape(len(keypoints), -1).tolist()
    scores = np.round(means * message.scores, 4).tolist()
    return [
        {"image_id": image_id, "category_id": _CATEGORIES[label], "keypoints": row, "score": score}
        for label, row, score in zip(_labels(message), rows, scores, strict=True)
        if label in _CATEGORIES
    ]


def _labels(message: wire.PoseMessage) -> list[str]:
    if message.labels is wire.UNSET:
        return [_PERSON] * len(message.track_ids)
    return [label.casefold() for label in message.labels]
