"""Video input for the loops that our program is compared with: every frame of a file, or the newest of a live source.

`loops` reads its frames here and `compare` writes its videos. The code uses OpenCV alone, as a user's loop would.
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

# Frame rate of a video file that does not specify one.
_UNKNOWN_FPS = 25.0


class Shot(NamedTuple):
    """One frame of a video."""

    number: int  # frame number in the video, from 0
    image: NDArray[np.uint8]  # (H, W, 3) BGR
    captured_s: float  # time.monotonic() when the frame became available
    time_s: float  # position in the video, from the frame rate


def write_video(images: Iterable[NDArray[np.uint8]], fps: float, file: Path) -> None:
    """Write images, uint8 (H, W, 3) BGR of one size, to an MPEG-4 file."""
    writer = None
    for image in images:
        if writer is None:
            height, width = image.shape[:2]
            writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        writer.write(image)
    if writer is not None:
        writer.release()


def images_of(file: str) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of a video in an endless loop, uint8 (H, W, 3) BGR.

    Raises:
        SourceError: OpenCV can't read any frame of the file.
    """
    while True:
        shot = None
        for shot in every(file, None):
            yield shot.image
        if shot is None:
            raise SourceError(f"{file}: OpenCV can't read any frame, expected a video", SourceReason.NOT_MEDIA)


def every(file: str, frames: int | None) -> Iterator[Shot]:
    """Yield the frames of a video, at most `frames` of them. Each frame is read when it is requested."""
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
    """Yield the newest frame of a video that a thread plays like a live camera. No frame is repeated.

    Args:
        file: the video file.
        frames: number of frames to play.
        fps: frame rate.
    """
    changed = threading.Condition()
    waiting: list[Shot | None] = []  # at most the newest frame; None marks the end

    def put(item: Shot | None) -> None:
        with changed:
            waiting[:] = [item]
            changed.notify_all()

    def play() -> None:
        started_s = time.monotonic()
        for shot in every(file, frames):
            time.sleep(max(0.0, started_s + shot.number / fps - time.monotonic()))
            put(shot._replace(captured_s=time.monotonic()))
        time.sleep(1 / fps)  # leave time to take the last frame
        put(None)

    threading.Thread(target=play, name="source", daemon=True).start()
    while True:
        with changed:
            changed.wait_for(lambda: waiting)
            shot = waiting.pop()
        if shot is None:
            return
        yield shot
