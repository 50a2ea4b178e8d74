"""Which kind of source a text names, and opening it.

First step of capture: `--source` text -> Source.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from realtime.capture.demo import DemoSource
from realtime.capture.images import IMAGE_SUFFIXES, ImagesSource
from realtime.capture.source import Source
from realtime.capture.stream import StreamSource
from realtime.capture.webcam import WebcamSource
from realtime.config import CameraConfig

Kind = Literal["webcam", "network", "file", "images", "demo"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# A webcam's file isn't there while it is unplugged: these are webcams by their names alone.
_WEBCAM_PATHS = ("/dev/video", "/dev/v4l/")
_GLOB = re.compile(r"[*?\[]")


def kind_of(source: str) -> Kind:
    """What a source is, judged by its text and the file system. Opens nothing.

    Args:
        source: a camera's address: a webcam's number or device file, a URL, `demo`, or the path of a video, an image,
            a folder or a glob.
    """
    if (source.isascii() and source.isdecimal()) or source.startswith(_WEBCAM_PATHS):
        return "webcam"
    if source == "demo":
        return "demo"
    if _URL.match(source):
        return "network"
    path = Path(source)
    try:
        if path.is_char_device():
            return "webcam"
        if path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES:
            return "images"
        # A file's own name may hold brackets: what exists is not a pattern.
        return "images" if _GLOB.search(source) and not path.exists() else "file"
    except OSError:  # no right to look, or too long a name: opening it will say so
        return "file"


def open_source(config: CameraConfig) -> Source:
    """Open a camera's source; the caller's thread alone may read and close it.

    Args:
        config: the camera's.

    Raises:
        SourceError: it can't be opened. The message is redacted and begins with the source, without a camera's name.
    """
    source = config.address
    match kind_of(source):
        case "webcam":
            return WebcamSource(source, config.mode)
        case "demo":
            return DemoSource()
        case "images":
            return ImagesSource(source)
        case "file":
            return StreamSource(source, network=False, hwaccel=config.hwaccel)
        case "network":
            return StreamSource(
                source,
                network=True,
                open_timeout_s=config.open_timeout_s,
                read_timeout_s=config.silence_s,
                transport=config.transport,
                hwaccel=config.hwaccel,
            )
