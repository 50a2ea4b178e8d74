"""The video of an open file: packets -> frames -> pictures, all of them, as fast as they are taken.

Used by capture.stream. `packets` times the frames, `start` leaves out the broken ones before the first key frame, and
`complete` checks at the end that nothing was missing.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from realtime.capture.complete import Seen, check_complete, ending_of, is_only_the_end, repeats_picture
from realtime.capture.convert import Converter
from realtime.capture.limits import picture_size
from realtime.capture.nested import Nested, timed
from realtime.capture.packets import FilePackets
from realtime.capture.pipe import Pipe
from realtime.capture.source import Fault, Picture
from realtime.capture.start import Start
from realtime.errors import too_large


class RecordedVideo:
    """The video track of an open file.

    Args:
        name: the source, redacted.
        container: the open file.
        stream: its video track.
        fps: the rate that it declares; None if it declares none.
        is_http: whether the file is on a server.
        max_pixels: decode no larger picture.
        path: where the file is; None if it is on a server or comes through a pipe.
        nested: the files of an HLS playlist that FFmpeg reads.
        pipe: where its bytes come from; None: FFmpeg reads them itself.
    """

    def __init__(
        self,
        name: str,
        container: InputContainer,
        stream: VideoStream,
        *,
        fps: float | None,
        is_http: bool,
        max_pixels: int,
        path: str | None,
        nested: Nested | None,
        pipe: Pipe | io.BytesIO | None,
    ) -> None:
        self._name, self._container, self._stream = name, container, stream
        self._fps, self._is_http, self._max_pixels = fps, is_http, max_pixels
        self._path, self._nested, self._pipe = path, nested, pipe
        codec = stream.codec_context.name
        self._convert, self._start, self._seen = Converter(name, codec), Start(codec), Seen()
        self._oversize: tuple[int, int] | None = None  # size of a picture that was not decoded

    def pictures(self) -> Generator[Picture]:
        """Yield the frames, as fast as they are taken.

        Raises:
            SourceError: a picture is too large.
            TruncatedError: the file ended early or is damaged; all its intact frames were yielded.
        """
        demuxed = timed(self._container.demux(self._stream), self._nested)
        packets = FilePackets(demuxed, self._container, self._stream, self._fps)
        for packet in packets:
            self._seen.note_packet(packet)
            if not repeats_picture(packet):
                yield from self._decode(packet, packets)
        error = packets.error
        self._seen.broken_off = error is not None and not is_only_the_end(error, self._container, is_http=self._is_http)
        yield from self._decode(None, packets)  # flush the decoder, if reading broke off
        if isinstance(self._pipe, Pipe):
            ending = self._pipe.ending()
        else:
            ending = ending_of(self._path) if self._path else "unknown"
        check_complete(
            self._name, self._container, self._stream, self._seen, self._fps, is_http=self._is_http, ending=ending
        )

    def _decode(self, packet: Packet[VideoStream] | None, packets: FilePackets) -> Iterator[Picture]:
        """Yield the frames that a packet completes, or one undecodable frame if decoding fails.

        Raises:
            SourceError: the last picture was too large.
        """
        for picture in self._decoded(packet, packets):
            yield picture
            if self._oversize is not None:
                raise too_large(self._name, self._oversize, self._max_pixels)

    def _decoded(self, packet: Packet[VideoStream] | None, packets: FilePackets) -> list[Picture]:
        if packet is not None and packet.is_discard and packet.is_keyframe:
            self._start.hidden_key()
        try:
            frames = self._stream.decode(packet)
        except EOFError:
            return []
        except (av.FFmpegError, OSError):
            if self._is_too_large(*picture_size(self._stream.codec_context, packet)):
                return [Picture(None, None, "too large")]
            packets.failed(packet)
            if not self._seen.good:
                return []  # a recording may start between two key frames, which is not damage
            self._seen.undecodable += 1
            return [Picture(None, None, "undecodable")]
        # Each frame is timed in its turn, also one that isn't whole.
        timed_frames = [(frame, packets.time_of(frame)) for frame in frames]
        return [
            self._picture(
                frame, media_s, "corrupt" if frame.is_corrupt or packets.is_cut(frame) else None, packets.has_spread
            )
            for frame, media_s in timed_frames
            if self._start.is_shown(frame)
        ]

    def _is_too_large(self, width: int, height: int) -> bool:
        """Whether a picture exceeds the limit. If it does, that is raised once this picture has been counted."""
        if width * height > self._max_pixels:
            self._oversize = width, height
        return self._oversize is not None

    def _picture(self, frame: VideoFrame, media_s: float | None, fault: Fault | None, is_spread: bool) -> Picture:
        if self._is_too_large(frame.width, frame.height):
            return Picture(None, None, "too large")
        decoded = self._convert(frame)
        self._seen.note(media_s)
        return Picture(decoded, media_s, fault, is_spread=is_spread)
