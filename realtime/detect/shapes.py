"""The shapes of the detector's input: which are compiled, which one comes next, and which are dropped.

detect/stage.py asks for the placement of each frame; realtime.tuning compiles the shape that is due. Compiling the
network for a shape takes from a tenth of a second to several seconds, and tens of megabytes. A live camera's thread
must not wait for that, because its video would pile up in the meantime, and a camera that keeps changing its aspect
ratio must neither fill the memory nor occupy the cores. Therefore, frames of a live camera go into the nearest compiled
shape until their own is compiled.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from realtime.detect.letterbox import Letterbox
from realtime.types import Frame

# Width and height in pixels: of a frame, or of the network's input.
Size = tuple[int, int]

# For each live camera, a shape is compiled at most once in this time (s).
COMPILE_EVERY_S = 10.0
# This many shapes that no open camera needs are kept, the most recently used ones. Without live cameras, more are kept,
# because frames of files go into their own shapes, and a folder of photographs has about ten shapes in random order.
SPARE, SPARE_OF_FILES = 4, 12


@dataclass(slots=True)
class _Camera:
    frame_size: Size | None  # None: the camera is not open
    exact: bool  # its frames always go into their own shape
    shapes: list[Size]  # its own, one for each side in `Shapes._sides`
    served_s: float = float("-inf")  # when a shape was last compiled for it (monotonic seconds)
    served_size: Size | None = None  # the size of its frames then


class Shapes:
    """The compiled shapes of one network, and the cameras that need them. All methods may be called from any thread.

    Args:
        stride: the sides of the network's input are multiples of this.
        side: longer side of the input in pixels.
        drop: called with each shape that is no longer kept, while no frame uses it. It must be quick.

    Example:
        >>> shapes = Shapes(stride=32, side=640)
        >>> shapes.add((640, 384))
        >>> shapes.need("cam0", (480, 640), exact=False)
        >>> shapes.due(now_s=0.0)
        ('cam0', (480, 640))
        >>> import numpy as np
        >>> frame = Frame("cam0", 0, 0, np.zeros((640, 480, 3), np.uint8), 0.0, 0, 0)
        >>> shapes.place(frame, 640).input_size
        (640, 384)
        >>> shapes.add((480, 640))
        >>> shapes.place(frame, 640).input_size
        (480, 640)
    """

    def __init__(self, stride: int, side: int, drop: Callable[[Size], None] = lambda shape: None) -> None:
        self._stride, self._drop = stride, drop
        self._sides: Sequence[int] = (side,)
        self._cameras: dict[str, _Camera] = {}
        self._compiled: dict[Size, None] = {}  # the shape used last comes last
        self._used: Counter[Size] = Counter()  # how many frames are in each shape now
        self._lock = threading.Lock()

    @property
    def compiled(self) -> set[Size]:
        """The shapes that the network is compiled for."""
        with self._lock:
            return set(self._compiled)

    def need(self, camera: str, frame_size: Size | None, exact: bool) -> None:
        """Record the size of a camera's frames, before the first frame of this size.

        Args:
            camera: the camera's name.
            frame_size: width and height in pixels; None: the camera has ended.
            exact: whether its frames always go into their own shape, even if that has to be compiled first.
        """
        with self._lock:
            known = self._cameras.get(camera)
            if known is not None:
                known.frame_size, known.shapes = frame_size, self._own(frame_size)
                known.exact = exact if frame_size else known.exact
            elif frame_size is not None:
                self._cameras[camera] = _Camera(frame_size, exact, self._own(frame_size))

    def forget(self, camera: str) -> None:
        """Drop the state of a camera, once no frame of it is in the pipeline."""
        with self._lock:
            self._cameras.pop(camera, None)
            self._tidy()

    def set_sides(self, *sides: int) -> None:
        """Set the longer sides (pixels) for which cameras need shapes: the current and, before a change, the next."""
        with self._lock:
            self._sides = sides
            for camera in self._cameras.values():
                camera.shapes = self._own(camera.frame_size)
            self._tidy()

    def missing(self, camera: str) -> list[Size]:
        """Return the shapes that this camera needs and that are not compiled yet."""
        with self._lock:
            return self._missing(self._cameras[camera]) if camera in self._cameras else []

    def due(self, now_s: float) -> tuple[str, Size] | None:
        """Return the camera whose turn it is, and the shape to compile for it; None if nothing should be compiled now.

        Args:
            now_s: monotonic seconds.
        """
        with self._lock:
            for name, camera in sorted(self._cameras.items(), key=lambda item: item[1].served_s):
                may_ask = camera.exact or camera.frame_size == camera.served_size  # the latter: for another side
                missing = self._missing(camera)
                if missing and (may_ask or now_s - camera.served_s >= COMPILE_EVERY_S):
                    return name, missing[0]
        return None

    def began(self, camera: str, shape: Size, now_s: float) -> None:
        """Record that the shape that `due` returned for this camera is being compiled, since `now_s`."""
        with self._lock:
            if camera in self._cameras:
                served = self._cameras[camera]
                served.served_s = now_s
                served.served_size = served.frame_size if shape in served.shapes else None  # it may have changed since

    def add(self, shape: Size) -> None:
        """Record that the network is compiled for this shape."""
        with self._lock:
            self._add(shape)

    def place(self, frame: Frame, side: int) -> Letterbox:
        """Choose where a frame goes: into its own shape, or else into the nearest compiled one.

        The nearest shape is the one that scales the frame down least, and among equals the smallest. The frame is never
        larger in it than in its own shape. The chosen shape is kept until `done`.

        Args:
            frame: the frame. A camera that `need` doesn't know is exact.
            side: longer side of the frame's own shape in pixels.

        Returns:
            The frame's place in the chosen shape (`input_size`). Pass it to `done` once the network has processed it.
        """
        own = Letterbox.of(frame.size, side, self._stride)
        with self._lock:
            camera, placement = self._cameras.get(frame.camera), own
            if camera is not None and not camera.exact and self._compiled and own.input_size not in self._compiled:
                others = [Letterbox.of(frame.size, side, self._stride, shape) for shape in self._compiled]
                placement = max(others, key=_closeness)
            self._used[placement.input_size] += 1
        return placement

    def done(self, placement: Letterbox) -> None:
        """Record that the network has processed a frame that `place` placed."""
        with self._lock:
            self._used -= Counter([placement.input_size])
            self._add(placement.input_size)

    def _add(self, shape: Size) -> None:
        self._compiled.pop(shape, None)
        self._compiled[shape] = None
        self._tidy()

    def _tidy(self) -> None:
        """Drop the shapes that no open camera needs and no frame is in, except the most recently used ones."""
        spare = SPARE_OF_FILES if all(camera.exact for camera in self._cameras.values()) else SPARE
        if len(self._compiled) <= spare:
            return
        needed = {shape for camera in self._cameras.values() for shape in camera.shapes}
        others = [shape for shape in self._compiled if shape not in needed]
        for shape in others[: max(0, len(others) - spare)]:
            if not self._used[shape]:
                del self._compiled[shape]
                self._drop(shape)

    def _missing(self, camera: _Camera) -> list[Size]:
        return [shape for shape in camera.shapes if shape not in self._compiled]

    def _own(self, frame_size: Size | None) -> list[Size]:
        if frame_size is None:
            return []
        return [Letterbox.of(frame_size, side, self._stride).input_size for side in self._sides]


def _closeness(placement: Letterbox) -> tuple[float, int]:
    """Rank a placement: the larger the frame, the better, and then the smaller the input."""
    (width, _), (input_width, input_height) = placement.scaled_size, placement.input_size
    return width / placement.frame_size[0], -input_width * input_height
