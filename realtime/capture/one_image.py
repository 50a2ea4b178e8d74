"""The first picture of an image: the same one from a file, from a folder and from a URL.

Used by capture.images (files) and capture.snapshot (replies of a server). Pillow reads most formats, FFmpeg the others.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.capture.image_file import DAMAGED_IMAGE, image_in, opened, picture_of
from realtime.capture.image_formats import format_of_reply, image_format
from realtime.capture.image_pages import left_out
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason


def of_file(path: Path, max_pixels: int) -> tuple[NDArray[np.uint8], int]:
    """Decode the first picture of an image file.

    Args:
        path: the file.
        max_pixels: decode no larger picture. The size in the header decides.

    Returns:
        uint8 (H, W, 3), BGR, upright; and how many other pictures the file holds.

    Raises:
        SourceError: it is too large, not an image, or can't be decoded.
    """
    if image_format(path) is None and path.exists():
        return _by_ffmpeg(str(path), None, max_pixels), 0
    with opened(path, max_pixels) as image:
        return picture_of(str(path), image, max_pixels), left_out(str(path), image)


def of_reply(data: bytes, name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decode the first picture of an image that a server sent. Its name doesn't count: cameras often send another kind.

    Args:
        data: the image.
        name: its URL, redacted, for errors.
        max_pixels: decode no larger picture. The size in the header decides.

    Returns:
        uint8 (H, W, 3), BGR, upright.

    Raises:
        SourceError: it is too large, not an image, or can't be decoded.
    """
    form = format_of_reply(data)
    if form is None:
        return _by_ffmpeg(name, io.BytesIO(data), max_pixels)
    with image_in(io.BytesIO(data), name, form, max_pixels) as image:
        return picture_of(name, image, max_pixels)


def _by_ffmpeg(name: str, data: io.BytesIO | None, max_pixels: int) -> NDArray[np.uint8]:
    source = StreamSource(name, network=False, max_pixels=max_pixels, pipe=data)
    try:
        picture = source.read()
    finally:
        source.close()
    if picture is None or picture.decoded is None:
        raise SourceError(f"{name}: {DAMAGED_IMAGE}", SourceReason.NOT_MEDIA)
    return picture.decoded.bgr()
