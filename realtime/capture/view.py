"""The view of a camera that the pipeline works on: its image rotated, cropped and scaled as configured.

Used by capture.camera: Picture.decoded -> Frame.image. Boxes and keypoints are in pixels of the resulting image.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def viewed_size(size: tuple[int, int], config: CameraConfig) -> tuple[int, int]:
    """Return the size of the image that `viewed` returns for an image of this size; both are (width, height) in pixels.

    >>> viewed_size((1920, 1080), CameraConfig(name="door", source="0", rotate=90, resize=640))
    (360, 640)
    """
    width, height = rotated_size(size, config.rotate)
    if config.crop_xyxy is not None:
        x1, y1, x2, y2 = config.crop_xyxy
        width, height = x2 - x1, y2 - y1
    if config.resize is not None and max(width, height) > config.resize:
        scale = config.resize / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return width, height


def viewed(image: NDArray[np.uint8], config: CameraConfig) -> NDArray[np.uint8]:
    """Rotate an image by `rotate`, crop it to `crop_xyxy`, then scale it down to `resize`.

    >>> image = np.zeros((1080, 1920, 3), np.uint8)
    >>> viewed(image, CameraConfig(name="door", source="0", crop_xyxy=(0, 0, 800, 600), resize=400)).shape
    (300, 400, 3)

    Args:
        image: uint8 (H, W, 3), BGR.
        config: the camera's configuration.

    Returns:
        uint8 (H', W', 3), BGR, C-contiguous; the input array itself if the configuration doesn't change it.

    Raises:
        SourceError: `crop_xyxy` reaches beyond the image (after `rotate`).
    """
    check_crop((image.shape[1], image.shape[0]), config)
    size = viewed_size((image.shape[1], image.shape[0]), config)
    image = rotated(image, config.rotate)
    if config.crop_xyxy is not None:
        image = crop(image, config.crop_xyxy)
    if size != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)


def check_crop(size: tuple[int, int], config: CameraConfig) -> None:
    """Check that the view lies within an image of this size, (width, height) in pixels.

    Raises:
        SourceError: `crop_xyxy` reaches beyond the image (after `rotate`).
    """
    if config.crop_xyxy is None:
        return
    width, height = rotated_size(size, config.rotate)
    if config.crop_xyxy[2] > width or config.crop_xyxy[3] > height:
        raise SourceError(
            f"crop_xyxy: got {list(config.crop_xyxy)}, expected a box within the image of {width}x{height}",
            SourceReason.MODE,
        )


def rotated(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Rotate uint8 (H, W) or (H, W, 3) clockwise by 0, 90, 180 or 270 degrees."""
    return np.asarray(cv2.rotate(image, _TURNS[degrees]), np.uint8) if degrees else image


def rotated_size(size: tuple[int, int], degrees: int) -> tuple[int, int]:
    """Return the width and height of a rotated image, given its width and height."""
    return size[::-1] if degrees in (90, 270) else size


def turned_back(box: Box, size: tuple[int, int], degrees: int) -> Box:
    """Return where a box of a rotated image is in the image before.

    >>> turned_back((0, 0, 80, 60), (1080, 1920), 90)
    (0, 1000, 60, 1080)

    Args:
        box: in pixels of the rotated image.
        size: width and height of the rotated image.
        degrees: by which the image was rotated clockwise: 0, 90, 180 or 270.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    for _ in range(degrees // 90):
        x1, y1, x2, y2 = y1, width - x2, y2, width - x1
        width, height = height, width
    return x1, y1, x2, y2


def crop(image: NDArray[np.uint8], xyxy: Sequence[float]) -> NDArray[np.uint8]:
    """Return the part of an image in a box, rounded to whole pixels and at least one pixel large."""
    height, width = image.shape[:2]
    x1, y1 = min(round(xyxy[0]), width - 1), min(round(xyxy[1]), height - 1)
    return image[y1 : max(y1 + 1, round(xyxy[3])), x1 : max(x1 + 1, round(xyxy[2]))]
