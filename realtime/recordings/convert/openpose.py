"""OpenPose's JSON: a file for each frame, with people as BODY_25 (openpose, doc/02_output.md).

Made from any skeleton that has COCO's 17 keypoints. Neck and middle of the hips are those of the skeleton, if it has
them, else midpoints with the lower one of both scores. Feet are 0, 0, 0 if the skeleton has none.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from realtime import wire
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.names import coco_columns, index_of
from realtime.recordings.convert.numbering import Numbering
from realtime.recordings.convert.output import new_folder, safe_name

NECK, MID_HIP = 1, 8
# BODY_25 in its order.
BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe",
    "right_heel",
)  # fmt: skip
# The two keypoints that a midpoint lies between.
_BETWEEN = {NECK: ("left_shoulder", "right_shoulder"), MID_HIP: ("left_hip", "right_hip")}
_VERSION = 1.3
# What OpenPose writes for a person besides the body. All of it is empty here.
_NONE: dict[str, list[float]] = {
    "pose_keypoints_3d": [], "face_keypoints_2d": [], "face_keypoints_3d": [], "hand_left_keypoints_2d": [],
    "hand_left_keypoints_3d": [], "hand_right_keypoints_2d": [], "hand_right_keypoints_3d": [],
}  # fmt: skip
# Decimal places: a thousandth of a pixel.
_PLACES = 3


def write(conversion: Conversion, out: Path) -> None:
    """Write a folder of files CAMERA_000000000012_keypoints.json, for all cameras or the one that was chosen.

    Raises:
        ConfigError: the recording can't be read, or its skeleton lacks keypoints of COCO.
        OutputError, RealtimeError: the folder can't be written.
    """
    numbering = Numbering()
    with new_folder(out) as folder:
        for message, info in conversion.named_messages():
            coco_columns(info.keypoint_names, "openpose", f"{conversion.recording.path}: {message.camera}")
            frame, ids = numbering.place(message)
            people = [
                {"person_id": [track_id], "pose_keypoints_2d": row, **_NONE}
                for track_id, row in zip(ids, _rows(message, info.keypoint_names), strict=True)
            ]
            name = f"{safe_name(message.camera)}_{frame:012}_keypoints.json"
            with (folder / name).open("xb") as file:
                file.write(msgspec.json.encode({"version": _VERSION, "people": people}))


def to_body_25(keypoints: NDArray[np.float32], names: list[str]) -> NDArray[np.float64]:
    """Order keypoints as BODY_25.

    >>> from realtime.skeleton import COCO17
    >>> body = to_body_25(np.ones((1, 17, 3), np.float32), list(COCO17.keypoint_names))
    >>> body[0, NECK].tolist(), body[0, 24].tolist()
    ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])

    Args:
        keypoints: float32 (N, K, 3): x, y in pixels, score 0..1.
        names: K names, with COCO's 17 among them.

    Returns:
        float64 (N, 25, 3).
    """
    body = np.zeros((len(keypoints), len(BODY_25), 3))
    for place, name in enumerate(BODY_25):
        index = index_of(names, name)
        if index is not None:
            body[:, place] = keypoints[:, index]
        elif place in _BETWEEN:
            left, right = (keypoints[:, index_of(names, side)].astype(np.float64) for side in _BETWEEN[place])
            body[:, place, :2] = (left[:, :2] + right[:, :2]) / 2
            body[:, place, 2] = np.minimum(left[:, 2], right[:, 2])
    return body


def _rows(message: wire.PoseMessage, names: list[str]) -> list[list[float]]:
    if not message.track_ids:
        return []
    body = np.round(to_body_25(message.keypoints_array(), names), _PLACES)
    rows: list[list[float]] = body.reshape(len(body), -1).tolist()
    return rows
