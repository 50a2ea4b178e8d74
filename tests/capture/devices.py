"""Fake webcams that can be plugged in, unplugged and made to fail; they replace /dev and cv2.VideoCapture."""

import threading
from pathlib import Path

import cv2
import numpy as np


class FakeDevices:
    """A folder like /dev, and an `open` method that replaces cv2.VideoCapture.

    Attributes:
        opened: every device that was opened, in order.
        busy: numbers of the webcams that another program uses. They open but return no frame.
        read_s: how long (s) each read takes.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.opened: list[FakeDevice] = []
        self.busy: set[int] = set()
        self.read_s = 0.0
        self._plugged: dict[str, tuple] = {}

    def plug(self, number=0, modes=((64, 48, 30.0),), pixel=None):
        """Plug in a webcam that falls back to the first of `modes` and fills its frames with `pixel`."""
        path = self.folder / f"video{number}"
        path.touch()
        self._plugged[str(path)] = (number, modes, pixel)
        return str(path)

    def unplug(self, number=0):
        path = self.folder / f"video{number}"
        path.unlink()
        del self._plugged[str(path)]

    def gives(self, path):
        return path in self._plugged and self._plugged[path][0] not in self.busy

    def open(self, path, backend):
        assert backend == cv2.CAP_V4L2
        path = str(Path(path).resolve())
        _, modes, pixel = self._plugged.get(path, (0, ((0, 0, 0.0),), None))
        self.opened.append(FakeDevice(self, path, modes, pixel))
        return self.opened[-1]


class FakeDevice:
    """Like cv2.VideoCapture. Each frame is filled with its number, from 1, unless `pixel` is set."""

    def __init__(self, devices, path, modes, pixel):
        self._devices, self._path, self._modes, self._pixel = devices, path, modes, pixel
        self.asked: dict[int, float] = {}  # in order
        self.released, self._count = False, 0

    def set(self, key, value):
        self.asked[key] = value
        return True

    def get(self, key):
        assert key == cv2.CAP_PROP_FPS
        return self._mode()[2]

    def read(self):
        threading.Event().wait(self._devices.read_s)
        if self.released or not self._devices.gives(self._path):
            return False, None
        width, height, _ = self._mode()
        self._count += 1
        pixel = [self._count] * 3 if self._pixel is None else self._pixel
        return True, np.full((height, width, *np.shape(pixel)), pixel, np.uint8)

    def release(self):
        self.released = True

    def _mode(self):
        keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        for mode in self._modes:
            if all(self.asked.get(key, value) == value for key, value in zip(keys, mode, strict=True)):
                return mode
        return self._modes[0]
