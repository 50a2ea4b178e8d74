"""The packets of a live stream that are not decoded while nothing happens in front of the camera.

Used by capture.live_decoder. With `idle_decode: key`, only key frames are decoded. The packets since the last one are
kept, so that the decoder can catch up at any time.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

from realtime.capture.h264 import recovery_frames
from realtime.config import IdleDecode

# At most this many bytes are kept. A 1080p camera of 6 Mbit/s sends that in 10 s.
MOST_BYTES = 8 << 20
# Packets are kept for at most this long (s), which is how long the camera may be blind. Ten seconds is the longest
# common group (x264's default is 250 frames); its key frame may be half a second late.
LONGEST_S = 10.5

# What to do with a packet: keep it, decode this key frame alone, or decode it after all that were kept.
Plan = Literal["keep", "key", "decode"]


class Received(NamedTuple):
    """A packet of the video.

    Attributes:
        packet: the packet.
        number: that of capture.losses.
        arrived_s: monotonic seconds.
    """

    packet: Packet[VideoStream]
    number: int
    arrived_s: float


class KeptPackets:
    """Decides which packets are decoded, and keeps the others since the last key frame.

    If no key frame comes before the limits are reached, everything up to the next one is decoded.

    Args:
        is_h264: whether the codec is H.264, whose packets may be marked as key frames though they only begin an intra
            refresh.

    Attributes:
        what: which frames are decoded.
    """

    def __init__(self, is_h264: bool) -> None:
        self.what: IdleDecode = "all"
        self._is_h264 = is_h264
        self._has_overflowed = False
        self._kept: list[Received] = []
        self._bytes = 0

    def plan(self, received: Received) -> Plan:
        """Decide about the next packet. If it is to be kept, it is kept now."""
        if self.what != "key":
            self._has_overflowed = False
            return "decode"
        if self._is_start(received.packet):
            self._has_overflowed = False
            return "key"
        if not self._has_overflowed:
            self._has_overflowed = not self._has_room(received)
        if self._has_overflowed:
            return "decode"
        self._keep(received)
        return "keep"

    def restart(self, key: Received) -> None:
        """Forget all packets but this key frame: the decoder has been flushed and needs it again."""
        self.take()
        self._keep(key)

    def take(self) -> list[Received]:
        """Return the packets that the decoder lacks, in order, and forget them."""
        taken, self._kept, self._bytes = self._kept, [], 0
        return taken

    def _keep(self, received: Received) -> None:
        self._kept.append(received)
        self._bytes += received.packet.size

    def _has_room(self, received: Received) -> bool:
        is_recent = not self._kept or received.arrived_s - self._kept[0].arrived_s <= LONGEST_S
        return is_recent and self._bytes + received.packet.size <= MOST_BYTES

    def _is_start(self, packet: Packet[Any]) -> bool:  # Any: as in PyAV
        """Whether a packet holds a picture that depends on no other."""
        return packet.is_keyframe and not (self._is_h264 and recovery_frames(bytes(packet)))
