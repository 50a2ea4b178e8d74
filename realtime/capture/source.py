"""The interface of every source: a source is open once constructed, returns its frames one by one, and must be closed.

Implemented by stream, hls, snapshot, webcam, images and demo; used only by capture.camera. Sources know nothing about
camera names, epochs or the pacing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.view import Box, crop
from realtime.config import IdleDecode
from realtime.types import Clock

# Why a frame from a source can't be used; also the cause under which it is counted as dropped.
Fault = Literal["corrupt", "undecodable", "no time stamp", "too large", "waiting for a key frame", "idle"]


class Decoded(Protocol):
    """A decoded picture that is converted only when it is needed, on any thread, also after its source was closed.

    Attributes:
        size: width and height in pixels of the upright picture.
    """

    size: tuple[int, int]

    def bgr(self) -> NDArray[np.uint8]:
        """Return the picture as uint8 (H, W, 3), BGR, C-contiguous, upright as a viewer shows it.

        Raises:
            SourceError: its pixel format can't be converted.
        """
        ...

    def luma(self, scale: float, box: Box | None = None) -> NDArray[np.uint8]:
        """Return its brightness, scaled down.

        Args:
            scale: of the result, 0..1.
            box: the part of the upright picture that is wanted, x1, y1, x2, y2 in pixels; None: all of it.

        Returns:
            uint8 (h, w), upright, at least 1 x 1. Each value is the mean of the pixels that it stands for.

        Raises:
            SourceError: its pixel format can't be converted.
        """
        ...


class Pixels:
    """A picture that is BGR already.

    >>> pixels = Pixels(np.full((480, 640, 3), 80, np.uint8))
    >>> pixels.size, pixels.luma(0.25).shape
    ((640, 480), (120, 160))
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        """Wrap uint8 (H, W, 3), BGR, C-contiguous, upright."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"Pixels.image: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
        self._image = image
        self.size = image.shape[1], image.shape[0]

    def bgr(self) -> NDArray[np.uint8]:
        """Return the picture itself."""
        return self._image

    def luma(self, scale: float, box: Box | None = None) -> NDArray[np.uint8]:
        """Return its brightness, scaled down: uint8 (h, w)."""
        image = self._image if box is None else crop(self._image, box)
        return np.asarray(cv2.cvtColor(scaled_down(image, scale), cv2.COLOR_BGR2GRAY), np.uint8)


# OpenCV averages blocks of 2 x 2 pixels much faster than it scales by a fraction: 1080p to 178x100 in 0.2 ms, not 2.1.
# Halving further would lose sharpness: 2 to 4 pixels must be left for each pixel of the result. Below this side
# (pixels), halving saves nothing.
_LEFT_AFTER_HALVING = 4
_WORTH_HALVING = 256


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the width and height of a picture of this size that is scaled: at least one pixel each."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def scaled_down(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Scale uint8 (H, W) or (H, W, 3) by a factor of at most 1; each result is the mean of its pixels.

    At the right and the lower edge of a large image with odd sides, up to 1 % of it may be left out.
    """
    width, height = scaled_size((image.shape[1], image.shape[0]), scale)
    least_rows, least_columns = (max(_WORTH_HALVING, _LEFT_AFTER_HALVING * side) for side in (height, width))
    while image.shape[0] >= least_rows and image.shape[1] >= least_columns:
        rows, columns = image.shape[0] // 2, image.shape[1] // 2
        image = cv2.resize(image[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame as the source returns it.

    >>> Picture(Pixels(np.zeros((480, 640, 3), np.uint8)), media_s=0.04).decoded.size
    (640, 480)

    Attributes:
        decoded: the picture; None if nothing was decoded; then `fault` is set.
        media_s: the source's own timestamp in seconds; None if it has none.
        fault: why the frame can't be used; None for a good frame. `idle`: it was not decoded on purpose.
        wall_s: Unix time (s) of capture by the camera's own clock; None if the camera doesn't send it.
        clock: which clock `wall_s` is.
        came_s: when the frame reached this machine, monotonic seconds; None: when `read` returned it.
        is_spread: whether timestamps of this file have repeated or gone back so far, so `media_s` may be estimated.
        shows_clock: draw the moment of capture into the frame made of it (`capture.clock_bars`).
        lead_s: how much sooner (s) than usual it was decoded, because fewer frames are decoded.
    """

    decoded: Decoded | None
    media_s: float | None = None
    fault: Fault | None = None
    wall_s: float | None = None
    clock: Clock = "rtcp"
    came_s: float | None = None
    is_spread: bool = False
    shows_clock: bool = False
    lead_s: float = 0.0

    def __post_init__(self) -> None:
        if self.decoded is None and self.fault is None:
            raise ValueError("Picture.decoded: expected a picture, got None without a fault")

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """The picture as `Decoded.bgr` returns it, converted now; None if nothing was decoded."""
        return None if self.decoded is None else self.decoded.bgr()


class Source(Protocol):
    """An open source. A single thread must create, read and close it, or PyAV and OpenCV crash (SIGSEGV).

    Attributes:
        size: width and height in pixels when the source was opened; later frames may differ.
        fps: nominal frames per second, for information and for files without timestamps; None if unknown.
        live: True if frames arrive in real time (webcam, network camera), False if they wait until they are read.
        prompt: True if each frame is sent when it is taken, so that its timestamp shows how late it arrives.
    """

    size: tuple[int, int]
    live: bool
    prompt: bool

    @property
    def fps(self) -> float | None:
        """Nominal frames per second."""

    def read(self) -> Picture | None:
        """Return the next frame, or None at the normal end. Blocks until a live source has one, up to its read timeout.

        Raises:
            SourceError: a live source was lost, or a picture is too large.
            TruncatedError: a file ended early, or parts of it could not be read.
        """

    def close(self) -> None:
        """Release the source. May be called more than once."""


@runtime_checkable
class Counted(Protocol):
    """A source that knows how many frames it has, such as a video file.

    Attributes:
        length: the number of frames; None if unknown. The file declares it, so it may be wrong.
    """

    length: int | None


@runtime_checkable
class Sparing(Protocol):
    """A source that can decode less while nothing happens in front of the camera (`idle_decode`)."""

    def decode_only(self, what: IdleDecode) -> None:
        """Decode only these frames from the next `read` on. Each other frame is a picture with the fault `idle`.

        After `all`, the next read returns the newest frame, decoded from the packets that were kept for this.
        """
        ...
