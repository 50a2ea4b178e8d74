"""Decodes one image that is in memory, within the limit on its pixels.

Used by capture.snapshot: the body of a reply -> Picture.image.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Under this name because ultralytics replaces Image.open later (capture.images).
from PIL.Image import open as open_image

from realtime.errors import SourceError, SourceReason, too_large

# The formats that Pillow may look for. It has others that start programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")


def decoded(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Return an image as uint8 (H, W, 3), BGR, rotated upright by its EXIF orientation; of an animation the first.

    Args:
        data: the image, in one of _FORMATS.
        name: its source, redacted, for errors.
        max_pixels: decode no larger image. The size in its header decides.

    Raises:
        SourceError: it is too large, or not an image, or it can't be decoded.
    """
    size = _size_of(data)
    if size[0] * size[1] > max_pixels:
        raise too_large(name, size, max_pixels)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    image: NDArray[np.uint8] | None = None
    # OpenCV decodes what Pillow can't read too, but only Pillow tells the size first.
    if all(size):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # beyond OpenCV's own limit on pixels, or damaged
            image = None
    if image is None:
        raise SourceError(f"{name}: not an image, or a damaged or truncated one", SourceReason.NOT_MEDIA)
    return image


def _size_of(data: bytes) -> tuple[int, int]:
    """Return width and height (pixels) of an image, read from its header; (0, 0) if it has none of _FORMATS."""
    Image.MAX_IMAGE_PIXELS = None  # above this limit Pillow would warn, and above twice its value refuse
    try:
        with open_image(io.BytesIO(data), formats=_FORMATS) as image:
            return image.size
    except Exception:  # Pillow raises many kinds for damaged images
        return 0, 0
