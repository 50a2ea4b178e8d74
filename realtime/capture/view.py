"""The part of a camera's picture that is looked at: turned, cut, scaled.

Used by capture.camera: Picture.image -> Frame.image. Boxes and keypoints are in pixels of what comes out of here.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def viewed_size(size: tuple[int, int], config: CameraConfig) -> tuple[int, int]:
    """Width and height in pixels of what `viewed` makes of a picture of this width and height."""
    width, height = size[::-1] if config.rotate in (90, 270) else size
    if config.crop_xyxy is not None:
        x1, y1, x2, y2 = config.crop_xyxy
        width, height = x2 - x1, y2 - y1
    if config.resize is not None and max(width, height) > config.resize:
        scale = config.resize / max(width, height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
    return width, height


def viewed(image: NDArray[np.uint8], config: CameraConfig) -> NDArray[np.uint8]:
    """The picture turned by `rotate`, cut to `crop_xyxy`, scaled down to `resize`.

    Args:
        image: uint8 (H, W, 3), BGR.
        config: the camera's.

    Returns:
        uint8 (H', W', 3), BGR, C-contiguous; the same array where nothing is asked for.

    Raises:
        SourceError: `crop_xyxy` reaches beyond the picture.
    """
    size = viewed_size((image.shape[1], image.shape[0]), config)
    if config.rotate:
        image = cv2.rotate(image, _TURNS[config.rotate])
    if config.crop_xyxy is not None:
        x1, y1, x2, y2 = config.crop_xyxy
        height, width = image.shape[:2]
        if x2 > width or y2 > height:
            raise SourceError(
                f"crop_xyxy: got {list(config.crop_xyxy)}, expected a part of the picture, which is {width}x{height}",
                SourceReason.MODE,
            )
        image = image[y1:y2, x1:x2]
    if size != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)
