"""Draws the whole bodies of a recording on a plain ground, for docs/pose.md.

    python -m tests.proof.training plus-small.pth
    python run_realtime.py --source demo --pose.model plus-small.pth --pose.skeleton wholebody133 --max-frames 30 \\
        --record whole-body.jsonl
    python -m tests.proof.picture whole-body.jsonl docs/whole-body.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np

from realtime.publish.draw import draw_people
from realtime.skeletons import SKELETONS

_GROUND = (64, 58, 52)  # BGR
_SCALE = 2  # the lines keep their width relative to the people, and the small dots of faces get finer edges
_MARGIN_PX, _LABEL_PX = 40, 60
_WIDTH = 1100


def main(recording: str, picture: str) -> None:
    """Draw the last frame of a recording (JSON lines)."""
    message = json.loads(Path(recording).read_text().splitlines()[-1])
    skeleton = SKELETONS["wholebody133"]
    boxes, keypoints = np.float32(message["boxes"]) * _SCALE, np.float32(message["keypoints"]) * [_SCALE, _SCALE, 1]
    image = np.full((720 * _SCALE, 1280 * _SCALE, 3), _GROUND, np.uint8)
    names = skeleton.keypoint_names
    draw_people(image, message["track_ids"], boxes, keypoints.astype(np.float32), skeleton.edges, names=names)
    left, top = np.maximum(boxes[:, :2].min(axis=0) - (_MARGIN_PX, _MARGIN_PX + _LABEL_PX), 0).astype(int)
    right, bottom = (boxes[:, 2:].max(axis=0) + _MARGIN_PX).astype(int)
    shown = image[top:bottom, left:right]
    size = _WIDTH, round(_WIDTH * shown.shape[0] / shown.shape[1])
    cv2.imwrite(picture, cv2.resize(shown, size, interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    main(*sys.argv[1:])
