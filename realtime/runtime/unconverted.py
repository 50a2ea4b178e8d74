"""Frames that wait at the door before their images are converted, and their conversion when they enter.

Used by runtime.door. The thread that takes a batch converts it, with the help of others if it has several such frames.
On a GPU, each of these threads also sends the images that it has converted to the device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
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


def converted(
    entered: Sequence[Frame | Unconverted], send: Callable[[Frame], None] | None = None
) -> list[Frame | None]:
    """Convert the frames of a batch, in their order; None for each whose conversion failed.

    On a GPU, a batch has a frame of each camera, whose conversions and transfers would add up. The threads end with the
    batch: it costs 0.05 ms to start one, 1 ms or more to convert an image, and 0.3 ms to copy it into pinned memory.
    No thread is left when the run ends.

    Args:
        entered: the frames.
        send: sends the image of a frame to the device that its models run on, from any thread; None: not needed.

    Raises:
        Exception: whatever `send` raised, once all threads have ended.
    """
    late = len(entered) if send else sum(not isinstance(frame, Frame) for frame in entered)
    results: list[Frame | None] = [None] * len(entered)
    numbers = iter(range(len(entered)))  # shared: the interpreter gives each number to one thread

    def work() -> None:
        for number in numbers:
            frame = results[number] = _converted(entered[number])
            if send is not None and frame is not None:
                send(frame)

    if late < 2:
        work()
        return results
    others = min(late, all_cores()) - 1
    with ThreadPoolExecutor(max(1, others), "convert") as threads:
        running = []
        with contextlib.suppress(RuntimeError):  # no more threads can be started: those that run do the work
            for _ in range(others):
                running.append(threads.submit(work))
        work()
        for each in running:
            each.result()
    return results


def _converted(frame: Frame | Unconverted) -> Frame | None:
    return frame if isinstance(frame, Frame) else frame.frame()
