"""The picture in the window of `--preview`: a tile for each camera, with its state.

Used by publish.preview.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.publish.annotate import annotate
from realtime.publish.draw import draw_notice
from realtime.skeleton import Skeleton
from realtime.types import Poses

# Colour of the wall and of a tile without a frame, BGR, and the gap (pixels) between tiles.
_GROUND, _TILE, _GAP = (20, 15, 11), (44, 34, 26), 4
# Cameras mostly have this aspect: the grid is chosen so that such tiles are as large as possible.
_ASPECT = 16 / 9
# Brightness of the picture of a camera that is not live, relative to the original.
_DIMMED = 0.35


@dataclass(frozen=True, slots=True)
class Tile:
    """A camera as it is shown.

    Attributes:
        camera: its name.
        poses: the frame shown, with its people; None before the first frame.
        is_live: whether the camera is live, and not a file.
        notice: the state in a few words, if the picture is not one of a running camera; else empty.
    """

    camera: str
    poses: Poses | None
    is_live: bool
    notice: str = ""


def grid(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the columns and rows with the largest tiles.

    >>> grid(1, (1280, 720)), grid(3, (1280, 720)), grid(20, (1280, 720)), grid(3, (400, 1200))
    ((1, 1), (2, 2), (4, 5), (1, 3))

    Args:
        count: number of tiles.
        size: width and height of the wall.
    """
    count = max(1, count)
    choices = [(columns, math.ceil(count / columns)) for columns in range(1, count + 1)]
    return max(choices, key=lambda choice: min(size[0] / choice[0] / _ASPECT, size[1] / choice[1]))


def render(
    tile: Tile, size: tuple[int, int], skeleton: Skeleton, labels: bool, motion: bool = False
) -> NDArray[np.uint8]:
    """Draw one tile, as large as fits into the size.

    Args:
        tile: the camera.
        size: width and height of its place on the wall.
        skeleton: names of the keypoints, and which ones to connect.
        labels: whether to write ids and captions.
        motion: whether to draw masks and what moves.

    Returns:
        uint8 (H, W, 3) BGR, at most of the size.
    """
    if tile.poses is None:
        image = np.full((size[1], size[0], 3), _TILE, np.uint8)
    else:
        width, height = tile.poses.frame.size
        image = annotate(tile.poses, skeleton, tile.is_live, min(size[0] / width, size[1] / height), labels, motion)
        image = image[: size[1], : size[0]]
        if tile.notice:
            image = cv2.convertScaleAbs(image, alpha=_DIMMED)
    if tile.notice:
        draw_notice(image, f"{tile.camera}: {tile.notice}")
    return image


def hang(pictures: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Put pictures side by side, each in the middle of its place.

    Args:
        pictures: uint8 (H, W, 3) BGR, each at most of `place(len(pictures), size)`.
        size: width and height of the wall.

    Returns:
        uint8 (H, W, 3) BGR of this size.
    """
    wall = np.full((size[1], size[0], 3), _GROUND, np.uint8)
    columns, _ = grid(len(pictures), size)
    wide, high = place(len(pictures), size)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        height, width = picture.shape[:2]
        left = column * (wide + _GAP) + (wide - width) // 2
        top = row * (high + _GAP) + (high - height) // 2
        wall[top : top + height, left : left + width] = picture
    return wall


def place(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height that each of `count` tiles has on a wall of this size, at least one pixel."""
    columns, rows = grid(count, size)
    wide, high = (size[0] - _GAP * (columns - 1)) // columns, (size[1] - _GAP * (rows - 1)) // rows
    return max(1, wide), max(1, high)
