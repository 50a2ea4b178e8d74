"""Opens a source, by its kind.

The first step of capture: `--source` text -> Source.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from functools import partial

from realtime.capture.attempt import LEAST_OPEN_S, ImageError, PlaylistError
from realtime.capture.demo import DemoSource
from realtime.capture.files import open_files
from realtime.capture.follow import find_playlist, names_playlist
from realtime.capture.guard import Guard
from realtime.capture.hls import HlsSource
from realtime.capture.kind import DEMO_CLOCK, check_file, hint_of_name, kind_of
from realtime.capture.limits import MAX_PIXELS_FILE, MAX_PIXELS_URL
from realtime.capture.login import has_login
from realtime.capture.nested import Nested
from realtime.capture.piped import PipeSource
from realtime.capture.snapshot import SnapshotSource
from realtime.capture.source import Source
from realtime.capture.stream import StreamSource
from realtime.capture.tls import TLS_SCHEMES, Tls
from realtime.capture.webcam import WebcamSource
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason

log = logging.getLogger(__name__)


def check_source(config: CameraConfig) -> None:
    """Open the source once if it is a file or images, so that a bad one ends the run before models load.

    A pipe is not opened: it can be read only once.

    Raises:
        SourceError: the source can't be opened. The message names the camera.
    """
    if kind_of(config.address) not in ("file", "images"):
        return
    try:
        Guard(config.name, config.address).call(_try_out, config, logs=False)
    except SourceError as error:
        hint = hint_of_name(config) if error.reason is SourceReason.MISSING else ""
        raise type(error)(f"{config.name}: {error}{hint}", error.reason) from None


def _try_out(config: CameraConfig) -> None:
    open_source(config).close()


def open_source(config: CameraConfig, stop: threading.Event | None = None) -> Source:
    """Open a camera's source. Only the calling thread may read and close it.

    Args:
        config: the camera's configuration.
        stop: set when the camera ends, so that it waits neither for a frame that isn't due yet nor for a pipe.

    Raises:
        SourceError: the source can't be opened. The message is redacted. It starts with the source and doesn't name
            the camera.
    """
    source, kind = config.address, kind_of(config.address)
    stop = stop or threading.Event()
    max_pixels = config.max_pixels or (MAX_PIXELS_URL if kind == "network" else MAX_PIXELS_FILE)
    match kind:
        case "webcam":
            return _open_webcam(config)
        case "demo":
            return DemoSource(shows_clock=source == DEMO_CLOCK)
        case "pipe":
            return PipeSource(config.name, source, stop, hwaccel=config.hwaccel, max_pixels=max_pixels)
        case "images" | "file":
            if kind == "file":
                check_file(source)
            return open_files(source, config.hwaccel, max_pixels, config.name)
        case "network":
            return _open_network(config, max_pixels, stop)


def _open_webcam(config: CameraConfig) -> Source:
    try:
        return WebcamSource(config.address, config.mode)
    except SourceError as error:
        hint = hint_of_name(config) if error.reason is SourceReason.MISSING else ""
        raise SourceError(f"{error}{hint}", error.reason) from None


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
        camera=config.name,
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
        extra={"camera": name},
    )
