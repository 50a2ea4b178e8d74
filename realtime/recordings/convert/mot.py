"""MOTChallenge results: a line for each person and frame, as `realtime.evaluate tracking --results` reads them.

frame (from 1), id, left, top, width, height, score, -1, -1, -1.
"""

from __future__ import annotations

from pathlib import Path

from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.numbering import Numbering
from realtime.recordings.convert.output import new_file


def write(conversion: Conversion, out: Path) -> None:
    """Write one camera, whatever its skeleton.

    Raises:
        ConfigError: the recording can't be read.
        OutputError, RealtimeError: the file can't be written.
    """
    numbering = Numbering()
    with new_file(out) as file:
        for message in conversion.messages():
            frame, ids = numbering.place(message)
            boxes = message.boxes_array().astype(float).tolist()
            for track_id, (x1, y1, x2, y2), score in zip(ids, boxes, message.scores, strict=True):
                line = f"{frame + 1},{track_id},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},{score:.4f},-1,-1,-1\n"
                file.write(line.encode())
