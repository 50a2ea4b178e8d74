"""Outcomes of settings that no run has produced."""

from collections.abc import Sequence

import numpy as np

from realtime import wire
from realtime.client import Pose
from realtime.evaluate.presets.outcome import Outcome

BOX = (0.0, 0.0, 50.0, 100.0)  # its longer side is 100 px, so that pixels are percent
MODELS = {"detector": "yolov8n (yolo11n is not available: why)", "pose": "none", "detector_engine": "openvino bf16"}


def message(
    frame: int, boxes: Sequence[Sequence[float]] = (BOX,), shift: float = 0.0, score: float = 0.9, fps: float = 10.0
) -> wire.PoseMessage:
    """A message whose people have 17 keypoints, in the middle of their box plus `shift` pixels to the right."""
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    middle = (xyxy[:, :2] + xyxy[:, 2:]) / 2 + np.float32([shift, 0])
    points = np.dstack([np.repeat(middle[:, None], 17, axis=1), np.full((len(xyxy), 17, 1), score)]).astype(np.float32)
    at_ns = int(1e9 * (1 + frame / fps))
    return wire.PoseMessage(
        session="s", camera="clip", epoch=0, seq=frame, frame=frame, captured_ns=at_ns, clock="arrival",
        published_ns=at_ns, media_s=None, size=(640, 480), skeleton="coco17",
        track_ids=list(range(1, len(xyxy) + 1)), scores=[0.9] * len(xyxy), boxes=wire.pack(xyxy),
        keypoints=wire.pack(points), measured=[True] * len(xyxy), timing_ms={},
    )  # fmt: skip


def outcome(*messages: wire.PoseMessage, fps: float = 10.0) -> Outcome:
    return Outcome({each.frame: Pose.of(each) for each in messages}, fps, MODELS, "cpu")
