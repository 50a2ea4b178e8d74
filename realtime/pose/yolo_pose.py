"""A YOLO pose network as a top-down pose model: the keypoints of people in their boxes.

Run by pose.stage, between the tracker and the smoother. Each person's crop is resampled to a size at which the
network works well on people, and the detection that overlaps the tracked box most is taken to be that person. This is
more accurate than the same network on the whole frame, where distant people are only a few pixels tall.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.errors import ModelError
from realtime.models.yolo import YoloNet
from realtime.pose.crop import Crowd, crop_people
from realtime.runtime.batches import Fit, even_parts
from realtime.skeleton import Skeleton, from_labels

if TYPE_CHECKING:
    import torch

# Width and height of a crop, multiples of every YOLO's stride. On 83 COCO val images, yolo11n-pose reached OKS AP 53.2
# at this size, 49.8 at 192x256, 52.9 at 288x384, and 48.4 on whole images.
_INPUT_SIZE = 256, 320
# Grey level of the padding that YOLO was trained with.
_OUTSIDE = 114
# Low, because the tracker has already confirmed the person: a weak detection in the right place is good enough.
_MIN_SCORE = 0.05
_NMS_IOU = 0.7
# Smallest IoU of a detection with the tracked box. Measured on 27 people of COCO: a person's own detection overlaps the
# box by 0.52 or more, a neighbour's by 0.05.
_MIN_FIT_IOU = 0.2
# Largest number of people in one forward pass. Bounds the memory.
_LARGEST_BATCH = 32


class YoloPose:
    """A YOLO pose network that runs on the crops of people.

    Attributes:
        skeleton: the network's K keypoints.
        engine_name: engine and precision, such as "openvino bf16".
    """

    def __init__(self, net: YoloNet) -> None:
        """Wrap a YOLO pose network.

        Args:
            net: the network.

        Raises:
            ModelError: the network is a detection model, without keypoints.
        """
        if not net.keypoints:
            raise ModelError(f"{net.path}: got a YOLO detection model, expected a YOLO pose model")
        self._net = net
        self._fit = Fit(net.lane, "people", _LARGEST_BATCH)
        self.engine_name: str | None = net.engine_name
        # The model file does not name its keypoints; from_labels takes 17 unnamed ones to be COCO's.
        self.skeleton: Skeleton = from_labels({i: f"LABEL_{i}" for i in range(self._net.keypoints)})

    def warm_up(self) -> None:
        """Run once for one person and once for two, so that the first frame is not slower than the others."""
        width, height = _INPUT_SIZE
        grey = np.full((height, width, 3), _OUTSIDE, np.uint8)
        for people in (1, 2):
            self.estimate([grey], [np.array([[0, 0, width, height]] * people, np.float32)])

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Estimate the keypoints of all people in all images, in batches of at most _LARGEST_BATCH.

        Args:
            images: uint8 (H, W, 3) BGR each, sizes may differ.
            xyxy: for each image, its people's boxes float32 (N, 4), pixels of the image. N may be 0.

        Returns:
            For each image float32 (N, K, 3): x, y in pixels of the image, which may lie outside it, and score 0..1. If
            the network does not find a person, all of their keypoints are in the middle of the box with score 0.
        """
        crowd = Crowd.of(images, xyxy, _INPUT_SIZE)
        keypoints = np.zeros((len(crowd.owners), len(self.skeleton), 3), np.float32)
        boxes = np.concatenate(xyxy) if len(keypoints) else np.zeros((0, 4), np.float32)

        def in_batches(most: int) -> None:
            for people in even_parts(len(keypoints), most):
                keypoints[people] = self._keypoints(crowd.part(people), boxes[people])

        if len(keypoints):
            self._fit.run(len(keypoints), in_batches)
        return crowd.split(keypoints)

    def _keypoints(self, crowd: Crowd, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the keypoints float32 (P, K, 3) of P people in their boxes float32 (P, 4), from one forward pass."""
        _, _, centers, scales = crowd
        keypoints = np.zeros((len(boxes), len(self.skeleton), 3), np.float32)
        finds = self._net.predict(self._crops(_between_pixel_edges(crowd)), _MIN_SCORE, _NMS_IOU)
        inside = _to_crop(boxes.reshape(-1, 2, 2), centers, scales).reshape(-1, 4)
        for person, (box, found) in enumerate(zip(inside, finds, strict=True)):
            best, points = _best_fit(box, found.xyxy), found.keypoints
            if best is None:
                keypoints[person, :, :2] = centers[person]
            else:
                keypoints[person, :, :2] = _to_frame(points[best, :, :2], centers[person], scales[person])
                keypoints[person, :, 2] = points[best, :, 2]
        return keypoints

    def _crops(self, crowd: Crowd) -> NDArray[np.uint8] | torch.Tensor:
        """Return the crops uint8 (P, 320, 256, 3), on the network's device."""
        if self._net.lane is None or self._net.lane.device.type == "cpu":
            return crop_people(*crowd, _INPUT_SIZE, _OUTSIDE)
        from realtime.pose.on_device import crop_people_on_device

        return crop_people_on_device(self._net.lane, crowd, _INPUT_SIZE, _OUTSIDE)


# ---- geometry: YOLO measures between the outer edges of pixels, so `scale` frame pixels are exactly `size` crop pixels


def _between_pixel_edges(crowd: Crowd) -> Crowd:
    """Convert windows from YOLO's convention, between outer pixel edges, to pose.crop's, between pixel centres.

    The window shrinks by one crop pixel, from the outer edges of the outermost pixels to their centres. It also moves
    by half a frame pixel: the centre of a frame's first pixel is at 0.5 in YOLO's convention and at 0 in pose.crop's.
    """
    size = np.array(_INPUT_SIZE, np.float32)
    return crowd._replace(centers=crowd.centers - np.float32(0.5), scales=crowd.scales * ((size - 1) / size))


def _to_crop(
    points: NDArray[np.float32], centers: NDArray[np.float32], scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Map points (P, n, 2) from the frame to pixels of each person's crop; centers and scales are float32 (P, 2)."""
    size = np.array(_INPUT_SIZE, np.float32)
    corners = centers - scales / 2
    return np.asarray((points - corners[:, np.newaxis]) * (size / scales)[:, np.newaxis], np.float32)


def _to_frame(
    points: NDArray[np.float32], center: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Map points (n, 2) from one person's crop to pixels of the frame; center and scale are float32 (2,)."""
    return np.asarray(points * (scale / np.array(_INPUT_SIZE, np.float32)) + center - scale / 2, np.float32)


def _best_fit(box: NDArray[np.float32], found: NDArray[np.float32]) -> int | None:
    """Find the detection that overlaps a box most.

    Args:
        box: float32 (4,) x1 y1 x2 y2.
        found: float32 (n, 4) x1 y1 x2 y2, in descending order of score.

    Returns:
        The index of the detection with the highest IoU, in a tie the one with the higher score; None if no IoU reaches
        _MIN_FIT_IOU.
    """
    fits = iou(box[np.newaxis], found)[0]
    return int(fits.argmax()) if fits.max(initial=0) >= _MIN_FIT_IOU else None
