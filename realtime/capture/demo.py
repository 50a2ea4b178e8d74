"""The built-in demo source: real people, without a camera or a network.

One of the sources of capture. A virtual camera moves over a wall that shows the two photographs shipped with
ultralytics (bus.jpg and zidane.jpg). The demo never ends. It repeats seamlessly every DEMO_FRAMES frames (20 s).

Five people are always in view, and yolov8n detects each of them in every frame, with scores of at least 0.42. The left
edge of bus.jpg also shows the sleeve of a sixth person, which no detector finds reliably. The crop removes almost all
of it.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.source import Picture, Pixels
from realtime.errors import SourceError, SourceReason

DEMO_SIZE = (1280, 720)
DEMO_FPS = 30.0
DEMO_FRAMES = 600

# Colour of the wall, BGR: dark and plain, so that no detector finds a person on it.
_WALL = (64, 58, 52)


class _Photograph(NamedTuple):
    file: str
    cut: tuple[int, int, int, int]  # x1, y1, x2, y2 in the photograph's pixels: the part shown
    scale: float
    corner: tuple[int, int]  # x, y of its top left corner on the canvas, in pixels
    people: tuple[tuple[int, int, int, int], ...]  # xyxy in the photograph's pixels, as yolov8n finds them at size 640


_PHOTOGRAPHS = (
    _Photograph(
        "bus.jpg",
        (46, 250, 810, 930),
        0.72,
        (113, 115),
        ((49, 399, 245, 903), (222, 406, 345, 858), (669, 392, 810, 877)),
    ),
    _Photograph("zidane.jpg", (100, 0, 1150, 720), 0.46, (683, 200), ((115, 197, 1114, 712), (748, 42, 1143, 713))),
)

# The camera's path. Each motion completes a whole number of periods per loop, so the end of the loop joins its start.
# The fastest point of a person moves 3 pixels per frame, like a person who walks past at some distance.
_PAN_X, _PAN_X_PERIODS = 80.0, 3
_PAN_Y, _PAN_Y_PERIODS = 70.0, 2
_ZOOM, _ZOOM_PERIODS = 0.04, 1


def demo_motion(k: int) -> NDArray[np.float64]:
    """Return the matrix that maps the canvas to frame k, as seen by the virtual camera.

    Args:
        k: frame index, any integer.

    Returns:
        float64 (2, 3): maps a point of the canvas to the frame by M @ (x, y, 1). Both are in pixels, with the origin at
        the top left, x right and y down. Scale and translation only.
    """
    turn = 2.0 * math.pi * (k % DEMO_FRAMES) / DEMO_FRAMES
    zoom = 1.0 + _ZOOM * math.sin(_ZOOM_PERIODS * turn)
    center_x, center_y = DEMO_SIZE[0] / 2.0, DEMO_SIZE[1] / 2.0
    shift_x = center_x + _PAN_X * math.sin(_PAN_X_PERIODS * turn) - zoom * center_x
    shift_y = center_y + _PAN_Y * math.sin(_PAN_Y_PERIODS * turn) - zoom * center_y
    return np.array([[zoom, 0.0, shift_x], [0.0, zoom, shift_y]])


def demo_frame(k: int) -> NDArray[np.uint8]:
    """Return frame k of the demo, which depends on k alone.

    Args:
        k: frame index, any integer; k and k + DEMO_FRAMES are the same frame.

    Returns:
        uint8 (720, 1280, 3), BGR.

    Raises:
        SourceError: the photographs are not installed.
    """
    image: NDArray[np.uint8] = cv2.warpAffine(
        demo_canvas(), demo_motion(k), DEMO_SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return image


def demo_people() -> NDArray[np.float32]:
    """Return the boxes of the five people on the canvas, as yolov8n finds them: float32 (5, 4), xyxy in pixels."""
    boxes = []
    for photograph in _PHOTOGRAPHS:
        shift = np.array(photograph.corner * 2) - np.array(photograph.cut[:2] * 2) * photograph.scale
        boxes.append(np.array(photograph.people) * photograph.scale + shift)
    return np.concatenate(boxes).astype(np.float32)


# A canvas that came with exported networks, for an installation without the photographs; at most one.
_offered: list[NDArray[np.uint8]] = []


def offer_canvas(canvas: NDArray[np.uint8]) -> None:
    """Use this canvas, uint8 (720, 1280, 3), if the photographs are not installed. The first one that is offered stays.

    realtime.loading offers the image that exported networks are tested with.
    """
    if not _offered and canvas.shape == (DEMO_SIZE[1], DEMO_SIZE[0], 3):
        _offered.append(canvas)


@functools.cache
def demo_canvas() -> NDArray[np.uint8]:
    """Return the wall with the photographs: uint8 (720, 1280, 3), BGR, read-only.

    Raises:
        SourceError: the photographs are not installed, and no canvas was offered.
    """
    folder = _photograph_folder()
    if folder is None:
        if not _offered:
            raise SourceError(f"demo: needs the photographs of ultralytics; {_REMEDY}", SourceReason.MISSING)
        return _offered[0]
    canvas = np.full((DEMO_SIZE[1], DEMO_SIZE[0], 3), _WALL, np.uint8)
    for photograph in _PHOTOGRAPHS:
        image = cv2.imread(str(folder / photograph.file), cv2.IMREAD_COLOR)
        if image is None:
            raise SourceError(f"demo: {folder / photograph.file} can't be read; {_REMEDY}", SourceReason.MISSING)
        x1, y1, x2, y2 = photograph.cut
        # INTER_AREA averages, so the smaller image has no aliasing.
        small = cv2.resize(
            image[y1:y2, x1:x2], None, fx=photograph.scale, fy=photograph.scale, interpolation=cv2.INTER_AREA
        )
        x, y = photograph.corner
        canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
    canvas.setflags(write=False)
    return canvas


class DemoSource:
    """The demo as a source. Its timestamps follow its own clock: frame k is stamped k / 30 s.

    >>> source = DemoSource()
    >>> first, second = source.read(), source.read()
    >>> first.decoded.size, first.media_s, round(second.media_s, 3)
    ((1280, 720), 0.0, 0.033)

    Args:
        shows_clock: have Unix time drawn into each frame (`demo:clock`), by capture.camera: only there is known when a
            paced frame is due.
    """

    live = False
    prompt = False

    def __init__(self, *, shows_clock: bool = False) -> None:
        demo_canvas()
        self._shows_clock = shows_clock
        self.size = DEMO_SIZE
        self.fps: float | None = DEMO_FPS
        self._next = 0

    def read(self) -> Picture | None:
        """Return the next frame. The demo never ends, so this is never None."""
        k, self._next = self._next, self._next + 1
        return Picture(Pixels(demo_frame(k)), media_s=k / DEMO_FPS, shows_clock=self._shows_clock)

    def close(self) -> None:
        """Do nothing: the demo holds no resource."""


_REMEDY = "install the extra: pip install 'realtime-pose[run]', or use exported networks, which bring them"


def _photograph_folder() -> Path | None:
    """Return the folder of ultralytics' photographs without importing ultralytics, which would import torch."""
    spec = importlib.util.find_spec("ultralytics")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "assets"
