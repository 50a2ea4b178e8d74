"""A webcam, read through OpenCV.

One of the sources of capture. It has no time stamps: its pictures are timed by their arrival.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.source import Picture
from realtime.errors import SourceError, SourceReason

# Linux keeps webcam 0 as video0 in here; other systems have no files for webcams.
_DEVICES: Path | None = Path("/dev") if sys.platform == "linux" else None
# Drivers that don't know their rate report 0, -1 or nonsense.
_MAX_FPS = 1000.0
# Drivers round rates (30 for 29.97); another mode's is further away (25 for 30).
_RATE_TOLERANCE = 0.1
# What drivers give instead of BGR, by its number of channels.
_TO_BGR = {1: cv2.COLOR_GRAY2BGR, 2: cv2.COLOR_YUV2BGR_YUYV, 4: cv2.COLOR_BGRA2BGR}

# Called with (number or path, backend), gives something like cv2.VideoCapture. Any: OpenCV's types say less than that.
Opener = Callable[..., Any]


class WebcamSource:
    """An open webcam.

    Args:
        source: the device's number, from 0, or the path of its device file.
        mode: WIDTHxHEIGHT or WIDTHxHEIGHT@FPS that it must give; None: the driver's choice.
        opener: opens the device; a fake in tests.
        devices: folder of the device files; None on a system that has none.

    Raises:
        SourceError: there is no such webcam, it may not be read, another program uses it, or it hasn't got this mode.
    """

    live = True

    def __init__(
        self,
        source: str,
        mode: str | None = None,
        opener: Opener = cv2.VideoCapture,
        devices: Path | None = _DEVICES,
    ) -> None:
        # OpenCV writes a dozen lines to stderr for a missing device; what a user needs is in our one line.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._name = f"webcam {source}"
        if devices is None:
            self._device = opener(int(source) if source.isdecimal() else source, cv2.CAP_ANY)
        else:
            # The backend is named, since others take a path for a video file's.
            self._device = opener(str(_path_of(source, devices)), cv2.CAP_V4L2)
        if mode is not None:
            _ask_for(self._device, mode)
        # A device that another program uses may open, and gives no picture.
        self._first = self._next()
        if self._first is None:
            self.close()
            raise _unavailable(source, devices)
        self.size = (self._first.shape[1], self._first.shape[0])
        fps = float(self._device.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = fps if 0 < fps <= _MAX_FPS else None
        if mode is not None and not self._is_in(mode):
            self.close()
            got = f"{self.size[0]}x{self.size[1]}" + (f" at {self.fps:.4g} fps" if self.fps else "")
            raise SourceError(
                f"{self._name}: mode: got {got}, expected {mode}: ask for another in cameras[].mode, or leave it out",
                SourceReason.MODE,
            )

    def read(self) -> Picture | None:
        """The next picture; blocks until the device has one.

        Raises:
            SourceError: the device gave none: it was unplugged.
        """
        image, self._first = self._first, None
        if image is None:
            image = self._next()
        if image is None:
            raise SourceError(f"{self._name}: gave no picture: was it unplugged?", SourceReason.LOST)
        return Picture(image)

    def close(self) -> None:
        """Release the device."""
        self._device.release()

    def _next(self) -> NDArray[np.uint8] | None:
        """The device's next picture, uint8 (H, W, 3), BGR, C-contiguous; None if it gives none."""
        ok, image = self._device.read()
        if not ok:
            return None
        channels = 1 if image.ndim == 2 else image.shape[2]
        return np.ascontiguousarray(image if channels == 3 else cv2.cvtColor(image, _TO_BGR[channels]))

    def _is_in(self, mode: str) -> bool:
        """Whether size and rate are those of the mode; a rate that the driver doesn't know is believed."""
        width, height, fps = _parts_of(mode)
        rate_fits = fps is None or self.fps is None or abs(self.fps / fps - 1) <= _RATE_TOLERANCE
        return self.size == (width, height) and rate_fits


def _parts_of(mode: str) -> tuple[int, int, float | None]:
    """Width and height in pixels, and pictures per second if they are in the mode's text."""
    size, _, fps = mode.partition("@")
    width, height = size.split("x")
    return int(width), int(height), float(fps) if fps else None


def _ask_for(device: Any, mode: str) -> None:  # noqa: ANN401 - what an Opener gives
    """Ask the driver for a mode. Its answers mean little: what it does is seen in the first picture."""
    width, height, fps = _parts_of(mode)
    # First, since large pictures come slowly otherwise: uncompressed they don't fit through USB 2.
    device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    device.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    device.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    if fps is not None:
        device.set(cv2.CAP_PROP_FPS, fps)


def _path_of(source: str, devices: Path) -> Path:
    """The device file of a webcam's number or path."""
    return devices / f"video{int(source)}" if source.isdecimal() else Path(source)


def _unavailable(source: str, devices: Path | None) -> SourceError:
    """Why a webcam gives no picture, as far as its device file tells."""
    if devices is None:
        why = "not available: is it plugged in, used by no other program, and may you read it?"
        return SourceError(f"webcam {source}: {why}", SourceReason.DEVICE)
    path = _path_of(source, devices)
    numbers = sorted(int(p.name[5:]) for p in devices.glob("video*") if p.name[5:].isdecimal())
    there = f"there are {', '.join(map(str, numbers))}" if numbers else "there is none"
    if not path.exists():
        return SourceError(f"webcam {source}: no such device: {there}", SourceReason.MISSING)
    # OpenCV opens it for writing too.
    if not os.access(path, os.R_OK | os.W_OK):
        why = 'permission denied: add your user to the group "video"'
        return SourceError(f"webcam {source}: {why}", SourceReason.PERMISSION)
    # Most webcams have a second number, which gives no pictures.
    return SourceError(
        f"webcam {source}: gives no picture: used by another program? If not, try another: {there}", SourceReason.DEVICE
    )
