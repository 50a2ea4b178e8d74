"""One image, a folder of images or a pattern of images, in natural order: one picture of each file.

One of the sources of capture. Images have no timestamps, so they follow a nominal rate of IMAGES_PER_S.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.capture.folder import files_of
from realtime.capture.one_image import of_file
from realtime.capture.source import Fault, Picture, Pixels
from realtime.config import MOST_PIXELS
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.redact import shown

log = logging.getLogger(__name__)

# Assumed frame rate of the camera that filled a folder with images.
IMAGES_PER_S = 30.0

# What is wrong with images that can't be read, for the last line of a run.
_TROUBLES = {
    SourceReason.NOT_MEDIA: "damaged or not images",
    SourceReason.CODEC: "of kinds that can't be decoded",
    SourceReason.TOO_LARGE: "too large",
    SourceReason.MISSING: "missing",
    SourceReason.PERMISSION: "not readable for this user",
}

# A decoded picture, and how many others its file holds that are left out.
_Read = tuple[NDArray[np.uint8], int]


class ImagesSource:
    """Images, read one by one. An unreadable image counts as a frame with a fault, and reading continues.

    Args:
        source: path of an image or a folder, or a pattern.
        max_pixels: read no larger image.
        camera: name of the camera, for the log.

    Raises:
        SourceError: there is no image, or none that can be read.
    """

    live = False
    prompt = False

    def __init__(self, source: str, max_pixels: int = MOST_PIXELS, camera: str | None = None) -> None:
        self._source, self._camera = source, camera
        self._max_pixels = max_pixels
        named = files_of(source)
        self._paths = named.images
        self.length: int | None = len(self._paths)
        self._videos = named.videos
        self._place = 0
        self._unreadable: list[tuple[Path, SourceReason]] = []
        self._left_out: list[tuple[Path, int]] = []
        # The first readable image sets the size of the source. It is kept until its turn, since decoding may be slow.
        path, read = _first_of(self._paths, max_pixels)
        self._read_ahead = {path: read}
        self.size = (read[0].shape[1], read[0].shape[0])
        self.fps: float | None = IMAGES_PER_S

    def read(self) -> Picture | None:
        """Return the next image, or None after the last one.

        Raises:
            TruncatedError: the last image was returned, and some images could not be read.
        """
        if self._place == 0:
            self._warn_of_videos()
        if self._place == len(self._paths):
            self._check_all_were_read()
            return None
        path = self._paths[self._place]
        self._place += 1
        try:
            ahead = self._read_ahead.pop(path, None)
            image, others = ahead if ahead is not None else of_file(path, self._max_pixels)
        except SourceError as error:
            fault: Fault = "too large" if error.reason is SourceReason.TOO_LARGE else "undecodable"
            if not self._unreadable:
                extra = {"camera": self._camera, "cause": fault}
                log.warning("%s; continuing with the other images", error, extra=extra)
            self._unreadable.append((path, error.reason))
            return Picture(None, None, fault)
        if others:
            self._left_out.append((path, others))
        return Picture(Pixels(image))

    def close(self) -> None:
        """Say how many pictures were left out of the files that were read. No file stays open between images."""
        if self._left_out:
            log.warning(
                "%s: one picture of each file was read; other pictures left out: %d, in files: %d (the first is %s)",
                shown(self._source), sum(others for _, others in self._left_out), len(self._left_out),
                self._left_out[0][0].name, extra={"camera": self._camera},
            )  # fmt: skip
        self._left_out = []
        self._read_ahead = {}

    def _warn_of_videos(self) -> None:
        if self._videos:
            log.warning(
                "%s: only its images are read; videos left out: %d (the first is %s): give each its own --source",
                shown(self._source), len(self._videos), self._videos[0].name, extra={"camera": self._camera},
            )  # fmt: skip
        self._videos = []

    def _check_all_were_read(self) -> None:
        if self._unreadable:
            reasons = dict.fromkeys(_TROUBLES.get(reason, reason.value) for _, reason in self._unreadable)
            raise TruncatedError(
                f"{shown(self._source)}: {len(self._unreadable)} of {len(self._paths)} images can't be read "
                f"(the first is {self._unreadable[0][0].name}): {', '.join(reasons)}",
                SourceReason.CODEC,
            )


def _first_of(paths: list[Path], max_pixels: int) -> tuple[Path, _Read]:
    """Return the path of the first readable image, and its picture.

    Raises:
        SourceError: no file can be read; the error is that of the first file.
    """
    errors = []
    for path in paths:
        try:
            return path, of_file(path, max_pixels)
        except SourceError as error:
            errors.append(error)
    raise errors[0]
