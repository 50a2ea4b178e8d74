"""Letterbox: scales frames to the detector's input and maps its boxes back to the frame.

detect/stage.py uses it; detect/on_device.py computes the same pixels on a GPU. The geometry follows
ultralytics.data.augment.LetterBox(auto=True, stride=32) and ultralytics.utils.ops.scale_boxes (8.4), so that our
detections equal those of `YOLO.predict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# The grey value that pads the images on which YOLO is trained.
PADDING = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Placement of frames of one size in the network's input, in pixels.

    >>> letterbox = Letterbox.of((1280, 720), size=640, stride=32)
    >>> letterbox.scaled_size, letterbox.input_size, letterbox.top
    ((640, 360), (640, 384), 12)
    >>> letterbox.to_frame(np.float32([[320, 192]])).tolist()
    [[640.0, 360.0]]

    Attributes:
        frame_size: width and height of the frame.
        scaled_size: width and height of the scaled frame, without padding.
        left: columns of padding to the left of the scaled frame.
        top: rows of padding above it.
        right: columns of padding to its right.
        bottom: rows of padding below it.
    """

    frame_size: tuple[int, int]
    scaled_size: tuple[int, int]
    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(
        cls, frame_size: tuple[int, int], size: int, stride: int, input_size: tuple[int, int] | None = None
    ) -> Letterbox:
        """Fit a frame into the smallest input whose longer side is `size` and whose sides are multiples of `stride`.

        Args:
            frame_size: width and height of the frame in pixels.
            size: longer side of the input in pixels, a multiple of `stride`.
            stride: stride of the network in pixels.
            input_size: fit the frame into an input of this width and height (pixels) instead. It is then no larger
                than in the smallest input.
        """
        width, height = frame_size
        gain = min(size / height, size / width)
        if input_size is not None:
            gain = min(gain, input_size[0] / width, input_size[1] / height)
        scaled = max(round(width * gain), 1), max(round(height * gain), 1)
        if input_size is None:
            pad_x, pad_y = ((size - side) % stride / 2 for side in scaled)
        else:
            pad_x, pad_y = ((whole - side) / 2 for whole, side in zip(input_size, scaled, strict=True))
        # As in ultralytics, an odd row or column of padding goes to the bottom or to the right.
        return cls(frame_size, scaled, round(pad_x - 0.1), round(pad_y - 0.1), round(pad_x + 0.1), round(pad_y + 0.1))

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network's input."""
        return self.left + self.scaled_size[0] + self.right, self.top + self.scaled_size[1] + self.bottom

    def apply(self, image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write a frame, uint8 (H, W, 3), into `out`, uint8 (h, w, 3), scaled and padded."""
        width, height = self.scaled_size
        inside = out[self.top : self.top + height, self.left : self.left + width]
        if self.scaled_size != self.frame_size:
            cv2.resize(image, self.scaled_size, dst=inside, interpolation=cv2.INTER_LINEAR)
        else:
            inside[:] = image
        out[: self.top] = out[self.top + height :] = PADDING
        out[:, : self.left] = out[:, self.left + width :] = PADDING

    def to_frame(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points, float32 (..., 2), from pixels of the network's input to pixels of the frame, without clipping."""
        offset = np.array((self.left, self.top), np.float32)
        gain = np.array(self.scaled_size, np.float32) / np.array(self.frame_size, np.float32)
        return np.asarray((points - offset) / gain, np.float32)


def letterboxed(images: Sequence[NDArray[np.uint8]], placements: Sequence[Letterbox]) -> NDArray[np.uint8]:
    """Scale and pad frames into one batch of network input.

    Args:
        images: B frames, uint8 (H, W, 3). Their sizes may differ.
        placements: one per image, all with the same `input_size`.

    Returns:
        uint8 (B, h, w, 3), in the colour order of the images.
    """
    width, height = placements[0].input_size
    batch = np.empty((len(images), height, width, 3), np.uint8)
    for image, placement, row in zip(images, placements, batch, strict=True):
        placement.apply(image, row)
    return batch
