"""Drawing of what the motion gate sees: the polygons in which motion is ignored, and the areas that move.

Used by publish.annotate (the window) and publish.jpeg (the pictures), to tune `mask` and `sensitivity` of a camera.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.types import Motion

# BGR. Neither is a colour of a person (publish.draw); the dark edge makes lines visible on light pictures.
_MASK, _EDGE, _MOVES, _DARK = (229, 62, 142), (255, 140, 195), (64, 255, 190), (12, 8, 4)
# Opacity of a mask, through which the picture can still be recognised.
_OPACITY = 0.45
# Width of a line in an image with a shorter side of 540 pixels; others in proportion.
_WIDTH = 2.4 / 540


def draw_motion(image: NDArray[np.uint8], motion: Motion, frame_size: tuple[int, int]) -> None:
    """Draw masks and moving areas on an image.

    >>> image = np.zeros((120, 160, 3), np.uint8)
    >>> corner = np.float32([[0, 0], [320, 0], [0, 240]])
    >>> draw_motion(image, Motion("active", np.zeros((0, 4), np.float32), 0.0, (corner,)), frame_size=(640, 480))
    >>> image[[10, 100], [10, 100]].any(axis=1).tolist()
    [True, False]

    Args:
        image: uint8 (H, W, 3) BGR, modified in place.
        motion: coordinates are pixels of the frame, and may lie outside it.
        frame_size: width and height of the frame, of which the image is a scaled copy.
    """
    height, width = image.shape[:2]
    scale = np.array([width / frame_size[0], height / frame_size[1]], np.float64)
    thick = max(1, round(min(width, height) * _WIDTH))
    polygons = [_pixels(corners * scale) for corners in motion.mask]
    if polygons:
        filled = image.copy()
        for polygon in polygons:  # one by one: together, areas in two of them would count as outside
            cv2.fillPoly(filled, [polygon], _MASK)
        cv2.addWeighted(filled, _OPACITY, image, 1 - _OPACITY, 0.0, dst=image)
    for paint, extra in ((_DARK, 2), (_EDGE, 0)):
        cv2.polylines(image, polygons, True, paint, thick + extra, cv2.LINE_AA)
    boxes = _pixels(motion.xyxy.reshape(-1, 2) * scale).reshape(-1, 4).tolist()
    for paint, extra in ((_DARK, 2), (_MOVES, 0)):
        for x1, y1, x2, y2 in boxes:
            cv2.rectangle(image, (x1, y1), (x2, y2), paint, thick + extra)


def _pixels(places: NDArray[np.float64]) -> NDArray[np.int32]:
    """The pixels (N, 2) at these places: the centre of the first one is at 0.5."""
    return np.floor(places).astype(np.int32)
