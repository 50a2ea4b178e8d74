"""A webcam, read through OpenCV.

One of the sources of capture. A webcam has no timestamps, so its frames are timed by their arrival.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.source import Picture, Pixels
from realtime.errors import SourceError, SourceReason, first_line
from realtime.redact import shown

# On Linux, webcam 0 is the file video0 in this folder. Other systems have no device files for webcams.
_DEVICES: Path | None = Path("/dev") if sys.platform == "linux" else None
# Drivers that don't know their rate report 0, -1 or nonsense.
_MAX_FPS = 1000.0
# Drivers round rates (30 for 29.97). The rate of another mode is further off (25 instead of 30).
_RATE_TOLERANCE = 0.1
# Conversions of the formats that drivers return instead of BGR, by number of channels.
_TO_BGR = {1: cv2.COLOR_GRAY2BGR, 2: cv2.COLOR_YUV2BGR_YUYV, 4: cv2.COLOR_BGRA2BGR}

# Called with (number or path, backend), returns an object like cv2.VideoCapture. Any, because OpenCV's own types are no
# more precise.
Opener = Callable[..., Any]


class WebcamSource:
    """An open webcam.

    Args:
        source: the number of the device, from 0, or the path of its device file.
        mode: WIDTHxHEIGHT or WIDTHxHEIGHT@FPS that the webcam must deliver; None: the driver's choice.
        opener: opens the device; tests pass a fake.
        devices: folder of the device files; None on a system that has none.

    Raises:
        SourceError: the webcam doesn't exist, can't be accessed, is used by another program or lacks this mode.
    """

    live = True
    prompt = False  # it has no timestamps

    def __init__(
        self,
        source: str,
        mode: str | None = None,
        opener: Opener = cv2.VideoCapture,
        devices: Path | None = _DEVICES,
    ) -> None:
        # For a missing device, OpenCV writes a dozen lines to stderr. Our own error says what a user needs in one line.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._name = f"webcam {shown(source)}"
        if devices is None:
            self._device = opener(int(source) if source.isdecimal() else source, cv2.CAP_ANY)
        else:
            # Name the backend: others would mistake the path for a video file.
            self._device = opener(str(_path_of(source, devices)), cv2.CAP_V4L2)
        try:
            if mode is not None:
                _ask_for(self._device, mode)
            # A device that another program uses may open, but then returns no frame.
            self._first = self._next()
            if self._first is None:
                raise _unavailable(source, devices)
            self.size = (self._first.shape[1], self._first.shape[0])
            fps = float(self._device.get(cv2.CAP_PROP_FPS))
            self.fps: float | None = fps if 0 < fps <= _MAX_FPS else None
            if mode is not None and not self._is_in(mode):
                got = f"{self.size[0]}x{self.size[1]}" + (f" at {self.fps:.4g} fps" if self.fps else "")
                raise SourceError(
                    f"{self._name}: mode: got {got}, expected {mode}: set another mode in cameras[].mode, or remove it",
                    SourceReason.MODE,
                )
        except BaseException:
            self.close()
            raise

    def read(self) -> Picture | None:
        """Return the next frame; blocks until the device has one.

        Raises:
            SourceError: the device returned no frame, which happens when it is unplugged, or one in an unknown format.
        """
        image, self._first = self._first, None
        if image is None:
            image = self._next()
        if image is None:
            raise SourceError(f"{self._name}: no frame received: was it unplugged?", SourceReason.LOST)
        return Picture(Pixels(image))

    def close(self) -> None:
        """Release the device."""
        self._device.release()

    def _next(self) -> NDArray[np.uint8] | None:
        """Return the device's next frame, uint8 (H, W, 3), BGR, C-contiguous; None if it returns none."""
        try:
            ok, image = self._device.read()
        except cv2.error as error:
            raise SourceError(
                f"{self._name}: the driver reports an error: {first_line(error)}", SourceReason.LOST
            ) from None
        return self._bgr(image) if ok and image is not None else None

    def _bgr(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Convert a frame to BGR. Drivers return other formats than they were asked for.

        Raises:
            SourceError: the format is unknown.
        """
        if image.dtype == np.uint8 and image.ndim in (2, 3) and image.size:
            channels = 1 if image.ndim == 2 else image.shape[2]
            with contextlib.suppress(cv2.error):  # YUYV of an odd width
                if channels == 3:
                    return np.ascontiguousarray(image)
                if channels in _TO_BGR:
                    return np.ascontiguousarray(cv2.cvtColor(image, _TO_BGR[channels]))
        raise SourceError(
            f"{self._name}: can't be decoded: got a frame of {image.dtype} {image.shape}, expected uint8 (H, W, 3)",
            SourceReason.CODEC,
        )

    def _is_in(self, mode: str) -> bool:
        """Whether the device delivers the size and rate of this mode. An unknown rate counts as a match."""
        width, height, fps = _parts_of(mode)
        rate_fits = fps is None or self.fps is None or abs(self.fps / fps - 1) <= _RATE_TOLERANCE
        return self.size == (width, height) and rate_fits


def _parts_of(mode: str) -> tuple[int, int, float | None]:
    """Return width and height in pixels, and the frames per second or None if the mode doesn't name them."""
    size, _, fps = mode.partition("@")
    width, height = size.split("x")
    return int(width), int(height), float(fps) if fps else None


def _ask_for(device: Any, mode: str) -> None:  # noqa: ANN401 - what an Opener returns
    """Request a mode from the driver. Its return values mean little: only the first frame shows what it does."""
    width, height, fps = _parts_of(mode)
    # MJPG first: uncompressed, large frames exceed the bandwidth of USB 2 and arrive slowly.
    device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    device.set(cv2.CAP_PROP_FRAME_WIDTH, width)
    device.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
    if fps is not None:
        device.set(cv2.CAP_PROP_FPS, fps)


def _path_of(source: str, devices: Path) -> Path:
    """Return the device file for the number or path of a webcam."""
    return devices / f"video{int(source)}" if source.isdecimal() else Path(source)


def _unavailable(source: str, devices: Path | None) -> SourceError:
    """Return the error for a webcam that delivers no frame, with the cause as far as its device file shows it."""
    if devices is None:
        why = "not available: check that it is plugged in, that no other program uses it, and that you may access it"
        return SourceError(f"webcam {shown(source)}: {why}", SourceReason.DEVICE)
    path = _path_of(source, devices)
    numbers = sorted(int(p.name[5:]) for p in devices.glob("video*") if p.name[5:].isdecimal())
    there = f"available: {', '.join(map(str, numbers))}" if numbers else "no webcam is available"
    if not path.exists():
        return SourceError(f"webcam {shown(source)}: no such device ({there})", SourceReason.MISSING)
    # OpenCV opens the device for writing too.
    if not os.access(path, os.R_OK | os.W_OK):
        why = 'permission denied: add your user to the group "video"'
        return SourceError(f"webcam {shown(source)}: {why}", SourceReason.PERMISSION)
    # Most webcams have a second number, which returns no frames.
    return SourceError(
        f"webcam {shown(source)}: no frame received: close other programs that use it, or try another number ({there})",
        SourceReason.DEVICE,
    )
