"""A detector and a pose model that return at once: what is left is everything but the networks.

Frames are converted, letterboxed (on a GPU: sent to it and letterboxed there), tracked, smoothed and published. The
stages have their own threads as on a GPU, also if the device is a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.config import AppConfig
from realtime.detect.stage import DetectStage
from realtime.loading import Models
from realtime.models.yolo import Found
from realtime.pose.stage import PoseStage
from realtime.runtime.lane import Lane, sender
from realtime.skeleton import COCO17
from realtime.track.stage import TrackStage


class InstantNet:
    """Takes the place of a YOLO network. It finds nothing: `scene.Crowded` adds the people."""

    engine_name, path, stride, keypoints = "none", None, 32, 0
    names = ("person",)

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def predict(self, images: NDArray[np.uint8] | torch.Tensor, min_score: float, nms_iou: float) -> list[Found]:
        """Wait for the images, as a network's results do."""
        if isinstance(images, torch.Tensor):
            with self.lane.run():
                self.lane.download(images[:, 0, 0, 0])
        nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0, 3), np.float32)
        return [Found(*nothing, np.zeros(0, np.int64))] * len(images)

    def drop(self, size: tuple[int, int]) -> None:
        pass


class InstantPose:
    """Takes the place of VitPose: every keypoint is in the middle of the person's box."""

    engine_name, skeleton = None, COCO17

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        found = []
        for boxes in xyxy:
            keypoints = np.full((len(boxes), len(COCO17), 3), 0.9, np.float32)
            keypoints[..., :2] = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
            found.append(keypoints)
        return found

    def warm_up(self) -> None:
        pass


def instant_models(config: AppConfig, device: torch.device) -> Models:
    """Return models that return at once, for `scene.measure`."""
    net: Any = InstantNet(Lane(device))
    detect, pose = DetectStage(config.detector, net), PoseStage(InstantPose(), None, config.activity.pose_s)
    send = sender(device) if device.type == "cuda" else None
    own_threads = device if device.type == "cuda" else torch.device("cuda:0")  # named, but never used
    return Models(own_threads, "instant", "instant", detect, TrackStage(config.tracker, "cpu"), pose, 1, send=send)
