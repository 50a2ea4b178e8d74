"""Opens what a path, a folder or a pattern names, with the source that reads it.

Used by capture.open: text -> Source.
"""

from __future__ import annotations

from pathlib import Path

from realtime.capture.animation import AnimationSource, is_animation
from realtime.capture.folder import files_of
from realtime.capture.image_formats import BY_FFMPEG, image_format
from realtime.capture.images import ImagesSource
from realtime.capture.source import Source
from realtime.capture.stream import StreamSource
from realtime.config import Accelerator


def open_files(source: str, hwaccel: Accelerator, max_pixels: int, camera: str | None = None) -> Source:
    """Open a file, or the images that a folder or a pattern names.

    Args:
        source: the path of a video, an image or a folder, or a pattern.
        hwaccel: hardware decoder for a video.
        max_pixels: decode no larger picture.
        camera: name of the camera, for the log.

    Raises:
        SourceError: there is no file, or it can't be read.
    """
    named = files_of(source)
    if not named.single:
        return ImagesSource(source, max_pixels, camera)
    path = [*named.images, *named.videos][0]
    name = source if Path(source) == path else str(path)
    form = image_format(path)
    if form is None and path.suffix.lower() not in BY_FFMPEG:
        return StreamSource(name, network=False, hwaccel=hwaccel, max_pixels=max_pixels)
    if form is not None and is_animation(path, max_pixels):
        return AnimationSource(name, max_pixels)
    return ImagesSource(name, max_pixels, camera)
