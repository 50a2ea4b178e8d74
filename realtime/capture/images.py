"""One image, a folder of images or a glob of images, in natural order.

One of the sources of capture. Images have no time stamps: they are shown at IMAGES_PER_S on a nominal time line.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.source import Picture
from realtime.errors import SourceError, SourceReason, TruncatedError

log = logging.getLogger(__name__)

# What OpenCV's wheels decode and cameras or people write. A .gif is a video here.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2"})

# The rate at which a folder of images is taken to have been filled: that of an ordinary camera.
IMAGES_PER_S = 30.0


class ImagesSource:
    """Images read one by one. One that can't be read is a picture without an image; the others go on.

    Args:
        source: path of an image or a folder, or a glob. Of a folder, the files that are named like images are read.

    Raises:
        SourceError: nothing is there, or no image can be read.
    """

    live = False

    def __init__(self, source: str) -> None:
        self._source = source
        self._paths = _paths_of(source)
        self._place = 0
        self._unreadable: list[Path] = []
        # Read here, since its size is the source's; kept until its turn, since large ones take long.
        path, image = _first_of(self._paths)
        self._read_ahead = {path: image}
        self.size = (image.shape[1], image.shape[0])
        self.fps: float | None = IMAGES_PER_S

    def read(self) -> Picture | None:
        """The next image, or None after the last.

        Raises:
            TruncatedError: some images could not be read; all the others were.
        """
        if self._place == len(self._paths):
            self._check_all_were_read()
            return None
        path = self._paths[self._place]
        self._place += 1
        try:
            return Picture(self._read_ahead.pop(path) if path in self._read_ahead else _read(path))
        except SourceError as error:
            if not self._unreadable:
                log.warning("%s; the other images go on", error)
            self._unreadable.append(path)
            return Picture(None, None, "undecodable")

    def close(self) -> None:
        """Nothing is kept open between images."""

    def _check_all_were_read(self) -> None:
        if self._unreadable:
            raise TruncatedError(
                f"{self._source}: {len(self._unreadable)} of {len(self._paths)} images can't be read, "
                f"the first is {self._unreadable[0].name}: damaged or not images",
                SourceReason.CODEC,
            )


def natural_key(path: Path) -> tuple[list[int | str], str]:
    """Sorts numbers within names by value: img2 before img10."""
    parts = re.split(r"(\d+)", str(path))
    # The parts between numbers stand at even places: numbers are compared with numbers alone.
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)], str(path)


def _paths_of(source: str) -> list[Path]:
    """The files that a source names, sorted, at least one."""
    path = Path(source)
    try:
        return _found(path, source)
    except ValueError as error:  # what pathlib says of "**x"
        raise SourceError(f"{source}: no pattern of files: {error}", SourceReason.MISSING) from None
    except OSError as error:
        raise SourceError(f"{source}: can't be read: {error.strerror}", SourceReason.PERMISSION) from None


def _found(path: Path, source: str) -> list[Path]:
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


def _first_of(paths: list[Path]) -> tuple[Path, NDArray[np.uint8]]:
    """The first image that can be read, and its file.

    Raises:
        SourceError: why the first file can't be read, if none can.
    """
    errors = []
    for path in paths:
        try:
            return path, _read(path)
        except SourceError as error:
            errors.append(error)
    raise errors[0]


def _read(path: Path) -> NDArray[np.uint8]:
    """One image file, uint8 (H, W, 3), BGR, turned as its EXIF orientation says."""
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
        image: NDArray[np.uint8] | None = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        # The one way it raises: its guard against images that would fill the memory (2^30 pixels, 2^20 a side).
        raise SourceError(f"{path}: too large: got more than 2^30 pixels, scale it down", SourceReason.CODEC) from None
    if image is None:
        raise SourceError(f"{path}: not an image, or damaged or cut off", SourceReason.NOT_MEDIA)
    return image
