"""A scene, and results of a side, that no run has produced."""

import numpy as np

from realtime.evaluate.speed.runs import Run, Scene

SCENE = Scene("clip.mp4", "yolov8n.pt", "none", 30, None, 2, "cpu", {"pose.engine": "torch"})
BOX = np.array([[0, 0, 10, 20]], np.float32)


def run(fps: float, age_s: float, frames: int = 30, boxes: np.ndarray = BOX) -> Run:
    """The result of a side that publishes at a constant rate."""
    side = Run("fake")
    for i in range(frames):
        side.add(i, i / fps, i / fps + age_s, boxes)
    return side
