"""The packets of a video file, some of which are read ahead, and the times of the frames that they become.

Used by capture.recorded; the arithmetic is in capture.stamps. Packets are small, so those ahead cost little memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from realtime.capture.stamps import Stamps, Ticket

# At most this many packets, and bytes, are read ahead. 1,000 packets are about half a minute at 30 frames per second.
MOST_AHEAD = 1000
MOST_BYTES = 64 * 2**20
# FFmpeg's flag of raw streams (AVFMT_NOTIMESTAMPS), for which it makes up times from a nominal rate.
RAW = 0x80
# These containers store decoding times only. FFmpeg derives presentation times from them, which are wrong for H.264.
_DECODING_TIMES = frozenset({"avi"})
# In these, FFmpeg marks also the packets around a loss, of which the decoder may show that they are whole. In all
# others, it marks only a packet that the end of the file cuts off.
_MARKS_LOSSES = frozenset({"mpegts"})


class FilePackets:
    """The packets of the video track of a file, in decoding order. Create it before the decoder is used.

    Packets are read ahead only where timestamps repeat, so that a pipe isn't delayed.

    Args:
        packets: what the demuxer returns.
        container: the file.
        stream: its video track.
        fps: declared frames per second; None if unknown.

    Attributes:
        error: the failure that ended reading; None at the end of the file.
    """

    def __init__(
        self,
        packets: Iterator[Packet[VideoStream]],
        container: InputContainer,
        stream: VideoStream,
        fps: float | None,
    ) -> None:
        self.error: Exception | None = None
        self._packets, self._stream = packets, stream
        self._has_stamps = not container.format.flags & RAW
        self._has_decoding_times = container.format.name in _DECODING_TIMES
        self._marks_cuts = container.format.name not in _MARKS_LOSSES
        self._stamps = Stamps(fps)
        self._time_base = stream.time_base or Fraction(0)
        self._ahead: deque[Packet[VideoStream]] = deque()
        self._bytes = 0
        self._cut: Ticket | None = None  # of the packet at which the file was cut off
        self._is_over = False
        stream.codec_context.copy_opaque = True  # each frame then refers to its packet

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        """Return the packets up to the end, or up to the first that can't be read."""
        while (packet := self._next()) is not None:
            yield packet

    @property
    def has_spread(self) -> bool:
        """Whether timestamps repeated or went back, so that frames were spread evenly."""
        return self._stamps.has_spread

    def is_cut(self, frame: VideoFrame) -> bool:
        """Whether the end of the file cut off the packet that became this frame."""
        return self._cut is not None and frame.opaque is self._cut

    def failed(self, packet: Packet[VideoStream] | None) -> None:
        """Note that a packet can't be decoded."""
        if packet is not None and isinstance(packet.opaque, Ticket):
            self._stamps.lost(packet.opaque)

    def time_of(self, frame: VideoFrame) -> float | None:
        """Return the time (s) of the next frame that the decoder returned; None if the file has no timestamps."""
        if not self._has_stamps:
            return None
        ticket = frame.opaque if isinstance(frame.opaque, Ticket) else None
        return self._stamps.shown(ticket, is_key=bool(frame.key_frame))

    def _next(self) -> Packet[VideoStream] | None:
        codec = self._stream.codec_context
        self._stamps.reorders = bool(codec.codec.reorder and codec.has_b_frames)
        while not self._is_over and not self._is_enough():
            self._read()
        if not self._ahead:
            return None
        packet = self._ahead.popleft()
        self._bytes -= packet.size
        if isinstance(packet.opaque, Ticket):
            self._stamps.decoding(packet.opaque)
        return packet

    def _read(self) -> None:
        try:
            packet = next(self._packets, None)
        except (av.FFmpegError, OSError) as error:
            self.error, packet = error.with_traceback(None), None  # a traceback would keep the packets
        if packet is None:
            self._is_over = True
            return
        if self._has_stamps and packet.size and not packet.is_discard:  # others yield no frame
            packet.opaque = self._stamps.read(self._stamp_s(packet), packet.is_keyframe)
            if packet.is_corrupt and self._marks_cuts:
                self._cut = packet.opaque
        self._ahead.append(packet)
        self._bytes += packet.size

    def _stamp_s(self, packet: Packet[VideoStream]) -> float | None:
        stamp = packet.dts if self._has_decoding_times or packet.pts is None else packet.pts
        return None if stamp is None else float(stamp) * self._time_base.numerator / self._time_base.denominator

    def _is_enough(self) -> bool:
        if not self._ahead:
            return False
        first = self._ahead[0].opaque
        if not isinstance(first, Ticket) or len(self._ahead) >= MOST_AHEAD or self._bytes >= MOST_BYTES:
            return True
        tickets = (packet.opaque for packet in islice(self._ahead, 1, None))
        return self._stamps.is_settled(first, (ticket for ticket in tickets if isinstance(ticket, Ticket)))
