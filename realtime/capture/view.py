"""The view of a camera that the pipeline works on: its image rotated, cropped and scaled as configured.

Used by capture.camera: Picture.image -> Frame.image. Boxes and keypoints are in pixels of the resulting image.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def viewed_size(size: tuple[int, int], config: CameraConfig) -> tuple[int, int]:
    """Return the size of the image that `viewed` returns for an image of this size; both are (width, height) in pixels.

    >>> viewed_size((1920, 1080), CameraConfig(name="door", source="0", rotate=90, resize=640))
    (360, 640)
    """
    width, height = size[::-1] if config.rotate in (90, 270) else size
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
    size = viewed_size((image.shape[1], image.shape[0]), config)
    if config.rotate:
        image = cv2.rotate(image, _TURNS[config.rotate])
    if config.crop_xyxy is not None:
        x1, y1, x2, y2 = config.crop_xyxy
        height, width = image.shape[:2]
        if x2 > width or y2 > height:
            raise SourceError(
                f"crop_xyxy: got {list(config.crop_xyxy)}, expected a box within the image of {width}x{height}",
                SourceReason.MODE,
            )
        image = image[y1:y2, x1:x2]
    if size != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)
