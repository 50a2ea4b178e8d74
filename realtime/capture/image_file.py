"""Reads images: the one place that turns a file, or a reply of a server, into upright BGR pictures with Pillow.

Used by capture.one_image (the first picture) and capture.animation (all of them).

Pillow reads every format, because it reports the size and the sample format before decoding. OpenCV then decodes
JPEG, which most folders hold: it gives the same pixels in a third of the time (1920x1080: 5 and 14 ms).
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

# This name keeps Pillow's own function. ultralytics, which is imported later than this file, replaces Image.open with
# a function that installs packages when it meets an image in an unknown format.
from PIL.Image import open as open_image

from realtime.capture.image_formats import SEQUENCE, image_format
from realtime.capture.image_pages import pages_of, tags_of
from realtime.capture.image_troubles import JPEG_HEADER, trouble_of_jpeg, trouble_of_mode, trouble_of_tiff
from realtime.errors import SourceError, SourceReason, too_large

# What Pillow calls a JPEG. MPO is a JPEG with more pictures behind it: a preview, or the view of a second lens.
_JPEG = ("JPEG", "MPO")
# Pillow reads these files into memory as they are. No image of a camera is larger (bytes).
_MOST_BYTES = 2**30
_READ_WHOLE = frozenset({"JPEG", "WEBP", "AVIF", "HEIF"})
_BITS, _COLOURS, _WHITE_IS_ZERO = 258, 262, 0
_ORIENTATION = 0x0112
_BACKGROUND = (255, 255, 255)  # shown behind transparent pixels, as in a browser
DAMAGED_IMAGE = "not an image, or a damaged or truncated one"
_NO_HEIF = "HEIC images need pillow-heif: pip install 'pillow-heif>=1,<2'"
_SEQUENCE = "a HEIC that holds a sequence of pictures: convert it to MP4 or to single images"


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open an image file with its first picture selected. Nothing is decoded yet.

    Args:
        path: the file.
        max_pixels: refuse a larger picture.

    Raises:
        SourceError: the file can't be opened or is no image. Also raised for any trouble in the `with` block.
    """
    try:
        if not path.stat().st_size:  # also that of a pipe, which would not open before its writer does
            raise _empty(str(path))
        file = path.open("rb")
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file", SourceReason.MISSING) from None
    except OSError as error:
        raise _unreadable(str(path), error) from None
    with file, image_in(file, str(path), image_format(path), max_pixels) as image:
        yield image


@contextmanager
def image_in(file: BinaryIO, name: str, form: str | None, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open the image in an open file, or in memory, with its first picture selected. Nothing is decoded yet.

    Args:
        file: where its bytes are; it can seek.
        name: the file or the redacted URL, for errors.
        form: its format (capture.image_formats).
        max_pixels: refuse a larger picture.

    Raises:
        SourceError: it is no image that can be read. Also raised for any trouble in the `with` block.
    """
    try:
        _check_bytes(file, name, form)
        # Only by the readers of its format: Pillow has others that start programs.
        with open_image(file, formats=_readers(name, form)) as image:
            _check_size(name, image, max_pixels)
            if image.format == "TIFF":
                image.seek(next(pages_of(image), 0))
            yield image
    except (SourceError, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(name, error) from None
        file.seek(0)
        why = trouble_of_jpeg(file.read(JPEG_HEADER)) or trouble_of_tiff(file)
        if why is not None:
            raise SourceError(f"{name}: can't be decoded: {why}", SourceReason.CODEC) from None
        raise SourceError(f"{name}: {DAMAGED_IMAGE}", SourceReason.NOT_MEDIA) from None


def picture_of(name: str, image: ImageFile.ImageFile, max_pixels: int) -> NDArray[np.uint8]:
    """Decode the selected picture of an open image.

    Args:
        name: the file or the redacted URL, for errors.
        image: the open image.
        max_pixels: refuse a larger picture.

    Returns:
        uint8 (H, W, 3), BGR, upright, C-contiguous. Transparent parts are white.

    Raises:
        SourceError: the picture is too large, or its samples are of a kind that can't be shown.
    """
    _check_size(name, image, max_pixels)
    trouble = trouble_of_mode(image)
    if trouble is not None:
        raise SourceError(f"{name}: can't be decoded: {trouble}", SourceReason.CODEC)
    if image.format in _JPEG and image.mode in ("L", "RGB"):
        picture = _jpeg(name, image)
    else:
        image.load()
        _check_size(name, image, max_pixels)  # again: a HEIC may hold more than its header says
        picture = _bgr(image)
    return np.ascontiguousarray(_upright(picture, _orientation(image)))


def _check_bytes(file: BinaryIO, name: str, form: str | None) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not size:
        raise _empty(name)
    if size > _MOST_BYTES and form in _READ_WHOLE:
        raise SourceError(
            f"{name}: too large: got {size:,} bytes, expected at most {_MOST_BYTES:,}", SourceReason.TOO_LARGE
        )


def _check_size(name: str, image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise too_large(name, image.size, max_pixels)


def _empty(name: str) -> SourceError:
    return SourceError(f"{name}: not an image: the file is empty", SourceReason.NOT_MEDIA)


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(f"{name}: can't be read: {error.strerror}", SourceReason.PERMISSION)


@functools.cache
def _prepare() -> None:
    """Set Pillow up for this process."""
    Image.MAX_IMAGE_PIXELS = None  # above this limit Pillow would warn, and above twice its value refuse
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # true: Pillow would fill the missing rest with grey
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of EXIF data that is damaged, which changes nothing here
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _readers(name: str, form: str | None) -> list[str]:
    """Return the names of Pillow's readers for a format.

    Raises:
        SourceError: this format can't be read, or needs a package that is not installed.
    """
    _prepare()
    if form == "HEIF":
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise SourceError(f"{name}: can't be decoded: {_NO_HEIF}", SourceReason.CODEC) from None
        register_heif_opener()
    if form == SEQUENCE:
        raise SourceError(f"{name}: can't be decoded: {_SEQUENCE}", SourceReason.CODEC)
    return [*_JPEG] if form == "JPEG" else [form or ""]


def _jpeg(name: str, image: ImageFile.ImageFile) -> NDArray[np.uint8]:
    """Return a JPEG as BGR, as it is stored."""
    assert image.fp is not None  # Pillow lets go of the file when it decodes, which it doesn't do here
    image.fp.seek(0)
    data = image.fp.read()
    trouble = trouble_of_jpeg(data[:JPEG_HEADER])  # libjpeg mistakes the colours of a lossless JPEG
    if trouble is not None:
        raise SourceError(f"{name}: can't be decoded: {trouble}", SourceReason.CODEC)
    picture: NDArray[np.uint8] | None = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if picture is None:
        raise SourceError(f"{name}: {DAMAGED_IMAGE}", SourceReason.NOT_MEDIA)
    return picture


def _bgr(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        return _of_gray(image)
    if image.has_transparency_data:
        background = Image.new("RGBA", image.size, _BACKGROUND)
        shown = Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")
    else:
        shown = image.convert("RGB")
    return np.asarray(cv2.cvtColor(np.asarray(shown), cv2.COLOR_RGB2BGR), np.uint8)


def _of_gray(image: Image.Image) -> NDArray[np.uint8]:
    """Return a gray picture of more than 8 bits."""
    is_tiff = image.format == "TIFF"
    bits = max(tags_of(image)[_BITS]) if is_tiff else 16
    gray = (np.asarray(image).astype(np.int32) >> (bits - 8)).clip(0, 255).astype(np.uint8)
    if is_tiff and tags_of(image).get(_COLOURS) == _WHITE_IS_ZERO:  # Pillow heeds that in 8 bits only
        gray = 255 - gray
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of a decoded picture; 1 if it is missing or damaged."""
    if image.format == "TIFF":  # Pillow has turned it
        return 1
    # Viewers ignore an orientation in XMP, but Pillow takes it if EXIF has none.
    for key in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(key, None)
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # of damaged EXIF data; viewers show the picture as it is stored
        return 1


def _upright(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return the picture as viewers show it. The orientation tells where its first row and column belong."""
    match orientation:
        case 2:
            return picture[:, ::-1]
        case 3:
            return picture[::-1, ::-1]
        case 4:
            return picture[::-1]
        case 5:
            return picture.transpose(1, 0, 2)
        case 6:
            return picture.transpose(1, 0, 2)[:, ::-1]
        case 7:
            return picture.transpose(1, 0, 2)[::-1, ::-1]
        case 8:
            return picture.transpose(1, 0, 2)[::-1]
    return picture
