"""What every source is: something that is open, gives pictures one by one, and is closed.

Implemented by stream, webcam, images and demo; used by capture.camera alone. Sources know nothing of camera names,
epochs or pacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

# Why a picture that came out of a source must not go further; the words under which it is counted as dropped.
Fault = Literal["corrupt", "undecodable", "no time stamp"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture as the source gave it.

    Attributes:
        image: uint8 (H, W, 3), BGR, C-contiguous, upright as a viewer shows it. None where nothing could be decoded,
            which `fault` then says.
        media_s: the source's own time stamp in seconds, None where it has none.
        fault: why it can't be used, None for a good picture.
        wall_s: Unix time at which the camera took it, by the camera's own clock; None where it doesn't tell.
    """

    image: NDArray[np.uint8] | None
    media_s: float | None = None
    fault: Fault | None = None
    wall_s: float | None = None

    def __post_init__(self) -> None:
        if self.image is None and self.fault is None:
            raise ValueError("Picture.image: expected an array, got None without a fault")


class Source(Protocol):
    """An open source. One thread alone creates, reads and closes it: PyAV and OpenCV crash otherwise (SIGSEGV).

    Attributes:
        size: width and height in pixels when it was opened; a later picture may differ.
        fps: nominal pictures per second, for information and where a file has no time stamps; None if unknown.
        live: pictures come when they come (webcam, network camera); else they wait to be read.
    """

    size: tuple[int, int]
    fps: float | None
    live: bool

    def read(self) -> Picture | None:
        """The next picture, or None at the regular end.

        Raises:
            SourceError: a live source was lost, or what comes next can't be read.
            TruncatedError: a file ended before its end.
        """

    def close(self) -> None:
        """Release it. May be called again."""
