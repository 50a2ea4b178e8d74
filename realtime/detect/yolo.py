"""Person detection with a YOLO network: Frame -> Detections.

Between the door and the tracker. Frames of all cameras whose letterboxed size is the same go through the network in
one call.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.config import DetectorConfig
from realtime.detect.cadence import Cadence
from realtime.detect.letterbox import Letterbox, letterboxed
from realtime.detect.on_device import DeviceLetterbox
from realtime.models.ultralytics import YoloNet
from realtime.runtime.pool import Part, Work
from realtime.types import Detections, Frame

# Width and height of most cameras' pictures.
_USUAL_SIZE = 1920, 1080


class DetectStage:
    """The detector of all cameras.

    Attributes:
        engine_name: what computes it: "openvino bf16".
        cadence: which frames it looks at.
        size: longer side of the network's input in pixels; may be changed at any time.
    """

    name = "detect"

    def __init__(self, config: DetectorConfig, net: YoloNet) -> None:
        """Put a network to work."""
        self._config = config
        self.size = config.size
        self._net = net
        self._letterboxed = letterboxed if net.lane.device.type == "cpu" else DeviceLetterbox(net.lane)
        self.engine_name = net.engine_name
        self.cadence = Cadence(config.every)

    @property
    def keypoints(self) -> int:
        """K when the detector is itself a pose network, else 0."""
        return self._net.keypoints

    def warm_up(self, size: tuple[int, int] = _USUAL_SIZE, side: int | None = None) -> None:
        """Run once on a picture of this width and height, so that the first frame is not the slow one.

        Args:
            size: of the picture.
            side: longer side of the network's input that is to come; None: `size` of this stage.
        """
        placement = Letterbox.of(size, side or self.size, self._net.stride)
        self._predict(self._letterboxed([np.zeros((size[1], size[0], 3), np.uint8)], [placement]))

    def process(self, batch: list[Frame]) -> list[Detections]:
        """The people in each frame, by falling score, in the order of the frames; nobody where it isn't looked at."""
        due = [self.cadence.is_due(frame) for frame in batch]
        found = iter(self._look([frame for frame, is_due in zip(batch, due, strict=True) if is_due]))
        return [
            next(found) if is_due else Detections.empty(frame, looked=False)
            for frame, is_due in zip(batch, due, strict=True)
        ]

    def divide(self, frame: Frame, calls: int) -> Work[Detections]:
        """The same for one frame, in one part, or in none where it isn't looked at: see runtime.pool."""
        if not self.cadence.is_due(frame):
            return Work([], lambda: Detections.empty(frame, looked=False))
        found: list[Detections] = []
        return Work([Part(lambda: found.extend(self._look([frame])))], found.pop)

    def close(self) -> None:
        """Nothing to give up."""

    def _look(self, batch: list[Frame]) -> list[Detections]:
        placements = [Letterbox.of(frame.size, self.size, self._net.stride) for frame in batch]
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index in sorted(range(len(batch)), key=lambda i: batch[i].size):
            groups[placements[index].input_size].append(index)
        found: dict[int, Detections] = {}
        for indices in groups.values():
            images = self._letterboxed([batch[i].image for i in indices], [placements[i] for i in indices])
            for i, result in zip(indices, self._predict(images), strict=True):
                found[i] = _to_frame(batch[i], placements[i], *result)
        return [found[i] for i in range(len(batch))]

    def _predict(
        self, images: NDArray[np.uint8] | torch.Tensor
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        return self._net.predict(images, self._config.min_score, self._config.nms_iou)


def _to_frame(
    frame: Frame,
    letterbox: Letterbox,
    xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    keypoints: NDArray[np.float32],
) -> Detections:
    """The network's people in pixels of the frame, clipped to it; what lies outside it is left out."""
    width, height = frame.size
    corners = letterbox.to_frame(xyxy.reshape(-1, 2, 2)).reshape(-1, 4)
    corners = np.clip(corners, 0, np.array((width, height, width, height), np.float32))
    inside = (corners[:, 2:] > corners[:, :2]).all(1)
    if keypoints.shape[1]:
        keypoints[..., :2] = letterbox.to_frame(keypoints[..., :2])
    return Detections(
        frame,
        np.ascontiguousarray(corners[inside], np.float32),
        np.clip(scores[inside], 0, 1),
        keypoints[inside] if keypoints.shape[1] else None,
    )
