"""Frame numbers drawn into test frames as black and white blocks, and the times at which the frames left the camera.

The fake camera draws a number into each frame; tests read it from the frames that arrive in the pipeline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BITS = 16
# Height of a row of blocks, as a fraction of the frame's height. The first row has the bits, the second their inverses.
ROW = 1 / 14
# Least difference in brightness between a block and its inverse. In an intact frame it is 200 or more; in a damaged
# frame it can have any value.
MIN_CONTRAST = 80


@dataclass(frozen=True)
class Clock:
    """The camera's true clock, which tells when each frame leaves.

    `FakeCamera.clock_offset` does not change it, only the time that the camera reports to its clients.

    Args:
        began_mono_s: time at which frame 0 leaves, by time.monotonic(), which all processes of a machine share.
        began_unix_s: the same time by the wall clock.
        fps: frames per second.
        loop: length of the video in frames; frame k shows image k % loop.
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
        """Return the number k of the frame that shows image `index` and was received at `seen_mono_s`.

        It is the newest such frame that had left by then. The result is correct if the frame took less than loop / fps
        seconds to arrive.
        """
        newest = math.floor((seen_mono_s - self.began_mono_s) * self.fps + 0.01)
        return newest - (newest - index) % self.loop


def mark(image: NDArray[np.uint8], index: int) -> None:
    """Draw a number into the top seventh of an image.

    Args:
        image: uint8 (H, W, 3), BGR or RGB, changed in place. It needs at least 160 x 112 pixels, so that the blocks
            survive encoding.
        index: the number, 0..65535.
    """
    for bit in range(BITS):
        bright = 255 * (index >> bit & 1)
        for row, value in enumerate((bright, 255 - bright)):
            rows, columns = _block(image.shape, row, bit)
            image[rows, columns] = value


def index_of(image: NDArray[np.uint8]) -> int | None:
    """Read the number that `mark` drew. The image may have been scaled since, to a width of at least 160 pixels.

    Args:
        image: uint8 (H, W, 3), BGR or RGB.

    Returns:
        The number, or None if it can't be read reliably.
    """
    index = 0
    for bit in range(BITS):
        upper, lower = (_brightness(image, row, bit) for row in (0, 1))
        if abs(upper - lower) < MIN_CONTRAST:
            return None
        index |= (upper > lower) << bit
    return index


def _block(shape: tuple[int, ...], row: int, bit: int, margin: float = 0.0) -> tuple[slice, slice]:
    """Return the rows and columns of a block, less a margin on each side (a fraction of its width and height)."""
    height, width = ROW * shape[0], shape[1] / BITS
    return (
        slice(round((row + margin) * height), round((row + 1 - margin) * height)),
        slice(round((bit + margin) * width), round((bit + 1 - margin) * width)),
    )


def _brightness(image: NDArray[np.uint8], row: int, bit: int) -> float:
    return float(image[_block(image.shape, row, bit, margin=0.3)].mean())
