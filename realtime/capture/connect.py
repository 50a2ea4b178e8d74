"""Opens a video file or a network stream through PyAV.

Used by capture.stream. capture.rtsp and capture.web follow redirects, capture.faults explains why a source can't be
opened. Errors raised here contain neither a URL's secrets nor FFmpeg's exception, which contains the URL.
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import dataclass, field
from typing import Protocol

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from realtime.capture import rtsp, web
from realtime.capture.faults import fault_of_file, fault_of_stream, is_empty
from realtime.capture.formats import MULTIPART, ONE_IMAGE, allowed_formats
from realtime.capture.hosts import addresses_of, is_address
from realtime.capture.limits import decoder_options
from realtime.capture.losses import REORDER
from realtime.capture.multipart import AS_BYTES, Parts
from realtime.capture.tls import Tls
from realtime.config import Accelerator, Transport
from realtime.errors import SourceError, SourceReason
from realtime.redact import SecretAddress, shown

log = logging.getLogger(__name__)

# Connecting, waiting for a key frame and probing take seconds on a healthy but busy network. A shorter timeout would
# reject working cameras.
OPEN_TIMEOUT_S = 10.0
# A camera that sends nothing for this long is lost, unless the configuration sets another limit.
READ_TIMEOUT_S = 2.0
# FFmpeg gets at least this long (s), even if our own requests to the server used up the time.
LEAST_OPEN_S = 1.0
# To PyAV, a timeout of 0 means no timeout.
_SHORTEST_S = 0.01
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
# A single segment is enough to identify the stream. Probing for the usual 5 s of video would wait for the next ones
# (0.5 s, in microseconds).
_FAST_SEGMENTS = {"analyzeduration": "500000"}

# A server that has described the stream to us, and then fails for FFmpeg with one of these reasons, may still be
# closing our session (gst-rtsp-server answers 503 for a moment). FFmpeg tries again after each of these pauses (s).
_BUSY = (SourceReason.SERVER, SourceReason.REFUSED, SourceReason.LOST)
_PAUSES_S = (0.2, 0.4, 0.8)
# The names of our transports in FFmpeg.
_TRANSPORTS = {"tcp": "tcp", "udp": "udp", "multicast": "udp_multicast"}
# FFmpeg must not follow an HTTP server's redirects: capture.web follows them, and checks each.
_HTTP = {"max_redirects": "0"}
# The formats that FFmpeg selects by the URL. A stream that turns out to be a list of addresses is refused.
_URL_FORMATS = ("rtsp", "rtp")
# Titles and session names that are not UTF-8 do no harm, because nothing here uses them.
_METADATA_ERRORS = "replace"


@dataclass(frozen=True, slots=True)
class Link:
    """How to connect to a network stream.

    Attributes:
        open_s: limit (s) for opening.
        read_s: limit (s) for each later read.
        transport: RTSP transport.
        tls: how to treat the server's certificate.
        playlist: the stream is an HLS playlist whose addresses were checked, which FFmpeg may read.
    """

    open_s: float = OPEN_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S
    transport: Transport = "tcp"
    tls: Tls = field(default_factory=Tls)
    playlist: bool = False


class Feed(Protocol):
    """A live stream whose bytes come from us instead of FFmpeg (capture.hls).

    Attributes:
        format: FFmpeg's name of its container format.
    """

    format: str

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end. It must not raise: PyAV would print the exception."""

    def passed(self, position: int | None, stamp_s: float) -> None:
        """Record the position (bytes; None if unknown) and the timestamp (s) of each packet of the video."""


def connect_feed(feed: Feed, source: str, hwaccel: Accelerator, max_pixels: int) -> InputContainer:
    """Open the container of a stream whose bytes come from us.

    Args:
        feed: the stream.
        source: its address, for messages.
        hwaccel: hardware decoder; software is used if it isn't available.
        max_pixels: decode no larger picture while probing.

    Raises:
        SourceError: the container can't be opened.
    """
    call = _Call(source, Link(), _accelerator(hwaccel), max_pixels)
    return _opened(call.open(feed, _FAST_SEGMENTS, form=feed.format))


def connect(source: str, link: Link | None, hwaccel: Accelerator, max_pixels: int) -> InputContainer:
    """Open the container of a file or stream.

    Args:
        source: path or URL.
        link: how to connect to a URL; None for a file.
        hwaccel: hardware decoder; software is used if it isn't available.
        max_pixels: decode no larger picture while probing.

    Raises:
        SourceError: the container can't be opened.
    """
    accelerator = _accelerator(hwaccel)
    if link is None:
        return _opened(_open_file(source, accelerator, max_pixels))
    return _opened(_open_stream(_Call(source, link, accelerator, max_pixels)))


def _open_stream(call: _Call) -> InputContainer | SourceError:
    """Open a URL, by its scheme."""
    scheme = call.source.partition(":")[0].lower()
    if not is_address(call.source):
        advice = "not a valid address: check host and port, and write %23 %2F %3F for # / ? in a password"
        return call.failed(advice, SourceReason.DNS)
    try:
        if scheme in ("rtsp", "rtsps"):
            return _open_rtsp(call)
        if scheme in ("http", "https"):
            return _open_http(call)
        addresses_of(call.source)
        return call.open(call.source, _FAST_UDP)
    except SourceError as error:
        return SourceError(str(error), error.reason)  # without the exceptions that led to it


class PlaylistError(SourceError):
    """The stream is a list of other addresses, none of which was opened."""


class _TimeLeft:
    """The time left until a deadline, as a timeout for PyAV, which reads it before connecting and before probing.

    With a plain number, each of the two steps could take the whole time.
    """

    def __init__(self, ends_s: float) -> None:
        self._ends_s = ends_s  # monotonic seconds

    def __float__(self) -> float:
        return max(_SHORTEST_S, self._ends_s - time.monotonic())


class _Call:
    """One attempt to open a stream, with its time limit."""

    def __init__(self, source: str, link: Link, accelerator: HWAccel | None, max_pixels: int) -> None:
        self.source, self.link, self.max_pixels = source, link, max_pixels
        self._accelerator = accelerator
        self.began_s = time.monotonic()
        self.ends_s = self.began_s + link.open_s

    def open(
        self, url: str | Parts | Feed, options: dict[str, str], *formats: str, form: str | None = None
    ) -> InputContainer | SourceError:
        """Open an address or a stream of bytes in the time that is left, but allow at least LEAST_OPEN_S.

        Args:
            url: the address, or an object that yields the bytes, which sets its own time limits.
            options: options of FFmpeg.
            formats: formats that are allowed here besides the usual ones.
            form: the format; None to let FFmpeg detect it.

        Returns:
            The container, or the error, which the caller raises outside of any `except` block (`_opened`).
        """
        now_s = time.monotonic()
        open_s = max(min(LEAST_OPEN_S, self.link.open_s), self.ends_s - now_s)
        allowed = {"format_whitelist": allowed_formats(*_URL_FORMATS, *formats)}
        try:
            container: InputContainer = av.open(
                url,
                format=form,
                options=options | allowed | decoder_options(self.max_pixels),
                timeout=(_TimeLeft(now_s + open_s), self.link.read_s) if isinstance(url, str) else None,
                hwaccel=self._accelerator,
                metadata_errors=_METADATA_ERRORS,
            )
        except av.error.ArgumentError:  # FFmpeg recognised a format that isn't allowed
            advice = "the server answers with a list of other addresses, which are not opened"
            return PlaylistError(f"{shown(self.source)}: {advice}", SourceReason.NOT_MEDIA)
        except (av.FFmpegError, OSError) as error:
            # If a server accepts the connection and stays silent, FFmpeg reports "invalid data" after the timeout.
            timed_out = time.monotonic() - now_s >= 0.9 * open_s
            reason, advice = fault_of_stream(error, timed_out, self.link.transport)
        else:
            return container
        return self.failed(advice, reason)

    def failed(self, advice: str, reason: SourceReason) -> SourceError:
        return SourceError(f"{shown(self.source)}: {advice}", reason)


def _open_file(path: str, accelerator: HWAccel | None, max_pixels: int) -> InputContainer | SourceError:
    """Open a file, and no other file or address that it names."""
    if is_empty(path):
        return SourceError(f"{shown(path)}: not a video or an image: the file is empty", SourceReason.NOT_MEDIA)
    options = {"format_whitelist": allowed_formats(MULTIPART), "protocol_whitelist": "file"} | ONE_IMAGE
    try:
        # Without the prefix, FFmpeg would take a ":" in a file's name for the end of a protocol.
        container: InputContainer = av.open(
            f"file:{path}",
            options=options | decoder_options(max_pixels),
            hwaccel=accelerator,
            metadata_errors=_METADATA_ERRORS,
        )
    except (av.FFmpegError, OSError) as error:
        reason, advice = fault_of_file(error, path)
        if reason is SourceReason.MISSING and isinstance(path, SecretAddress):
            advice = "contains neither a URL nor the path of a file"
    else:
        return container
    return SourceError(f"{shown(path)}: {advice}", reason)


def _open_rtsp(call: _Call) -> InputContainer | SourceError:
    """Open an RTSP camera almost without probing, which is fast.

    If that doesn't reveal its frame size, the camera is opened again with full probing.
    """
    link = call.link
    url, is_described = rtsp.look(call.source, call.ends_s, link.tls)
    # Without audio: no stage uses it, and its packets would hide that the video is frozen.
    options = {"rtsp_transport": _TRANSPORTS[link.transport], "allowed_media_types": "video"} | link.tls.options()
    if link.transport != "tcp":
        options |= REORDER
    fast = _of_known_size(call.open(url, _FAST_OPEN | options), call)
    for pause_s in _PAUSES_S if is_described else ():
        if not isinstance(fast, SourceError) or fast.reason not in _BUSY:
            break
        time.sleep(pause_s)
        fast = _of_known_size(call.open(url, _FAST_OPEN | options), call)
    worth_probing = (SourceReason.NOT_MEDIA, SourceReason.TIMEOUT)
    has_time = time.monotonic() - call.began_s < link.open_s / 2
    if isinstance(fast, SourceError) and fast.reason in worth_probing and has_time:
        return _of_known_size(call.open(url, options), call)
    return fast


def _open_http(call: _Call) -> InputContainer | SourceError:
    """Open an HTTP stream, following its redirects if it has any."""
    addresses_of(call.source)
    options = _HTTP | call.link.tls.options()
    url = call.source
    formats = ["hls"] if call.link.playlist else []
    opened = call.open(url, options, *formats)
    # FFmpeg reports a redirect, and a certificate that isn't trusted, as an input/output error.
    if isinstance(opened, SourceError) and opened.reason is SourceReason.LOST:
        url = web.final_address(call.source, call.ends_s, call.link.tls)
        if url != call.source:
            opened = call.open(url, options, *formats)
    if isinstance(opened, SourceError) and opened.reason is SourceReason.NOT_MEDIA:
        return _open_parts(call, url, options) or opened
    return opened


def _open_parts(call: _Call, url: str, options: dict[str, str]) -> InputContainer | SourceError | None:
    """Open a multipart stream of JPEGs; None if the stream is something else."""
    stream = call.open(url, options | AS_BYTES, form="data")
    if isinstance(stream, SourceError):
        return None if stream.reason is SourceReason.NOT_MEDIA else stream
    parts = Parts(stream, shown(call.source), call.max_pixels, call.link.read_s, call.ends_s)
    try:
        pictures = call.open(parts, {}, MULTIPART, form=MULTIPART) if parts.begin() else None
    except BaseException:
        parts.close()
        raise
    if pictures is None or isinstance(pictures, SourceError):
        parts.close()
    parts.is_open = True
    return pictures


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


def _of_known_size(container: InputContainer | SourceError, call: _Call) -> InputContainer | SourceError:
    """Return the container, or an error if the camera answered and then sent nothing to probe."""
    if isinstance(container, SourceError) or not container.streams.video:
        return container
    codec = container.streams.video[0].codec_context
    if codec is None or codec.width:  # None: FFmpeg lacks the decoder
        return container
    container.close()
    advice = "" if call.link.transport == "tcp" else f" over {call.link.transport}: try transport: tcp"
    return call.failed(f"timed out: the camera answers, but sends no video{advice}", SourceReason.TIMEOUT)


def _opened(container: InputContainer | SourceError) -> InputContainer:
    # Raised outside of any `except` block. Inside one, Python would attach FFmpeg's exception, which contains the URL,
    # as __context__.
    if isinstance(container, SourceError):
        raise container
    return container
