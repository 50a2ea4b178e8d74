"""A YOLO pose network as a top-down pose model: the keypoints of people in their boxes.

Run by pose.stage, between the tracker and the smoother. Each person's crop is enlarged to the size that the network
knows people at, and of what it finds there the detection that fits the tracked box best is the person. That beats the
same network on the whole frame, where distant people are a few pixels tall.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.errors import ModelError
from realtime.models.ultralytics import YoloNet
from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.on_device import crop_people_on_device
from realtime.skeleton import Skeleton, from_labels

# Width and height of a crop: on 83 COCO val pictures yolo11n-pose reached OKS AP 49.8 at 192x256, 53.2 here and 52.9 at
# 288x384, against 48.4 on whole frames. Multiples of every YOLO's stride.
_INPUT_SIZE = 256, 320
# The grey that YOLO was trained with around its images.
_OUTSIDE = 114
# There is a person in the crop, the tracker says: only which of the finds it is counts, so weak ones are welcome.
_MIN_SCORE = 0.05
_NMS_IOU = 0.7
# Of 27 COCO people those found overlap their box by an IoU of 0.52 and more; a neighbour's detection by 0.05.
_MIN_FIT_IOU = 0.2
# People in one forward pass. Bounds the memory.
_LARGEST_BATCH = 32


class YoloPose:
    """A YOLO pose network for crops.

    Attributes:
        skeleton: its K keypoints.
        engine_name: what computes it: "openvino bf16".
    """

    def __init__(self, net: YoloNet) -> None:
        """Put it in front of people.

        Args:
            net: the network.

        Raises:
            ModelError: it knows no keypoints.
        """
        if not net.keypoints:
            raise ModelError(f"{net.path}: got a YOLO detection model, expected a YOLO pose model")
        self._net = net
        self.engine_name: str | None = net.engine_name
        # The file doesn't name its keypoints; 17 of them are COCO's.
        self.skeleton: Skeleton = from_labels({i: f"LABEL_{i}" for i in range(self._net.keypoints)})

    def warm_up(self) -> None:
        """Run once each for one person and for several, so that the first frame is not the slow one."""
        width, height = _INPUT_SIZE
        grey = np.full((height, width, 3), _OUTSIDE, np.uint8)
        for people in (1, 2):
            self.estimate([grey], [np.array([[0, 0, width, height]] * people, np.float32)])

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """The keypoints of all people of all images, in one batch.

        Args:
            images: uint8 (H, W, 3) BGR each, sizes may differ.
            xyxy: for each image, its people's boxes float32 (N, 4), pixels of the image. N may be 0.

        Returns:
            For each image float32 (N, K, 3): x, y in pixels of the image, may lie outside it, and score 0..1. Of a
            person whom the network doesn't find in the box, all keypoints are in its middle with score 0.
        """
        counts = [len(boxes) for boxes in xyxy]
        owners = np.repeat(np.arange(len(counts)), counts)
        boxes = np.concatenate([np.zeros((0, 4), np.float32), *xyxy])
        centers, scales = windows(boxes, _INPUT_SIZE)
        keypoints = np.zeros((len(owners), len(self.skeleton), 3), np.float32)
        for start in range(0, len(owners), _LARGEST_BATCH):
            part = slice(start, start + _LARGEST_BATCH)
            crowd = Crowd(images, owners[part], *_between_pixel_edges(centers[part], scales[part]))
            finds = self._net.predict(self._crops(crowd), _MIN_SCORE, _NMS_IOU)
            inside = _to_crop(boxes[part].reshape(-1, 2, 2), centers[part], scales[part]).reshape(-1, 4)
            for person, (box, (found, _, points)) in enumerate(zip(inside, finds, strict=True), start):
                best = _best_fit(box, found)
                if best is None:
                    keypoints[person, :, :2] = centers[person]
                else:
                    keypoints[person, :, :2] = _to_frame(points[best, :, :2], centers[person], scales[person])
                    keypoints[person, :, 2] = points[best, :, 2]
        ends = np.cumsum(counts, dtype=np.intp)
        return [keypoints[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def _crops(self, crowd: Crowd) -> NDArray[np.uint8] | torch.Tensor:
        """The crops uint8 (P, 320, 256, 3), where the network is."""
        if self._net.lane.device.type == "cpu":
            return crop_people(*crowd, _INPUT_SIZE, _OUTSIDE)
        return crop_people_on_device(self._net.lane, crowd, _INPUT_SIZE, _OUTSIDE)


# ---- geometry: YOLO measures between the outer edges of pixels, so a window of scale px is exactly a crop of size px


def _between_pixel_edges(
    centers: NDArray[np.float32], scales: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The windows as pose.crop counts them, between the centres of the outermost pixels: a crop pixel smaller.

    Half a pixel less too: the centre of a frame's first pixel is 0 to pose.crop and 0.5 to YOLO.
    """
    size = np.array(_INPUT_SIZE, np.float32)
    return centers - np.float32(0.5), scales * ((size - 1) / size)


def _to_crop(
    points: NDArray[np.float32], centers: NDArray[np.float32], scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Points (P, n, 2) of the frame in pixels of each person's crop; centers and scales float32 (P, 2)."""
    size = np.array(_INPUT_SIZE, np.float32)
    corners = centers - scales / 2
    return np.asarray((points - corners[:, np.newaxis]) * (size / scales)[:, np.newaxis], np.float32)


def _to_frame(
    points: NDArray[np.float32], center: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Points (n, 2) of one person's crop in pixels of the frame; center and scale float32 (2,)."""
    return np.asarray(points * (scale / np.array(_INPUT_SIZE, np.float32)) + center - scale / 2, np.float32)


def _best_fit(box: NDArray[np.float32], found: NDArray[np.float32]) -> int | None:
    """The detection that overlaps a box most.

    Args:
        box: float32 (4,) x1 y1 x2 y2.
        found: float32 (n, 4), by falling score.

    Returns:
        Its index; of equals the one with the higher score; None where they are all somebody else's.
    """
    fits = iou(box[np.newaxis], found)[0]
    return int(fits.argmax()) if fits.max(initial=0) >= _MIN_FIT_IOU else None
