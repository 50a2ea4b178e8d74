"""Pictures for the loops that a comparison runs against us: every one of a file, or the newest of a live source.

Used by evaluate.loops; evaluate.compare has its videos written here. OpenCV alone, as a user would.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.errors import SourceError, SourceReason

# Of a video that doesn't tell it.
_UNKNOWN_FPS = 25.0


class Shot(NamedTuple):
    """One picture."""

    number: int  # of the picture in its video, from 0
    image: NDArray[np.uint8]  # (H, W, 3) BGR
    captured_s: float  # time.monotonic when it was there
    time_s: float  # by the video's rate


def write_video(images: Iterable[NDArray[np.uint8]], fps: float, file: Path) -> None:
    """Write pictures, uint8 (H, W, 3) BGR of one size, as MPEG-4."""
    writer = None
    for image in images:
        if writer is None:
            height, width = image.shape[:2]
            writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        writer.write(image)
    if writer is not None:
        writer.release()


def images_of(file: str) -> Iterator[NDArray[np.uint8]]:
    """The pictures of a video over and over, uint8 (H, W, 3) BGR.

    Raises:
        SourceError: there are none.
    """
    while True:
        shot = None
        for shot in every(file, None):
            yield shot.image
        if shot is None:
            raise SourceError(f"{file}: OpenCV reads no pictures from it", SourceReason.NOT_MEDIA)


def every(file: str, frames: int | None) -> Iterator[Shot]:
    """The pictures of a video, each read when it is asked for."""
    video = cv2.VideoCapture(file)
    fps = video.get(cv2.CAP_PROP_FPS) or _UNKNOWN_FPS
    try:
        for number in itertools.count() if frames is None else range(frames):
            there_is_one, image = video.read()
            if not there_is_one:
                return
            yield Shot(number, np.asarray(image, np.uint8), time.monotonic(), number / fps)
    finally:
        video.release()


def newest(file: str, frames: int, fps: float) -> Iterator[Shot]:
    """The newest picture of a video that a thread plays at its pace, whenever one is asked for; none of them twice."""
    changed = threading.Condition()
    waiting: list[Shot | None] = []  # the newest at most; None: that was the end

    def put(item: Shot | None) -> None:
        with changed:
            waiting[:] = [item]
            changed.notify_all()

    def play() -> None:
        started_s = time.monotonic()
        for shot in every(file, frames):
            time.sleep(max(0.0, started_s + shot.number / fps - time.monotonic()))
            put(shot._replace(captured_s=time.monotonic()))
        time.sleep(1 / fps)  # the last one may still be taken
        put(None)

    threading.Thread(target=play, name="source", daemon=True).start()
    while True:
        with changed:
            changed.wait_for(lambda: waiting)
            shot = waiting.pop()
        if shot is None:
            return
        yield shot
