"""PETS09-S2L1 from its pictures (vtest.avi): what the detector, and the pose model, find in each frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from realtime.config import AppConfig, Presets, load
from realtime.evaluate.tracking.inputs import load_detect, read_frames
from realtime.evaluate.tracking.mot import open_sequence
from realtime.models.weights import is_here
from realtime.types import Frame

from .measure import Clip
from .pan import corners_of, moving_truth, view_of

NAME = "PETS09-S2L1"
_KEYS = {"detector.weights": "yolov8n", "detector.min_score": "0.05", "pose.model": "yolo11n-pose"}


class Pictures:
    """Reads the video and runs the networks.

    Args:
        data: the folder of sequences, which has the ground truth.
        video: vtest.avi.
        precision: of the networks, as in `detector.precision`.
    """

    def __init__(self, data: Path, video: Path, precision: str = "auto") -> None:
        keys = _KEYS | {"detector.precision": precision, "pose.precision": precision}
        self._config: AppConfig = load((), environment={}, flags=keys, presets=Presets(is_here))
        self._sequence = open_sequence(data / NAME)
        self._video = video
        self.note = ""

    def clip(self, motion: str | None = None, with_poses: bool = False) -> Clip:
        """Run the networks on every frame.

        Args:
            motion: crop the frames as a camera with this motion (pan.MOTIONS) would; None: whole frames.
            with_poses: run the pose model too; the detections then have its keypoints.
        """
        detect, self.note = load_detect(self._config, with_poses)
        kept = list(self._sequence.frames)
        frames = list(read_frames(self._sequence, self._video, None, kept))
        sequence = self._sequence
        if motion is not None:
            height, width = frames[0].image.shape[:2]
            times_s = np.array([frame.time_s for frame in frames])
            corners = corners_of((width, height), motion, kept, times_s)
            sequence = moving_truth(sequence, corners)
            frames = [_cropped(frame, corners[frame.index + 1]) for frame in frames]
        return Clip(sequence, [detect(frame) for frame in frames])


def _cropped(frame: Frame, corner: np.ndarray) -> Frame:
    height, width = frame.image.shape[:2]
    w, h = view_of((width, height))
    x, y = corner.astype(int)
    return replace(frame, image=np.ascontiguousarray(frame.image[y : y + h, x : x + w]))
