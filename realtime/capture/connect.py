"""Opens a video file or a network stream through PyAV.

Used by capture.stream. capture.rtsp and capture.web follow redirects, capture.faults explains why a source can't be
opened. Errors raised here contain neither a URL's secrets nor FFmpeg's exception, which contains the URL.
"""

from __future__ import annotations

import functools
import io
import logging
import time

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from realtime.capture import rtsp, web
from realtime.capture.addresses import is_address
from realtime.capture.attempt import METADATA_ERRORS, Call, Feed, ImageError, Link
from realtime.capture.faults import fault_of_file, is_empty
from realtime.capture.formats import MULTIPART, ONE_IMAGE, allowed_formats, is_one_image
from realtime.capture.hosts import addresses_of
from realtime.capture.limits import decoder_options
from realtime.capture.login import has_login
from realtime.capture.losses import REORDER
from realtime.capture.multipart import AS_BYTES, Parts
from realtime.capture.nested import OPTIONS, Nested
from realtime.capture.pipe import Pipe
from realtime.capture.tracks import video_track
from realtime.config import Accelerator
from realtime.errors import SourceError, SourceReason
from realtime.redact import SecretAddress, shown

log = logging.getLogger(__name__)

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
    call = Call(source, Link(), _accelerator(hwaccel), max_pixels)
    return _opened(call.open(feed, _FAST_SEGMENTS, form=feed.format))


def connect(
    source: str, link: Link | None, hwaccel: Accelerator, max_pixels: int, pipe: Pipe | io.BytesIO | None = None
) -> InputContainer:
    """Open the container of a file or stream.

    Args:
        source: path or URL.
        link: how to connect to a URL; None for a file.
        hwaccel: hardware decoder; software is used if it isn't available.
        max_pixels: decode no larger picture while probing.
        pipe: the pipe to read from instead of opening `source`.

    Raises:
        SourceError: the container can't be opened.
    """
    accelerator = _accelerator(hwaccel)
    if link is None:
        return _opened(_open_file(source, accelerator, max_pixels, pipe))
    return _opened(_open_stream(Call(source, link, accelerator, max_pixels)))


def _open_stream(call: Call) -> InputContainer | SourceError:
    """Open a URL, by its scheme."""
    scheme = call.source.partition(":")[0].lower()
    if not is_address(call.source):
        advice = "not a valid address: check host and port, and write %23 %2F %3F for # / ? in a password"
        return call.failed(advice, SourceReason.DNS)
    try:
        if scheme in ("rtsp", "rtsps"):
            return _open_rtsp(call)
        if call.link.nested is not None:
            return _open_nested(call, call.link.nested)
        if scheme in ("http", "https"):
            return _open_http(call)
        addresses_of(call.source, call.ends_s)
        return call.open(call.source, _FAST_UDP)
    except SourceError as error:
        return SourceError(str(error), error.reason)  # without the exceptions that led to it


def _open_file(
    path: str, accelerator: HWAccel | None, max_pixels: int, pipe: Pipe | io.BytesIO | None
) -> InputContainer | SourceError:
    """Open a file, and no other file or address that it names."""
    if is_empty(path):
        return SourceError(f"{shown(path)}: not a video or an image: the file is empty", SourceReason.NOT_MEDIA)
    options = {"format_whitelist": allowed_formats(MULTIPART), "protocol_whitelist": "file"} | ONE_IMAGE
    try:
        # Without the prefix, FFmpeg would take a ":" in a file's name for the end of a protocol.
        container: InputContainer = av.open(
            pipe or f"file:{path}",
            options=options | decoder_options(max_pixels),
            hwaccel=accelerator,
            metadata_errors=METADATA_ERRORS,
        )
    except (av.FFmpegError, OSError) as error:
        reason, advice = fault_of_file(error, path)
        if reason is SourceReason.MISSING and isinstance(path, SecretAddress):
            advice = "contains neither a URL nor the path of a file"
    else:
        return container
    return SourceError(f"{shown(path)}: {advice}", reason)


def _open_rtsp(call: Call) -> InputContainer | SourceError:
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
        is_over = time.monotonic() + pause_s > call.ends_s
        if is_over or not isinstance(fast, SourceError) or fast.reason not in _BUSY:
            break
        time.sleep(pause_s)
        fast = _of_known_size(call.open(url, _FAST_OPEN | options), call)
    if isinstance(fast, SourceError) and fast.reason is SourceReason.AUTH and has_login(call.source) > has_login(url):
        return call.failed("login failed: none was sent, because the server's answer is not proper RTSP", fast.reason)
    worth_probing = (SourceReason.NOT_MEDIA, SourceReason.TIMEOUT)
    has_time = time.monotonic() - call.began_s < link.open_s / 2
    if isinstance(fast, SourceError) and fast.reason in worth_probing and has_time:
        return _of_known_size(call.open(url, options), call)
    return fast


def _open_http(call: Call) -> InputContainer | SourceError:
    """Open an HTTP stream, following its redirects if it has any."""
    addresses_of(call.source, call.ends_s)
    options = _HTTP | call.link.tls.options()
    url = call.source
    opened = call.open(url, options)
    # FFmpeg reports a redirect, and a certificate that isn't trusted, as an input/output error.
    if isinstance(opened, SourceError) and opened.reason is SourceReason.LOST:
        url = web.final_address(call.source, call.ends_s, call.link.tls)
        if url != call.source:
            opened = call.open(url, options)
    if not isinstance(opened, SourceError) and is_one_image(opened):
        opened.close()
        return ImageError(f"{shown(call.source)}: a single image, not a stream", SourceReason.NOT_MEDIA)
    if isinstance(opened, SourceError) and opened.reason is SourceReason.NOT_MEDIA:
        return _open_parts(call, url, options) or opened
    return opened


def _open_nested(call: Call, nested: Nested) -> InputContainer | SourceError:
    """Open an HLS playlist. FFmpeg gets it, and all files that it names, from `nested`."""
    opened = call.open(nested.url, OPTIONS, "hls", form="hls")
    if isinstance(opened, SourceError) and nested.problem is not None:
        problem, nested.problem = nested.problem, None
        if isinstance(problem, SourceError):
            return SourceError(str(problem), problem.reason)
        raise problem
    return opened


def _open_parts(call: Call, url: str, options: dict[str, str]) -> InputContainer | SourceError | None:
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


def _of_known_size(container: InputContainer | SourceError, call: Call) -> InputContainer | SourceError:
    """Return the container, or an error if the camera answered and then sent nothing to probe."""
    if isinstance(container, SourceError):
        return container
    track = video_track(container)
    if track is None or track.codec_context is None or track.codec_context.width:  # None: FFmpeg lacks the decoder
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
