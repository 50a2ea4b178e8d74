"""Finds out which kind of source an address names, and opens it.

The first step of capture: `--source` text -> Source.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Literal

from realtime.capture.demo import DemoSource
from realtime.capture.follow import live_playlist, names_playlist
from realtime.capture.hls import HlsSource
from realtime.capture.images import IMAGE_SUFFIXES, ImagesSource
from realtime.capture.source import Source
from realtime.capture.stream import StreamSource
from realtime.capture.webcam import WebcamSource
from realtime.config import CameraConfig
from realtime.errors import SourceError

Kind = Literal["webcam", "network", "file", "images", "demo"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# An unplugged webcam has no device file, so a path that starts like this counts as a webcam by its name alone.
_WEBCAM_PATHS = ("/dev/video", "/dev/v4l/")
_GLOB = re.compile(r"[*?\[]")


def kind_of(source: str) -> Kind:
    """Return the kind of a source, judged by its text and the file system. Opens nothing.

    >>> kind_of("0"), kind_of("rtsp://10.0.0.5/stream1"), kind_of("clip.mp4"), kind_of("shots/*.png")
    ('webcam', 'network', 'file', 'images')

    Args:
        source: a camera's address: the number or device file of a webcam, a URL, `demo`, or the path of a video, an
            image, a folder or a glob.
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
        # The name of a file may contain brackets, so a path that exists is not a pattern.
        return "images" if _GLOB.search(source) and not path.exists() else "file"
    except OSError:  # no permission, or the name is too long: opening it reports that
        return "file"


def is_live_source(address: str) -> bool:
    """Whether frames of this source arrive in real time, judged by its address: a webcam or a network camera.

    >>> is_live_source("rtsp://10.0.0.5/stream1"), is_live_source("clip.mp4"), is_live_source("demo")
    (True, False, False)
    """
    return kind_of(address) in ("webcam", "network")


def check_source(config: CameraConfig) -> None:
    """Open the source once if it is a file or images, so that a bad one ends the run before models load.

    Raises:
        SourceError: the source can't be opened. The message names the camera.
    """
    if kind_of(config.address) not in ("file", "images"):
        return
    with contextlib.suppress(OSError):
        if Path(config.address).is_fifo():  # a named pipe can be read only once
            return
    try:
        open_source(config).close()
    except SourceError as error:
        raise type(error)(f"{config.name}: {error}", error.reason) from None


def open_source(config: CameraConfig) -> Source:
    """Open a camera's source. Only the calling thread may read and close it.

    Args:
        config: the camera's configuration.

    Raises:
        SourceError: the source can't be opened. The message is redacted. It starts with the source and doesn't name
            the camera.
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
            return _open_network(config)


def _open_network(config: CameraConfig) -> Source:
    """Open a URL. A live playlist is read as a stream of segments; FFmpeg reads any other (a recording, encrypted)."""
    if names_playlist(config.address):
        return _live_hls(config) or _stream(config)
    stream = _stream(config)
    if not (stream.live and stream.format == "hls"):
        return stream
    stream.close()  # a playlist whose address doesn't say so
    return _live_hls(config) or _stream(config)


def _live_hls(config: CameraConfig) -> HlsSource | None:
    followed = live_playlist(config.address, config.open_timeout_s)
    if followed is None:
        return None
    return HlsSource(
        config.address,
        followed,
        open_timeout_s=config.open_timeout_s,
        read_timeout_s=config.silence_s,
        hwaccel=config.hwaccel,
    )


def _stream(config: CameraConfig) -> StreamSource:
    return StreamSource(
        config.address,
        network=True,
        open_timeout_s=config.open_timeout_s,
        read_timeout_s=config.silence_s,
        transport=config.transport,
        hwaccel=config.hwaccel,
    )
