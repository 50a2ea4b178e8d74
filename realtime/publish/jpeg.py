"""From a frame's image to a JPEG that is at most as wide as a reader wants.

Used by publish.pictures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime import wire
from realtime.publish.draw_motion import draw_motion
from realtime.types import Motion

# JPEG quality, 0..100. At 80, a picture of 320 pixels has 11 kB and one of full HD 160 kB (the demo's street).
_QUALITY = 80
# libjpeg's limit for either side, in pixels.
_LONGEST_SIDE = 65_500
# Larger pictures aren't encoded: 64 megapixels take half a second, and would be too long for a message.
_MOST_PIXELS = 64_000_000


def size_for(size: tuple[int, int], width: wire.Width) -> tuple[int, int]:
    """Return width and height of a picture: those of the frame, scaled down to a width. It is never enlarged.

    >>> size_for((1920, 1080), "320"), size_for((160, 120), "320"), size_for((1920, 1080), "full")
    ((320, 180), (160, 120), (1920, 1080))

    Args:
        size: width and height of the frame in pixels.
        width: the last part of the topic.
    """
    most = size[0] if width == "full" else min(size[0], int(width))
    return most, max(1, round(size[1] * most / size[0]))


def to_jpeg(image: NDArray[np.uint8], size: tuple[int, int], motion: Motion | None = None) -> bytes:
    """Scale an image down and encode it.

    Args:
        image: uint8 (H, W, 3) BGR.
        size: width and height of the picture in pixels, at most those of the image.
        motion: drawn into the picture; None: nothing is drawn. The image itself is not modified.

    Raises:
        ValueError: the picture is too large, or there is no memory for it.
    """
    width, height = size
    if max(size) > _LONGEST_SIDE or width * height > _MOST_PIXELS:
        raise ValueError(
            f"got {width}x{height} pixels, expected at most {_MOST_PIXELS // 10**6} megapixels and {_LONGEST_SIDE} on "
            "each side"
        )
    frame_size = image.shape[1], image.shape[0]
    try:
        scaled = image
        if size != frame_size:
            # Each pixel is the mean of those that it covers. Above half the size, the nearest four give about the same
            # in a tenth of the time.
            covers_four = image.shape[1] < 2 * width
            scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if covers_four else cv2.INTER_AREA)
        if motion is not None:
            scaled = scaled.copy() if scaled is image else scaled
            draw_motion(scaled, motion, frame_size)
        return cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    except cv2.error as error:
        raise ValueError(f"OpenCV can't encode {width}x{height} pixels ({error.err})") from None
