"""Video files and network cameras, read through PyAV.

One of the sources of capture; `connect` opens the container. `recorded` reads the frames of a file, and `live` those of
a live stream. Timestamps are the stream's own (PTS). Errors raised here don't contain a URL's secrets.
"""

from __future__ import annotations

import io

import av

from realtime.capture.attempt import OPEN_TIMEOUT_S, READ_TIMEOUT_S, Feed, Link
from realtime.capture.connect import connect, connect_feed
from realtime.capture.image_formats import refuse_tiles
from realtime.capture.limits import decoder_options
from realtime.capture.live import LiveVideo
from realtime.capture.live_decoder import INVENTED_STAMPS
from realtime.capture.multipart import close_with_parts
from realtime.capture.nested import Nested, explained
from realtime.capture.packets import RAW
from realtime.capture.pipe import Pipe
from realtime.capture.rate import MAX_FPS
from realtime.capture.recorded import RecordedVideo
from realtime.capture.source import Picture
from realtime.capture.tls import Tls
from realtime.capture.tracks import video_track
from realtime.config import MOST_PIXELS, Accelerator, IdleDecode, Transport
from realtime.errors import SourceError, SourceReason, too_large
from realtime.redact import shown

# The formats in which cameras send each frame as soon as it is captured, over any protocol. In HLS and MP4, several
# seconds of video arrive at a time.
_PROMPT = frozenset({"rtsp", "sdp", "rtp", "flv", "live_flv", "mpegts"})


class StreamSource:
    """An open video file or network stream.

    Args:
        source: path or URL.
        network: whether `source` is a URL. A URL is live, unless it is HTTP with a known duration.
        open_timeout_s: how long (s) opening may take.
        read_timeout_s: how long (s) a live stream may be silent.
        transport: RTSP transport: tcp, udp or multicast.
        tls: how to treat a server's certificate.
        hwaccel: hardware decoder; software is used if it isn't available.
        max_pixels: decode no larger picture.
        nested: the files of an HLS playlist that FFmpeg reads.
        feed: where the bytes of a live stream come from (capture.hls); None: from `source`.
        pipe: where the bytes of a file come from (capture.piped, capture.one_image); None: from `source`.

    Raises:
        SourceError: the source can't be opened, or contains no video that can be decoded.
    """

    def __init__(
        self,
        source: str,
        *,
        network: bool,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        transport: Transport = "tcp",
        tls: Tls = Tls(),  # noqa: B008 - immutable
        hwaccel: Accelerator = "none",
        max_pixels: int = MOST_PIXELS,
        nested: Nested | None = None,
        feed: Feed | None = None,
        pipe: Pipe | io.BytesIO | None = None,
    ) -> None:
        self._name = shown(source)
        scheme = source.lower().partition(":")[0]
        self._is_rtp_over_udp = scheme == "rtp" or (scheme == "rtsp" and transport != "tcp")
        self._is_http = scheme in ("http", "https")
        self._read_timeout_s = read_timeout_s
        self._max_pixels = max_pixels
        self._feed, self._nested = feed, nested
        self._path, self._pipe = None if network or pipe is not None else source, pipe
        if feed is not None:
            self._container = connect_feed(feed, source, hwaccel, max_pixels)
        else:
            link = Link(open_timeout_s, read_timeout_s, transport, tls, nested) if network else None
            self._container = connect(source, link, hwaccel, max_pixels, pipe)
        try:
            with explained(nested):
                self._describe(network)
        except BaseException:
            close_with_parts(self._container)  # or it keeps its memory, files and threads until it is garbage-collected
            raise

    def _describe(self, network: bool) -> None:
        """Find the video track, its size and rate, and whether it is live. For a file, decode the first frame too."""
        container = self._container
        refuse_tiles(self._name, container.metadata, len(container.streams.video))
        track = video_track(container)
        if track is None:
            raise SourceError(f"{self._name}: no video track", SourceReason.NO_VIDEO)
        self._stream = track
        if self._stream.codec_context is None:
            raise SourceError(
                f"{self._name}: can't be decoded: FFmpeg lacks a decoder for its codec", SourceReason.CODEC
            )
        codec = self._stream.codec_context
        if codec.width * codec.height > self._max_pixels:
            raise too_large(self._name, (codec.width, codec.height), self._max_pixels)
        codec.options = decoder_options(self._max_pixels)
        is_file_on_server = self._is_http and self._feed is None and (container.duration or 0) > 0
        self.live = network and not is_file_on_server
        self.prompt = self.live and container.format.name in _PROMPT
        self._declared_fps = self._find_fps()
        self.length = self._find_length()
        self._first: Picture | None = None
        self._live: LiveVideo | None = None
        if self.live:
            self._live = LiveVideo(
                self._name,
                container,
                track,
                fps=self._declared_fps,
                is_rtp_over_udp=self._is_rtp_over_udp,
                read_timeout_s=self._read_timeout_s,
                max_pixels=self._max_pixels,
                nested=self._nested,
                feed=self._feed,
            )
            self._pictures = self._live.pictures()
            self.size = (codec.width, codec.height)
        else:
            recorded = RecordedVideo(
                self._name,
                container,
                track,
                fps=self._declared_fps,
                is_http=self._is_http,
                max_pixels=self._max_pixels,
                path=self._path,
                nested=self._nested,
                pipe=self._pipe,
            )
            self._pictures = recorded.pictures()
            # Only a decoded frame shows how the file is rotated, and whether it can be decoded at all.
            self._first = next(self._pictures, None)
            if self._first is not None and self._first.fault == "too large":
                next(self._pictures)  # raises, with its size
            if self._first is None or self._first.decoded is None:
                raise SourceError(f"{self._name}: no frame can be decoded", SourceReason.CODEC)
            self._first.decoded.bgr()  # raises if its pixel format can't be converted
            self.size = self._first.decoded.size

    @property
    def fps(self) -> float | None:
        """Nominal frames per second; None until it is known."""
        return self._live.fps if self._live is not None else self._declared_fps

    def decode_only(self, what: IdleDecode) -> None:
        """Decode only these frames of a live stream from the next `read` on; see `capture.source.Sparing`."""
        if self._live is not None:
            self._live.decode_only(what)

    def _find_fps(self) -> float | None:
        """Return the frame rate that the source declares; None if it declares none."""
        stream, container = self._stream, self._container
        if container.format.name in INVENTED_STAMPS:
            return None
        if container.duration and not container.format.flags & RAW:  # FFmpeg guesses that of MPEG-1
            rate = stream.average_rate
        elif self.live:
            # The rate in the SDP, or of probed packets; else the rate in the stream (VUI). FFmpeg's guess is the field
            # rate, which is double.
            rate = stream.average_rate or stream.codec_context.framerate
        else:
            # For a raw stream, the average rate is FFmpeg's default and the guessed rate comes from the stream.
            rate = stream.guessed_rate
        return float(rate) if rate and 0 < rate <= MAX_FPS else None

    def _find_length(self) -> int | None:
        """Return the number of frames that a file declares, or that follows from its duration; None if unknown."""
        stream, container = self._stream, self._container
        if self.live or self._pipe is not None or container.format.flags & RAW:  # FFmpeg guesses the duration of those
            return None
        if stream.frames:
            return stream.frames
        duration_s = float((stream.duration or 0) * (stream.time_base or 0)) or (container.duration or 0) / av.time_base
        return round(duration_s * (self._declared_fps or 0)) or None

    def read(self) -> Picture | None:
        """Return the next frame, or None at the normal end of a file. Blocks up to the read timeout.

        Raises:
            SourceError: a live stream was lost (its end counts as a loss), or the previous picture was too large.
            TruncatedError: a file ended early or is damaged; all its intact frames were returned.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        with explained(self._nested):
            return next(self._pictures, None)

    def close(self) -> None:
        """Release the container. Call it on the thread that reads: on any other, it crashes the process."""
        # The generator and this object refer to each other. Unless one of them lets go here, both keep the decoder's
        # buffers until the garbage collector runs, which happens rarely.
        self._pictures.close()
        self._first = None
        close_with_parts(self._container)
