"""Frames that wait at the door before their images are converted, and their conversion when they enter.

Used by runtime.door: the thread that takes a batch converts it, one frame on that thread, several side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from realtime.runtime.core_budget import all_cores
from realtime.types import Frame


class Unconverted(Protocol):
    """A frame of a live camera whose image is converted only if it enters.

    Attributes:
        camera: the camera's name.
        captured_mono_ns: as in Frame.
    """

    camera: str
    captured_mono_ns: int

    def frame(self) -> Frame | None:
        """Convert the image and return the frame. None if that failed; then the drop has been counted."""
        ...


def converted(entered: Sequence[Frame | Unconverted]) -> list[Frame | None]:
    """Convert the frames of a batch, in their order; None for each whose conversion failed.

    On a GPU, a batch has a frame of each camera, whose conversions would add up. The threads end with the batch: it
    costs 0.05 ms to start one, and 1 ms or more to convert an image. No thread is left when the run ends.
    """
    late = sum(not isinstance(frame, Frame) for frame in entered)
    if late < 2:
        return [_converted(frame) for frame in entered]
    with ThreadPoolExecutor(min(late, all_cores()), "convert") as threads:
        return list(threads.map(_converted, entered))


def _converted(frame: Frame | Unconverted) -> Frame | None:
    return frame if isinstance(frame, Frame) else frame.frame()
