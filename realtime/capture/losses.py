"""Finds the packets of a live stream that lost data on the way, and the frames that suffer from it.

Used by capture.live and capture.live_decoder: PyAV's packets and frames -> capture.damage. FFmpeg knows the RTP
sequence numbers, but shows gaps in its log only: the next packet looks like any other, and the decoder marks a frame if
parts of it are missing, but not if all of it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import av
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from realtime.capture.damage import NO_PICTURE_S, Damage
from realtime.capture.h264 import is_reference, recovery_frames
from realtime.capture.source import Fault
from realtime.errors import SourceError, SourceReason

# With these FFmpeg options, datagrams that arrive early wait in a queue until the missing one arrives, the queue is
# full, or one has waited for `max_delay` (microseconds). Without a queue, which is the default for a short delay,
# FFmpeg neither reorders datagrams nor reports gaps. 16 datagrams of a key frame take a few ms. 20 ms is longer than a
# local network delays a datagram, and shorter than the interval between two frames.
REORDER = {"reorder_queue_size": "16", "max_delay": "20000"}

# What FFmpeg (libavformat/rtpdec.c) writes about a gap, and about datagrams that it discards after a long one.
_GAPS = ("RTP: missed ", "bad cseq")
# A frame is matched with its packet among the last that were decoded, which are more than a decoder holds back.
_PENDING = 64


class Losses:
    """Follows the packets and frames of the video track of one live stream.

    Args:
        stream: the video track.
        has_datagrams: whether the stream is RTP over UDP, so that packets can be lost and FFmpeg logs the gaps.
        now_s: the time at which it was opened; monotonic seconds, as in all methods.
    """

    def __init__(self, stream: VideoStream, has_datagrams: bool, now_s: float) -> None:
        self._stream = stream
        self._has_datagrams = has_datagrams
        self._is_h264 = stream.codec_context.name == "h264"
        self._damage = Damage(now_s)
        self._packet = 0  # the number of the last packet
        self._numbers: dict[int | None, int] = {}  # of recent packets, by their timestamps
        self._has_gap = False
        self._last: tuple[int | None, bytes] | None = None  # the timestamp and the data of the last packet
        self._has_key = self._has_frame = False
        if has_datagrams:
            _listen()

    def next_packet(self, packets: Iterator[Packet[Any]]) -> Packet[Any] | None:  # Any: packets of all tracks
        """Return the next packet; None at the end, or if reading failed."""
        try:
            if not self._has_datagrams:
                return next(packets, None)
            # The lines of this thread only, which is the one that receives the datagrams.
            with av.logging.Capture(local=True) as lines:
                packet = next(packets, None)
        except (av.FFmpegError, OSError):
            return None
        # Kept until a packet of our track comes: the gap may be seen while another track's packet is returned.
        self._has_gap = self._has_gap or any(gap in text for _, _, text in lines for gap in _GAPS)
        return packet

    def repeats(self, packet: Packet[VideoStream]) -> bool:
        """Whether a packet of the track repeats the one before it. Call it once for each packet, before decoding.

        Networks deliver some datagrams twice. FFmpeg doesn't notice, and decoding a frame twice damages the next ones.
        """
        if not self._has_datagrams:
            return False
        last, self._last = self._last, (packet.pts, bytes(packet))
        return last == self._last

    def received(self, packet: Packet[VideoStream], now_s: float) -> int:
        """Note a packet of the track when it arrives, and return its number, from 1."""
        self._packet += 1
        self.decodes(packet, self._packet)
        self._has_key = self._has_key or packet.is_keyframe
        if self._is_h264:
            self._look_for_refresh(packet, now_s)
        # FFmpeg returns a packet when the next one begins, so the gap is in this one or right after it. In MPEG-TS,
        # packets are counted, and the one that lacks data is marked.
        if self._has_gap or packet.is_corrupt:
            self._damage.hit(self._packet, now_s)
            self._has_gap = False
        return self._packet

    def decodes(self, packet: Packet[VideoStream], number: int) -> None:
        """Note that a packet is decoded next. Call it again for one that has been kept since it arrived."""
        self._numbers.pop(packet.pts, None)
        self._numbers[packet.pts] = number
        if len(self._numbers) > _PENDING:
            del self._numbers[next(iter(self._numbers))]

    def _look_for_refresh(self, packet: Packet[VideoStream], now_s: float) -> None:
        if self._damage.is_refreshing:
            self._damage.refresh_goes_on(self._packet, is_reference(bytes(packet)))
        if packet.is_keyframe:  # true for recovery points too
            frames = recovery_frames(bytes(packet))
            if frames is not None:
                self._damage.refreshes(self._packet, frames, now_s)

    def fault_of(self, frame: VideoFrame, now_s: float) -> Fault | None:
        """Return why a frame can't be used; None if it is whole.

        An I frame counts as a key frame. Some encoders never mark one after the first, and FFmpeg too begins at them.
        """
        self._has_frame = True
        is_start = frame.key_frame or frame.pict_type == PictureType.I
        number = self._numbers.get(frame.pts, self._packet)
        return self._damage.judge(number, is_start, frame.is_corrupt, now_s)

    def failed(self, now_s: float) -> None:
        """Note that the last packet can't be decoded."""
        self._damage.hit(self._packet, now_s)

    def fault_of_none(self) -> Fault:
        """Return why a packet yields no frame."""
        return "undecodable" if self._damage.has_started or self._has_key else "waiting for a key frame"

    def check(self, name: str, now_s: float) -> None:
        """Check that whole frames still come. Call it after each packet.

        Raises:
            SourceError: there has been none for too long.
        """
        if not self._damage.lasts(now_s):
            return
        if not self._has_key:
            raise SourceError(f"{name}: no key frame for {NO_PICTURE_S:.0f} s", SourceReason.KEY_FRAME)
        if self._has_frame:
            raise SourceError(f"{name}: damaged: no intact frame arrives", SourceReason.DAMAGED)
        raise SourceError(f"{name}: no frame can be decoded", SourceReason.CODEC)


def _listen() -> None:
    """Let FFmpeg write warnings to `Capture`, and nowhere else.

    PyAV gives the lines of threads that capture none to the logger `libav`. They are kept from the log at any level: a
    damaged stream causes hundreds of them per second, and some contain addresses.
    """
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    av.logging.set_skip_repeated(False)  # the second of two equal lines may be another camera's
    if (av.logging.get_level() or av.logging.PANIC) < av.logging.WARNING:
        av.logging.set_level(av.logging.WARNING)
