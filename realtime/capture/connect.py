"""Opens a video file or a network stream through PyAV, and explains why one can't be opened.

Used by capture.stream. Errors raised here contain neither a URL's secrets nor FFmpeg's exception, which contains the
URL.
"""

from __future__ import annotations

import functools
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from realtime.config import Accelerator, Transport
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

log = logging.getLogger(__name__)

# Connecting, waiting for a key frame and probing take seconds on a healthy but busy network. A shorter timeout would
# reject working cameras.
OPEN_TIMEOUT_S = 10.0
# A host name that isn't resolved within this time counts as not found.
NAME_TIMEOUT_S = 5.0
# `auto` tries them in this order.
_ACCELERATORS = ("cuda", "vaapi", "videotoolbox")

# Without these options a camera takes 1.3 s to open and runs 1.2 s late; with them, 0.25 s and 0.15 s (measured).
_FAST_OPEN = {
    "flags": "low_delay",
    "analyzeduration": "0",
    "probesize": "32",
    "max_delay": "0",
    "reorder_queue_size": "0",
}
# MPEG-TS and FLV (RTMP, SRT, UDP, TCP) must be probed, but for no longer than one key frame interval (1 s, in
# microseconds). FFmpeg's usual 5 s would be 5 s of video that is old once the stream is open.
_FAST_UDP = {"fflags": "nobuffer", "analyzeduration": "1000000", "overrun_nonfatal": "1"}

# Segments are complete files, and the first one shows what the stream is. Probing for the usual 5 s of video would wait
# for the next ones (0.5 s, in microseconds).
_FAST_SEGMENTS = {"analyzeduration": "500000"}

# Exceptions of av.open, with the reason they stand for and the message to the user. The first matching row applies.
_FAULTS: list[tuple[tuple[type[BaseException], ...], SourceReason, str]] = [
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        SourceReason.AUTH,
        "login failed: check user and password",
    ),
    ((av.error.HTTPNotFoundError,), SourceReason.NOT_FOUND, "not found: check the path in the URL"),
    ((av.error.HTTPClientError, av.error.HTTPServerError), SourceReason.REFUSED, "the server returned an error"),
    (
        (ConnectionRefusedError,),
        SourceReason.REFUSED,
        "connection refused: check the address and port, and that the camera is on",
    ),
    ((TimeoutError, av.error.ExitError), SourceReason.TIMEOUT, "timed out: no answer"),
    ((FileNotFoundError,), SourceReason.MISSING, "no such file"),
    ((PermissionError,), SourceReason.PERMISSION, "permission denied"),
    (
        (av.error.ProtocolNotFoundError,),
        SourceReason.NOT_MEDIA,
        "unsupported URL scheme, expected rtsp, rtsps, http or udp",
    ),
    ((av.error.DecoderNotFoundError,), SourceReason.CODEC, "can't be decoded: FFmpeg lacks a decoder for its codec"),
    ((av.error.InvalidDataError,), SourceReason.NOT_MEDIA, SourceReason.NOT_MEDIA.value),
]


class Feed(Protocol):
    """A live stream whose bytes come from us instead of FFmpeg (capture.hls).

    Attributes:
        format: FFmpeg's name of its container format.
    """

    format: str

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end. It must not raise: PyAV would print the exception."""

    def passed(self, position: int | None, stamp_s: float) -> None:
        """Take in the position (bytes) and the timestamp (s) of each packet of the video."""


def connect_feed(feed: Feed, source: str, hwaccel: Accelerator) -> InputContainer:
    """Open the container of a stream whose bytes come from us.

    Args:
        feed: the stream.
        source: its address, for messages.
        hwaccel: hardware decoder; software is used if it isn't available.

    Raises:
        SourceError: the container can't be opened.
    """
    return _opened(_try_open(feed, source, _FAST_SEGMENTS, None, _accelerator(hwaccel), feed.format))


def connect(
    source: str, network: bool, timeouts_s: tuple[float, float], transport: Transport, hwaccel: Accelerator
) -> InputContainer:
    """Open the container of a file or stream.

    An RTSP camera is opened almost without probing, which is fast. If that doesn't reveal its frame size, the camera is
    opened again with full probing.

    Args:
        source: path or URL.
        network: whether `source` is a URL.
        timeouts_s: limits (s) for opening and for each later read. Used for a URL only.
        transport: RTSP transport, tcp or udp.
        hwaccel: hardware decoder; software is used if it isn't available.

    Raises:
        SourceError: the container can't be opened.
    """
    accelerator = _accelerator(hwaccel)
    if not network:
        if _is_empty(source):
            raise SourceError(f"{source}: not a video or an image: the file is empty", SourceReason.NOT_MEDIA)
        # Without the prefix, FFmpeg would take a ":" in a file's name for the end of a protocol.
        return _opened(_try_open(f"file:{source}", source, {}, None, accelerator))
    find_host(source)
    if not source.lower().startswith(("rtsp:", "rtsps:")):
        options = {} if source.lower().startswith(("http:", "https:")) else _FAST_UDP
        return _opened(_try_open(source, source, options, timeouts_s, accelerator))
    open_s, read_s = timeouts_s
    began_s = time.monotonic()
    # Without audio: no stage uses it, and its packets would hide that the video is frozen.
    rtsp = {"rtsp_transport": transport, "allowed_media_types": "video"}
    fast = _of_known_size(_try_open(source, source, rtsp | _FAST_OPEN, timeouts_s, accelerator), source)
    worth_probing = (SourceReason.NOT_MEDIA, SourceReason.TIMEOUT)
    if isinstance(fast, SourceError) and fast.reason in worth_probing and time.monotonic() - began_s < open_s / 2:
        left_s = max(1.0, open_s - (time.monotonic() - began_s))
        slow = _try_open(source, source, rtsp, (left_s, read_s), accelerator)
        return _opened(_of_known_size(slow, source))
    return _opened(fast)


@functools.cache  # probes the driver and logs the result only once
def _accelerator(asked: Accelerator) -> HWAccel | None:
    """Return the hardware decoder to use; None for decoding in software."""
    if asked == "none":
        return None
    for kind in _ACCELERATORS if asked == "auto" else (asked,):
        accelerator = HWAccel(kind, allow_software_fallback=True)
        try:
            there = av.CodecContext.create("h264", "r", hwaccel=accelerator).is_hwaccel
        except (av.FFmpegError, OSError):
            there = False
        if there:
            log.info("hwaccel %s: decoding video with %s", asked, kind)
            return accelerator
    log.warning("hwaccel %s: no usable hardware decoder; decoding video in software", asked)
    return None


def find_host(url: str) -> None:
    """Resolve the host name within NAME_TIMEOUT_S. FFmpeg would wait until the system's resolver gives up.

    Raises:
        SourceError: the host name has no address, or wasn't resolved in time.
    """
    found: list[bool] = []
    # A daemon thread, because the system's look-up can't be cancelled.
    thread = threading.Thread(target=lambda: found.append(_resolves(url)), name="look-up", daemon=True)
    thread.start()
    thread.join(NAME_TIMEOUT_S)
    if found != [True]:
        raise SourceError(
            f"{shown(url)}: host name not found: check the address, and write %23 %2F %3F for # / ? in a password",
            SourceReason.DNS,
        )


def _of_known_size(container: InputContainer | SourceError, source: str) -> InputContainer | SourceError:
    """Return the container, or an error if the camera answered and then sent nothing to probe."""
    if isinstance(container, SourceError) or not container.streams.video:
        return container
    if container.streams.video[0].codec_context.width:
        return container
    container.close()
    return SourceError(f"{shown(source)}: timed out: the camera answers, but sends no video", SourceReason.TIMEOUT)


def _opened(container: InputContainer | SourceError) -> InputContainer:
    # Raised outside of any `except` block. Inside one, Python would attach FFmpeg's exception, which contains the URL,
    # as __context__.
    if isinstance(container, SourceError):
        raise container
    return container


def _try_open(
    url: str | Feed,
    source: str,
    options: dict[str, str],
    timeouts_s: tuple[float, float] | None,
    accelerator: HWAccel | None,
    format_name: str | None = None,
) -> InputContainer | SourceError:
    """Open a container. An error is returned, and `_opened` raises it, so that FFmpeg's exception isn't attached."""
    began_s = time.monotonic()
    try:
        container: InputContainer = av.open(
            url, options=options, timeout=timeouts_s, hwaccel=accelerator, format=format_name
        )
    except (av.FFmpegError, OSError) as error:
        # If a server accepts the connection and stays silent, FFmpeg reports "invalid data" after the timeout.
        timed_out = timeouts_s is not None and time.monotonic() - began_s >= 0.9 * timeouts_s[0]
        reason, advice = _fault_of(error, source, network=timeouts_s is not None, timed_out=timed_out)
    else:
        return container
    return SourceError(f"{shown(source)}: {advice}", reason)


def _fault_of(error: BaseException, source: str, network: bool, timed_out: bool) -> tuple[SourceReason, str]:
    """Return the reason and the message to the user. The exception's text isn't used, because it contains the URL."""
    if timed_out:
        return SourceReason.TIMEOUT, "timed out: no answer"
    if isinstance(error, av.error.InvalidDataError) and not network and _lacks_index(source):
        return SourceReason.NOT_MEDIA, "can't be read: its index is missing (the recording was cut off)"
    if isinstance(error, av.error.InvalidDataError) and network:
        return SourceReason.NOT_MEDIA, "the server answers, but not with video: check the address, port and path"
    for classes, reason, advice in _FAULTS:
        if isinstance(error, classes):
            return reason, advice
    if not network:
        return SourceReason.NOT_MEDIA, "can't be read"
    return SourceReason.LOST, "the connection failed"


def _resolves(url: str) -> bool:
    """Whether the URL's host name has an address. True for a URL without a host name (udp://:1234)."""
    try:
        host = urlsplit(url).hostname
        if host:
            socket.getaddrinfo(host, None)
    except (OSError, ValueError):
        return False
    return True


def _is_empty(path: str) -> bool:
    try:
        return Path(path).stat().st_size == 0
    except OSError:
        return False  # av.open reports the cause


def _lacks_index(path: str) -> bool:
    """Whether the file starts like an MP4 or MOV file. If such a file can't be opened, its index is missing."""
    try:
        with Path(path).open("rb") as file:
            return file.read(8)[4:] == b"ftyp"
    except OSError:
        return False
