"""One image, a folder of images or a glob of images, in natural order.

One of the sources of capture. Images have no time stamps: they are shown at IMAGES_PER_S on a nominal time line.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from realtime.capture.source import Picture
from realtime.errors import SourceError, SourceReason

# What OpenCV's wheels decode and cameras or people write. A .gif is a video here.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"})

# The rate at which a folder of images is taken to have been filled: that of an ordinary camera.
IMAGES_PER_S = 30.0


class ImagesSource:
    """Images read one by one.

    Args:
        source: path of an image or a folder, or a glob. Of a folder, the files that are named like images are read.

    Raises:
        SourceError: nothing is there, or the first image can't be read.
    """

    live = False

    def __init__(self, source: str) -> None:
        self.fps: float | None = IMAGES_PER_S
        self._paths = iter(_paths_of(source))
        # Read here, since its size is the source's.
        self._first: Picture | None = _read(next(self._paths))
        assert self._first.image is not None
        self.size = (self._first.image.shape[1], self._first.image.shape[0])

    def read(self) -> Picture | None:
        """The next image, or None after the last.

        Raises:
            SourceError: the image can't be read; the message names its file.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        path = next(self._paths, None)
        return _read(path) if path is not None else None

    def close(self) -> None:
        """Nothing is kept open between images."""


def natural_key(path: Path) -> tuple[list[int | str], str]:
    """Sorts numbers within names by value: img2 before img10."""
    parts = re.split(r"(\d+)", str(path))
    # The parts between numbers stand at even places: numbers are compared with numbers alone.
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)], str(path)


def _paths_of(source: str) -> list[Path]:
    """The files that a source names, sorted, at least one."""
    path = Path(source)
    if path.is_dir():
        paths = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
        missing = f"no images in this folder, expected files like {', '.join(sorted(IMAGE_SUFFIXES))}"
    elif path.exists() or not re.search(r"[*?\[]", source):
        return [path]
    else:
        root = Path(path.anchor or ".")
        paths = [p for p in root.glob(str(path.relative_to(path.anchor))) if p.is_file()]
        missing = "no file matches"
    if not paths:
        raise SourceError(f"{source}: {missing}", SourceReason.MISSING)
    return sorted(paths, key=natural_key)


def _read(path: Path) -> Picture:
    """One image file, turned as its EXIF orientation says."""
    try:
        # Read here and decoded from memory: cv2.imread gives no reason when it fails, and only a warning on stderr.
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file", SourceReason.MISSING) from None
    except OSError as error:
        raise SourceError(f"{path}: can't be read: {error.strerror}", SourceReason.PERMISSION) from None
    if not data.size:
        raise SourceError(f"{path}: not an image: the file is empty", SourceReason.NOT_MEDIA)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        # The one way it raises: its guard against images that would fill the memory (2^30 pixels, 2^20 a side).
        raise SourceError(f"{path}: too large: got more than 2^30 pixels, scale it down", SourceReason.CODEC) from None
    if image is None:
        raise SourceError(f"{path}: not an image, or damaged or cut off", SourceReason.NOT_MEDIA)
    return Picture(image)
