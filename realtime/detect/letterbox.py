"""Letterbox: a frame scaled into the detector's input, and boxes scaled back.

Used by detect.yolo; detect.on_device scales to the same pixels on a GPU. The geometry is that of
ultralytics.data.augment.LetterBox(auto=True, stride=32) and ultralytics.utils.ops.scale_boxes (8.4), so that our
detections equal `YOLO.predict`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# The grey that YOLO was trained with around its images.
PADDING = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How frames of one size are placed in the network's input; all in pixels.

    Attributes:
        frame_size: width and height of the frame.
        scaled_size: width and height of the frame once scaled.
        left: columns of padding to its left; likewise top, right, bottom.
    """

    frame_size: tuple[int, int]
    scaled_size: tuple[int, int]
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, frame_size: tuple[int, int], size: int, stride: int) -> Letterbox:
        """The placement of a frame in the smallest multiple-of-stride rectangle whose longer side is `size`."""
        width, height = frame_size
        gain = min(size / height, size / width)
        scaled = max(round(width * gain), 1), max(round(height * gain), 1)
        pad_x, pad_y = ((size - side) % stride / 2 for side in scaled)
        # ultralytics' rounding: half a pixel goes to the right and to the bottom.
        return cls(frame_size, scaled, round(pad_x - 0.1), round(pad_y - 0.1), round(pad_x + 0.1), round(pad_y + 0.1))

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network's input."""
        return self.left + self.scaled_size[0] + self.right, self.top + self.scaled_size[1] + self.bottom

    def apply(self, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write the frame uint8 (H, W, 3) as network input into uint8 (h, w, 3)."""
        width, height = self.scaled_size
        inside = out[self.top : self.top + height, self.left : self.left + width]
        if self.scaled_size != self.frame_size:
            cv2.resize(image, self.scaled_size, dst=inside, interpolation=cv2.INTER_LINEAR)
        else:
            inside[:] = image
        out[: self.top] = out[self.top + height :] = PADDING
        out[:, : self.left] = out[:, self.left + width :] = PADDING

    def to_frame(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points (..., 2) from the network's input to the frame, not clipped."""
        offset = np.array((self.left, self.top), np.float32)
        gain = np.array(self.scaled_size, np.float32) / np.array(self.frame_size, np.float32)
        return np.asarray((points - offset) / gain, np.float32)


def letterboxed(images: Sequence[NDArray[np.uint8]], placements: Sequence[Letterbox]) -> NDArray[np.uint8]:
    """Frames as one batch of network input.

    Args:
        images: B frames uint8 (H, W, 3), sizes may differ.
        placements: theirs, of one input size.

    Returns:
        uint8 (B, h, w, 3), the order of colours of the images.
    """
    width, height = placements[0].input_size
    batch = np.empty((len(images), height, width, 3), np.uint8)
    for image, placement, row in zip(images, placements, batch, strict=True):
        placement.apply(image, row)
    return batch
