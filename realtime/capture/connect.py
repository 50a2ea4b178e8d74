"""Opening a video file or a network stream through PyAV, and why one can't be opened.

Used by capture.stream. No error that leaves this file holds a URL's secrets, nor FFmpeg's exception, which does.
"""

from __future__ import annotations

import functools
import logging
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from realtime.config import Accelerator, Transport
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

log = logging.getLogger(__name__)

# Connecting, one group of pictures and probing take seconds on a healthy but busy network: shorter fails good cameras.
OPEN_TIMEOUT_S = 10.0
# A name that isn't found within this time is as good as none.
NAME_TIMEOUT_S = 5.0
# Tried in this order by `auto`.
_ACCELERATORS = ("cuda", "vaapi", "videotoolbox")

# Without these a camera takes 1.3 s to open and is 1.2 s late (measured); with them 0.25 s and 0.15 s.
_FAST_OPEN = {
    "flags": "low_delay",
    "analyzeduration": "0",
    "probesize": "32",
    "max_delay": "0",
    "reorder_queue_size": "0",
}
# MPEG-TS in datagrams: it must be probed, but for no longer than a group of pictures takes.
_FAST_UDP = {"fflags": "nobuffer", "analyzeduration": "1000000", "overrun_nonfatal": "1"}

# The kind of fault behind an exception of av.open, and what to tell the user; the first row that fits counts.
_FAULTS: list[tuple[tuple[type[BaseException], ...], SourceReason, str]] = [
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        SourceReason.AUTH,
        "login failed: check user and password",
    ),
    ((av.error.HTTPNotFoundError,), SourceReason.NOT_FOUND, "not found: check the path in the URL"),
    ((av.error.HTTPClientError, av.error.HTTPServerError), SourceReason.REFUSED, "the server answers with an error"),
    (
        (ConnectionRefusedError,),
        SourceReason.REFUSED,
        "connection refused: check address and port, and that the camera is on",
    ),
    ((TimeoutError, av.error.ExitError), SourceReason.TIMEOUT, "timed out: no answer"),
    ((FileNotFoundError,), SourceReason.MISSING, "no such file"),
    ((PermissionError,), SourceReason.PERMISSION, "permission denied"),
    (
        (av.error.ProtocolNotFoundError,),
        SourceReason.NOT_MEDIA,
        "no such kind of URL, expected rtsp, rtsps, http or udp",
    ),
    ((av.error.DecoderNotFoundError,), SourceReason.CODEC, "its video codec can't be decoded here"),
    ((av.error.InvalidDataError,), SourceReason.NOT_MEDIA, SourceReason.NOT_MEDIA.value),
]


def connect(
    source: str, network: bool, timeouts_s: tuple[float, float], transport: Transport, hwaccel: Accelerator
) -> InputContainer:
    """Open the container: a camera fast first, then, where that is not enough to know its size, with full probing.

    Args:
        source: path or URL.
        network: it is a URL.
        timeouts_s: how long opening, and each later read, may take; for a URL.
        transport: how an RTSP camera's pictures travel.
        hwaccel: what decodes; software where that can't.

    Raises:
        SourceError: it can't be opened.
    """
    accelerator = _accelerator(hwaccel)
    if not network:
        if _is_empty(source):
            raise SourceError(f"{source}: not a video or an image: the file is empty", SourceReason.NOT_MEDIA)
        # The prefix: FFmpeg would take a ":" in a file's name for a protocol.
        return _opened(_try_open(f"file:{source}", source, {}, None, accelerator))
    _find_host(source)
    if not source.lower().startswith(("rtsp:", "rtsps:")):
        options = _FAST_UDP if source.lower().startswith("udp:") else {}
        return _opened(_try_open(source, source, options, timeouts_s, accelerator))
    open_s, read_s = timeouts_s
    began_s = time.monotonic()
    # Without its sound: that would hide that the pictures stand still, and is decoded by nobody.
    rtsp = {"rtsp_transport": transport, "allowed_media_types": "video"}
    fast = _of_known_size(_try_open(source, source, rtsp | _FAST_OPEN, timeouts_s, accelerator), source)
    worth_probing = (SourceReason.NOT_MEDIA, SourceReason.TIMEOUT)
    if isinstance(fast, SourceError) and fast.reason in worth_probing and time.monotonic() - began_s < open_s / 2:
        left_s = max(1.0, open_s - (time.monotonic() - began_s))
        slow = _try_open(source, source, rtsp, (left_s, read_s), accelerator)
        return _opened(_of_known_size(slow, source))
    return _opened(fast)


@functools.cache  # asked of the driver, and told, once
def _accelerator(asked: Accelerator) -> HWAccel | None:
    """What decodes in hardware; None for software."""
    if asked == "none":
        return None
    for kind in _ACCELERATORS if asked == "auto" else (asked,):
        accelerator = HWAccel(kind, allow_software_fallback=True)
        try:
            there = av.CodecContext.create("h264", "r", hwaccel=accelerator).is_hwaccel
        except (av.FFmpegError, OSError):
            there = False
        if there:
            log.info("hwaccel %s: video is decoded by %s", asked, kind)
            return accelerator
    log.warning("hwaccel %s: not there, video is decoded in software", asked)
    return None


def _find_host(url: str) -> None:
    """Look the host's name up within NAME_TIMEOUT_S: FFmpeg would wait for as long as the system likes.

    Raises:
        SourceError: it has no address.
    """
    found: list[bool] = []
    # A daemon: the system's look-up can't be ended.
    thread = threading.Thread(target=lambda: found.append(_resolves(url)), name="look-up", daemon=True)
    thread.start()
    thread.join(NAME_TIMEOUT_S)
    if found != [True]:
        raise SourceError(
            f"{shown(url)}: host name not found: check the address, and write %23 %2F %3F for # / ? in a password",
            SourceReason.DNS,
        )


def _of_known_size(container: InputContainer | SourceError, source: str) -> InputContainer | SourceError:
    """The container, or what to say of one whose camera answered and then sent nothing to probe."""
    if isinstance(container, SourceError) or not container.streams.video:
        return container
    if container.streams.video[0].codec_context.width:
        return container
    container.close()
    return SourceError(f"{shown(source)}: timed out: the camera answers, but sends no video", SourceReason.TIMEOUT)


def _opened(container: InputContainer | SourceError) -> InputContainer:
    # Raised here, where no exception of FFmpeg is being handled: it would travel along as __context__, with the URL.
    if isinstance(container, SourceError):
        raise container
    return container


def _try_open(
    url: str,
    source: str,
    options: dict[str, str],
    timeouts_s: tuple[float, float] | None,
    accelerator: HWAccel | None,
) -> InputContainer | SourceError:
    """Open a container; the error is returned, not raised (see `_opened`)."""
    began_s = time.monotonic()
    try:
        container: InputContainer = av.open(url, options=options, timeout=timeouts_s, hwaccel=accelerator)
    except (av.FFmpegError, OSError) as error:
        # A server that accepts and stays silent ends as "invalid data" when the time is over.
        timed_out = timeouts_s is not None and time.monotonic() - began_s >= 0.9 * timeouts_s[0]
        reason, advice = _fault_of(error, source, network=timeouts_s is not None, timed_out=timed_out)
    else:
        return container
    return SourceError(f"{shown(source)}: {advice}", reason)


def _fault_of(error: BaseException, source: str, network: bool, timed_out: bool) -> tuple[SourceReason, str]:
    """The kind of fault and what to tell the user. Nothing of the exception's text is used: it holds the URL."""
    if timed_out:
        return SourceReason.TIMEOUT, "timed out: no answer"
    if isinstance(error, av.error.InvalidDataError) and not network and _lacks_index(source):
        return SourceReason.NOT_MEDIA, "can't be read: its index is missing, the recording was cut off"
    if isinstance(error, av.error.InvalidDataError) and network:
        return SourceReason.NOT_MEDIA, "it answers, but not with video: check address, port and path"
    for classes, reason, advice in _FAULTS:
        if isinstance(error, classes):
            return reason, advice
    if not network:
        return SourceReason.NOT_MEDIA, "can't be read"
    return SourceReason.LOST, "the connection failed"


def _resolves(url: str) -> bool:
    """Whether the URL's host name has an address, or it has none to look up (udp://:1234)."""
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
        return False  # av.open says what is wrong with it


def _lacks_index(path: str) -> bool:
    """Whether this begins as an MP4 or MOV file does; given that it can't be opened, its index is missing."""
    try:
        with Path(path).open("rb") as file:
            return file.read(8)[4:] == b"ftyp"
    except OSError:
        return False
