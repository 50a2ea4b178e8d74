"""The number that a test picture carries in itself, as black and white blocks, and when the picture left the camera.

The fake camera draws it, a test reads it from whatever came out at the other end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 16
# Of the picture's height, for each of two rows of blocks: the bits, and below them their opposites as a check.
ROW = 1 / 14
# Black and white blocks of a good picture differ by 200 and more, those of a torn one by anything.
MIN_CONTRAST = 80


@dataclass(frozen=True)
class Clock:
    """When which frame leaves. The camera's true clock: `clock_offset` changes only what it tells its clients.

    Args:
        began_mono_s: when frame 0 leaves, time.monotonic(), which all processes of a machine share.
        began_unix_s: the same on the wall clock.
        loop: picture k % loop is shown in frame k.
    """

    began_mono_s: float
    began_unix_s: float
    fps: int
    loop: int

    def left_mono_s(self, k: int) -> float:
        return self.began_mono_s + k / self.fps

    def left_unix_s(self, k: int) -> float:
        return self.began_unix_s + k / self.fps

    def number(self, index: int, seen_mono_s: float) -> int:
        """k of the picture with this index that was seen then: the newest that had left by then.

        Right as long as the picture was underway for less than loop / fps seconds.
        """
        newest = math.floor((seen_mono_s - self.began_mono_s) * self.fps + 0.01)
        return newest - (newest - index) % self.loop


def mark(image: NDArray[np.uint8], index: int) -> None:
    """Draw a number into the upper seventh of a picture.

    Args:
        image: (H, W, 3) BGR or RGB, at least 160 x 112 pixels so that the blocks survive coding. Changed in place.
        index: 0 .. 65535.
    """
    for bit in range(BITS):
        bright = 255 * (index >> bit & 1)
        for row, value in enumerate((bright, 255 - bright)):
            rows, columns = _block(image.shape, row, bit)
            image[rows, columns] = value


def index_of(image: NDArray[np.uint8]) -> int | None:
    """The number that `mark` drew, also after scaling of the whole picture to 160 pixels' width and more.

    Args:
        image: (H, W, 3) BGR or RGB.

    Returns:
        The number, or None where it can't be read for certain.
    """
    index = 0
    for bit in range(BITS):
        upper, lower = (_brightness(image, row, bit) for row in (0, 1))
        if abs(upper - lower) < MIN_CONTRAST:
            return None
        index |= (upper > lower) << bit
    return index


def _block(shape: tuple[int, ...], row: int, bit: int, margin: float = 0.0) -> tuple[slice, slice]:
    """Where a block lies, without a margin (a part of its width and height) on each side."""
    height, width = ROW * shape[0], shape[1] / BITS
    return (
        slice(round((row + margin) * height), round((row + 1 - margin) * height)),
        slice(round((bit + margin) * width), round((bit + 1 - margin) * width)),
    )


def _brightness(image: NDArray[np.uint8], row: int, bit: int) -> float:
    return float(image[_block(image.shape, row, bit, margin=0.3)].mean())
