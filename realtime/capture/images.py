"""One image, a folder of images or a glob of images, in natural order.

One of the sources of capture. Images have no timestamps, so they follow a nominal rate of IMAGES_PER_S.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

# This name keeps Pillow's own function. ultralytics, which is imported later than this file, replaces Image.open with
# a function that installs packages when it meets an image in an unknown format.
from PIL.Image import open as open_image

from realtime.capture.source import Picture
from realtime.config import MOST_PIXELS
from realtime.errors import SourceError, SourceReason, TruncatedError, too_large
from realtime.redact import shown

log = logging.getLogger(__name__)

# Formats that OpenCV's wheels decode and that cameras and people use. A .gif counts as a video.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"})

# Assumed frame rate of the camera that filled a folder with images.
IMAGES_PER_S = 30.0


class ImagesSource:
    """Images, read one by one. An unreadable image counts as a frame with a fault, and reading continues.

    Args:
        source: path of an image or a folder, or a glob. In a folder, only files with an image suffix are read.
        max_pixels: read no larger image.

    Raises:
        SourceError: there is no image, or none that can be read.
    """

    live = False
    prompt = False

    def __init__(self, source: str, max_pixels: int = MOST_PIXELS) -> None:
        self._source = source
        self._max_pixels = max_pixels
        self._paths = _paths_of(source)
        self._place = 0
        self._unreadable: list[Path] = []
        # The first readable image sets the size of the source. It is kept until its turn, since decoding may be slow.
        path, image = _first_of(self._paths, max_pixels)
        self._read_ahead = {path: image}
        self.size = (image.shape[1], image.shape[0])
        self.fps: float | None = IMAGES_PER_S

    def read(self) -> Picture | None:
        """Return the next image, or None after the last one.

        Raises:
            TruncatedError: the last image was returned, and some images could not be read.
        """
        if self._place == len(self._paths):
            self._check_all_were_read()
            return None
        path = self._paths[self._place]
        self._place += 1
        try:
            return Picture(self._read_ahead.pop(path) if path in self._read_ahead else _read(path, self._max_pixels))
        except SourceError as error:
            if not self._unreadable:
                log.warning("%s; continuing with the other images", error)
            self._unreadable.append(path)
            return Picture(None, None, "too large" if error.reason is SourceReason.TOO_LARGE else "undecodable")

    def close(self) -> None:
        """Do nothing: no file stays open between images."""

    def _check_all_were_read(self) -> None:
        if self._unreadable:
            raise TruncatedError(
                f"{shown(self._source)}: {len(self._unreadable)} of {len(self._paths)} images can't be read "
                f"(the first is {self._unreadable[0].name}): damaged or not images",
                SourceReason.CODEC,
            )


def natural_key(path: Path) -> tuple[list[int | str], str]:
    """Return a sort key that compares the numbers in names by value: img2 before img10."""
    parts = re.split(r"(\d+)", str(path))
    # re.split puts the numbers at odd positions, so a number is only compared with numbers.
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)], str(path)


def _paths_of(source: str) -> list[Path]:
    """Return the files that a source names, sorted; at least one.

    Raises:
        SourceError: the source names no file, or can't be read.
    """
    path = Path(source)
    try:
        return _found(path, source)
    except ValueError as error:  # pathlib rejects patterns like "**x"
        raise SourceError(f"{shown(source)}: invalid pattern: {error}", SourceReason.MISSING) from None
    except OSError as error:
        raise SourceError(f"{shown(source)}: can't be read: {error.strerror}", SourceReason.PERMISSION) from None


def _found(path: Path, source: str) -> list[Path]:
    if path.is_dir():
        paths = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
        missing = f"no images in this folder, expected files that end in {', '.join(sorted(IMAGE_SUFFIXES))}"
    elif path.exists() or not re.search(r"[*?\[]", source):
        return [path]
    else:
        root = Path(path.anchor or ".")
        paths = [p for p in root.glob(str(path.relative_to(path.anchor))) if p.is_file()]
        missing = "no file matches this pattern"
    if not paths:
        raise SourceError(f"{shown(source)}: {missing}", SourceReason.MISSING)
    return sorted(paths, key=natural_key)


def _first_of(paths: list[Path], max_pixels: int) -> tuple[Path, NDArray[np.uint8]]:
    """Return the path of the first readable image, and the image.

    Raises:
        SourceError: no file can be read; the error is that of the first file.
    """
    errors = []
    for path in paths:
        try:
            return path, _read(path, max_pixels)
        except SourceError as error:
            errors.append(error)
    raise errors[0]


def _read(path: Path, max_pixels: int) -> NDArray[np.uint8]:
    """Return one image file as uint8 (H, W, 3), BGR, rotated upright by its EXIF orientation."""
    size = _size_of(path)
    if size[0] * size[1] > max_pixels:
        raise too_large(str(path), size, max_pixels)
    try:
        # Decode from memory, because cv2.imread gives no reason when it fails, only a warning on stderr.
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file", SourceReason.MISSING) from None
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error.strerror}", SourceReason.PERMISSION) from None
    if not data.size:
        raise SourceError(f"{path}: not an image: the file is empty", SourceReason.NOT_MEDIA)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image: NDArray[np.uint8] | None = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        # imdecode raises only for images beyond its limits, which protect against running out of memory.
        raise SourceError(
            f"{path}: too large: expected at most 2^30 pixels and 2^20 per side, scale it down", SourceReason.TOO_LARGE
        ) from None
    if image is None:
        raise SourceError(f"{path}: not an image, or a damaged or truncated one", SourceReason.NOT_MEDIA)
    return image


def _size_of(path: Path) -> tuple[int, int]:
    """Return width and height (pixels) of an image, read from its header; (0, 0) if Pillow doesn't know its format.

    OpenCV can't tell the size before it has decoded the image.
    """
    Image.MAX_IMAGE_PIXELS = None  # above this limit Pillow would warn, and above twice its value refuse
    try:
        with open_image(path) as image:
            return image.size
    except Exception:  # Pillow raises many kinds for damaged files, which OpenCV then refuses
        return 0, 0
