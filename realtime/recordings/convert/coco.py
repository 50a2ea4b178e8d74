"""COCO keypoint results: a JSON list with an entry for each person and frame, as `COCO.loadRes` reads it.

`image_id` is the number of the frame, from 0, so the images of the ground truth must have the same ids. COCO ranks
results by `score`: the detection score times the mean score of the seen keypoints, as in realtime.evaluate.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from realtime import wire
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.names import coco_columns
from realtime.recordings.convert.numbering import Numbering
from realtime.recordings.convert.output import new_file

# Category "person" of COCO.
_PERSON = 1
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
    with new_file(out) as file:
        before = b"[\n"
        for message, info in conversion.named_messages():
            columns = coco_columns(info.keypoint_names, "coco", f"{conversion.recording.path}: {message.camera}")
            for entry in _entries(message, columns, numbering.place(message)[0]):
                file.write(before + msgspec.json.encode(entry))
                before = b",\n"
        file.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _entries(message: wire.PoseMessage, columns: list[int], image_id: int) -> list[dict[str, object]]:
    if not message.track_ids:
        return []
    keypoints = message.keypoints_array()[:, columns].astype(np.float64)
    is_seen = keypoints[..., 2] > _SEEN_SCORE
    means = (keypoints[..., 2] * is_seen).sum(axis=1) / np.maximum(is_seen.sum(axis=1), 1)
    rows = np.round(keypoints, _PLACES).reshape(len(keypoints), -1).tolist()
    scores = np.round(means * message.scores, 4).tolist()
    return [
        {"image_id": image_id, "category_id": _PERSON, "keypoints": row, "score": score}
        for row, score in zip(rows, scores, strict=True)
    ]
