"""The interface of every source: a source is open once constructed, returns its frames one by one, and must be closed.

Implemented by stream, hls, snapshot, webcam, images and demo; used only by capture.camera. Sources know nothing about
camera names, epochs or the pacing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from realtime.types import Clock

# Why a frame from a source can't be used; also the cause under which it is counted as dropped.
Fault = Literal["corrupt", "undecodable", "no time stamp", "too large", "waiting for a key frame"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame as the source returns it.

    Attributes:
        image: uint8 (H, W, 3), BGR, C-contiguous, upright as a viewer shows it. None if nothing could be decoded; then
            `fault` is set.
        media_s: the source's own timestamp in seconds; None if it has none.
        fault: why the frame can't be used; None for a good frame.
        wall_s: Unix time (s) of capture by the camera's own clock; None if the camera doesn't send it.
        clock: which clock `wall_s` is.
        came_s: when the frame reached this machine, monotonic seconds; None: when `read` returned it.
        is_spread: whether timestamps of this file have repeated or gone back so far, so `media_s` may be estimated.
        shows_clock: draw the moment of capture into the frame made of it (`capture.clock_bars`).
    """

    image: NDArray[np.uint8] | None
    media_s: float | None = None
    fault: Fault | None = None
    wall_s: float | None = None
    clock: Clock = "rtcp"
    came_s: float | None = None
    is_spread: bool = False
    shows_clock: bool = False

    def __post_init__(self) -> None:
        if self.image is None and self.fault is None:
            raise ValueError("Picture.image: expected an array, got None without a fault")
        if self.image is not None:
            dtype, shape = self.image.dtype, self.image.shape
            if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
                raise ValueError(f"Picture.image: expected uint8 (H, W, 3), got {dtype} {shape}")


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
