"""Opens a stream with FFmpeg, through PyAV, within a time limit.

Used by capture.connect. Errors contain neither a URL's secrets nor FFmpeg's exception, which contains the URL.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from realtime.capture.faults import fault_of_stream
from realtime.capture.formats import allowed_formats
from realtime.capture.limits import decoder_options
from realtime.capture.multipart import Parts
from realtime.capture.nested import Nested
from realtime.capture.tls import Tls
from realtime.config import Transport
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# Connecting, waiting for a key frame and probing take seconds on a healthy but busy network. A shorter timeout would
# reject working cameras.
OPEN_TIMEOUT_S = 10.0
# A camera that sends nothing for this long is lost, unless the configuration sets another limit.
READ_TIMEOUT_S = 2.0
# FFmpeg gets at least this long (s), even if our own requests to the server used up the time.
LEAST_OPEN_S = 1.0
# To PyAV, a timeout of 0 means no timeout.
_SHORTEST_S = 0.01
# The formats that FFmpeg selects by the URL. A stream that turns out to be a list of addresses is refused.
_URL_FORMATS = ("rtsp", "rtp")
# Titles and session names that are not UTF-8 do no harm, because nothing here uses them.
METADATA_ERRORS = "replace"


@dataclass(frozen=True, slots=True)
class Link:
    """How to connect to a network stream.

    Attributes:
        open_s: limit (s) for opening.
        read_s: limit (s) for each later read.
        transport: RTSP transport.
        tls: how to treat the server's certificate.
        nested: the source of all files if the stream is an HLS playlist that FFmpeg reads; otherwise None.
    """

    open_s: float = OPEN_TIMEOUT_S
    read_s: float = READ_TIMEOUT_S
    transport: Transport = "tcp"
    tls: Tls = field(default_factory=Tls)
    nested: Nested | None = None


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


class PlaylistError(SourceError):
    """The stream is a list of other addresses, none of which was opened."""


class ImageError(SourceError):
    """The address gives a single image, which capture.snapshot requests again and again."""


class _TimeLeft:
    """The time left until a deadline, as a timeout for PyAV, which reads it before connecting and before probing.

    With a plain number, each of the two steps could take the whole time.
    """

    def __init__(self, ends_s: float) -> None:
        self._ends_s = ends_s  # monotonic seconds

    def __float__(self) -> float:
        return max(_SHORTEST_S, self._ends_s - time.monotonic())


class Call:
    """One attempt to open a stream, with its time limit.

    Args:
        source: the stream's address.
        link: how to connect to it.
        accelerator: hardware decoder; None: software.
        max_pixels: decode no larger picture while probing.

    Attributes:
        ends_s: deadline for opening, in monotonic seconds.
    """

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
            The container, or the error, which the caller raises outside of any `except` block (capture.connect).
        """
        now_s, nested = time.monotonic(), self.link.nested
        open_s = max(min(LEAST_OPEN_S, self.link.open_s), self.ends_s - now_s)
        if nested is not None:
            nested.until(now_s + open_s)
        allowed = {"format_whitelist": allowed_formats(*_URL_FORMATS, *formats)}
        try:
            container: InputContainer = av.open(
                url,
                format=form,
                options=options | allowed | decoder_options(self.max_pixels),
                timeout=(_TimeLeft(now_s + open_s), self.link.read_s) if isinstance(url, str) else None,
                hwaccel=self._accelerator,
                metadata_errors=METADATA_ERRORS,
                io_open=None if nested is None else nested.open,
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
        """Return an error of this attempt. Its message begins with the address as shown to the user."""
        return SourceError(f"{shown(self.source)}: {advice}", reason)
