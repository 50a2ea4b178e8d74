"""Finds out which kind of source an address names, and opens it.

The first step of capture: `--source` text -> Source.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import threading
import time
from functools import partial
from pathlib import Path
from typing import Literal

from realtime.capture.attempt import LEAST_OPEN_S, ImageError, PlaylistError
from realtime.capture.demo import DemoSource
from realtime.capture.files import open_files
from realtime.capture.follow import find_playlist, names_playlist
from realtime.capture.guard import Guard
from realtime.capture.hls import HlsSource
from realtime.capture.image_formats import IMAGE_SUFFIXES
from realtime.capture.limits import MAX_PIXELS_FILE, MAX_PIXELS_URL
from realtime.capture.login import has_login
from realtime.capture.nested import Nested
from realtime.capture.snapshot import SnapshotSource
from realtime.capture.source import Source
from realtime.capture.stream import StreamSource
from realtime.capture.tls import TLS_SCHEMES, Tls
from realtime.capture.webcam import WebcamSource
from realtime.config import CameraConfig
from realtime.errors import SourceError

log = logging.getLogger(__name__)

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
    except (OSError, ValueError):  # no permission, a name that is too long or no name at all: opening it reports that
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
    with contextlib.suppress(OSError, ValueError):
        if Path(config.address).is_fifo():  # a named pipe can be read only once
            return
    try:
        Guard(config.name, config.address).call(_try_out, config, logs=False)
    except SourceError as error:
        raise type(error)(f"{config.name}: {error}", error.reason) from None


def _try_out(config: CameraConfig) -> None:
    open_source(config).close()


def open_source(config: CameraConfig, stop: threading.Event | None = None) -> Source:
    """Open a camera's source. Only the calling thread may read and close it.

    Args:
        config: the camera's configuration.
        stop: set when the camera ends, so that a frame that isn't due yet isn't waited for.

    Raises:
        SourceError: the source can't be opened. The message is redacted. It starts with the source and doesn't name
            the camera.
    """
    source, kind = config.address, kind_of(config.address)
    max_pixels = config.max_pixels or (MAX_PIXELS_URL if kind == "network" else MAX_PIXELS_FILE)
    match kind:
        case "webcam":
            return WebcamSource(source, config.mode)
        case "demo":
            return DemoSource()
        case "images" | "file":
            return open_files(source, config.hwaccel, max_pixels)
        case "network":
            return _open_network(config, max_pixels, stop or threading.Event())


def _open_network(config: CameraConfig, max_pixels: int, stop: threading.Event) -> Source:
    """Open a URL. A single image is read by SnapshotSource."""
    if config.address.lower().startswith(TLS_SCHEMES) and has_login(config.address) and not config.tls_verify:
        _warn_of_unverified_tls(config.name)
    with contextlib.suppress(ImageError):
        return _open_stream(config, max_pixels, stop)
    # It gets the whole time, because a camera that takes half of it for a picture has used the first half up.
    return SnapshotSource(
        config.address,
        stop,
        target_fps=config.target_fps,
        open_timeout_s=config.open_timeout_s,
        read_timeout_s=config.silence_s,
        tls=Tls(config.tls_verify, config.tls_ca),
        max_pixels=max_pixels,
    )


def _open_stream(config: CameraConfig, max_pixels: int, stop: threading.Event) -> Source:
    """Open a stream. A live HLS playlist is read by HlsSource; FFmpeg reads all other streams."""
    ends_s = time.monotonic() + config.open_timeout_s
    tls = Tls(config.tls_verify, config.tls_ca)
    open_stream = partial(
        StreamSource,
        config.address,
        network=True,
        open_timeout_s=config.open_timeout_s,
        read_timeout_s=config.silence_s,
        transport=config.transport,
        tls=tls,
        hwaccel=config.hwaccel,
        max_pixels=max_pixels,
    )

    def left_s() -> float:
        """The time that is left for opening, in seconds, but enough to find the cause of a failure."""
        return max(min(LEAST_OPEN_S, config.open_timeout_s), ends_s - time.monotonic())

    if not names_playlist(config.address):
        with contextlib.suppress(PlaylistError):
            return open_stream()
    followed = find_playlist(config.address, time.monotonic() + left_s(), tls)
    if followed is None:
        return open_stream(open_timeout_s=left_s())
    if not followed.is_live:
        nested = Nested(followed.url, followed.downloads, config.silence_s)
        return open_stream(nested=nested, open_timeout_s=left_s())
    return HlsSource(
        config.address,
        followed,
        stop,
        open_timeout_s=left_s(),
        read_timeout_s=config.silence_s,
        hwaccel=config.hwaccel,
        max_pixels=max_pixels,
    )


@functools.cache  # once per camera and run
def _warn_of_unverified_tls(name: str) -> None:
    log.warning(
        "%s: the login is sent over TLS, but the certificate is not verified, so any host on the way to the camera "
        "could read it; set tls_verify: true, and tls_ca if the certificate is self-signed",
        name,
    )
