"""A webcam, read through OpenCV.

One of the sources of capture. It has no time stamps: its pictures are timed by their arrival.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2

from realtime.capture.source import Picture
from realtime.errors import SourceError, SourceReason

# Drivers that don't know their rate report 0, -1 or nonsense.
_MAX_FPS = 1000.0

# Any: OpenCV ships no types; called with the device's number it returns something like cv2.VideoCapture.
Opener = Callable[[int], Any]


class WebcamSource:
    """An open webcam.

    Args:
        index: the device's number, from 0.
        opener: opens the device; a fake in tests.

    Raises:
        SourceError: there is no such webcam, or another program uses it.
    """

    live = True

    def __init__(self, index: int, opener: Opener = cv2.VideoCapture) -> None:
        # OpenCV writes a dozen lines to stderr for a missing device; what a user needs is in our one line.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._index = index
        self._device = opener(index)
        if not self._device.isOpened():
            self._device.release()
            raise SourceError(
                f"webcam {index}: not available: is it plugged in, used by no other program, and may you read it?",
                SourceReason.DEVICE,
            )
        self.size = (int(self._device.get(cv2.CAP_PROP_FRAME_WIDTH)), int(self._device.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        fps = float(self._device.get(cv2.CAP_PROP_FPS))
        self.fps: float | None = fps if 0 < fps <= _MAX_FPS else None

    def read(self) -> Picture | None:
        """The next picture; blocks until the device has one.

        Raises:
            SourceError: the device gave none: it was unplugged.
        """
        ok, image = self._device.read()
        if not ok:
            raise SourceError(f"webcam {self._index}: gave no picture: was it unplugged?", SourceReason.LOST)
        return Picture(image)

    def close(self) -> None:
        """Release the device."""
        self._device.release()
