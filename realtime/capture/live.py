"""The video of an open live stream: packets -> frames -> pictures, at the pace of the camera.

Used by capture.stream. `losses` tells which frames are damaged, and `kept_packets` which packets are not decoded while
nothing happens in front of the camera.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from struct import unpack

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from realtime.capture.attempt import Feed
from realtime.capture.complete import repeats_picture
from realtime.capture.damage import NO_PICTURE_S
from realtime.capture.kept_packets import Received
from realtime.capture.live_decoder import SIGN_S, LiveDecoder
from realtime.capture.losses import Losses
from realtime.capture.nested import Nested, timed
from realtime.capture.source import Picture
from realtime.config import IdleDecode
from realtime.errors import SourceError, SourceReason, too_large


class LiveVideo:
    """The video track of an open live stream.

    Args:
        name: the source, redacted.
        container: the open stream.
        stream: its video track.
        fps: the rate that it declares; None if it declares none.
        is_rtp_over_udp: whether packets can be lost.
        read_timeout_s: how long (s) the stream may be silent.
        max_pixels: decode no larger picture.
        nested: the files of an HLS playlist that FFmpeg reads.
        feed: where the bytes come from (capture.hls); None: FFmpeg reads them itself.
    """

    def __init__(
        self,
        name: str,
        container: InputContainer,
        stream: VideoStream,
        *,
        fps: float | None,
        is_rtp_over_udp: bool,
        read_timeout_s: float,
        max_pixels: int,
        nested: Nested | None = None,
        feed: Feed | None = None,
    ) -> None:
        self._name, self._container, self._stream = name, container, stream
        self._read_timeout_s, self._max_pixels = read_timeout_s, max_pixels
        self._nested, self._feed = nested, feed
        self._time_base_s = float(stream.time_base or 0)
        self._losses = Losses(stream, is_rtp_over_udp, time.monotonic())
        self._decoder = LiveDecoder(name, container.format.name, stream, self._losses, fps=fps, max_pixels=max_pixels)

    @property
    def fps(self) -> float | None:
        """Nominal frames per second, measured if none were declared; None if unknown."""
        return self._decoder.fps

    def decode_only(self, what: IdleDecode) -> None:
        """Decode only these frames from the next packet on; see `capture.source.Sparing`."""
        self._decoder.only(what)

    def pictures(self) -> Generator[Picture]:
        """Yield the frames as they arrive. A packet that isn't decoded on purpose is a picture with the fault `idle`.

        Raises:
            SourceError: the stream was lost, or can't be decoded, or a picture is too large.
        """
        # Read all tracks. If asked for video only, PyAV would skip audio packets forever while the video is frozen,
        # and never return.
        packets = timed(self._container.demux(), self._nested)
        last_packet_s = last_picture_s = last_sign_s = time.monotonic()
        while True:
            packet = self._losses.next_packet(packets)
            now_s = time.monotonic()
            if now_s - last_packet_s >= 0.9 * self._read_timeout_s:
                raise SourceError(
                    f"{self._name}: timed out: no video for {now_s - last_packet_s:.1f} s", SourceReason.TIMEOUT
                )
            # At the end, FFmpeg sends an empty packet, which would make the decoder return the old frames it holds.
            if packet is None or (packet.size == 0 and not repeats_picture(packet)):
                raise SourceError(f"{self._name}: connection lost", SourceReason.LOST)
            if packet.size == 0 or packet.stream_index != self._stream.index or self._losses.repeats(packet):
                continue
            self._read_clock(packet)
            is_idle = True
            for picture in self._decoder.pictures(Received(packet, self._losses.received(packet, now_s), now_s)):
                is_idle = is_idle and picture.fault == "idle"
                last_picture_s = last_sign_s = now_s
                yield picture
            if (size := self._decoder.oversize) is not None:
                raise too_large(self._name, size, self._max_pixels)
            if now_s - last_sign_s >= SIGN_S:
                last_sign_s, is_idle = now_s, False
                yield Picture(None, None, self._losses.fault_of_none())
            last_packet_s = time.monotonic()  # read again: the caller may have spent time on the frames
            if not is_idle:
                self._losses.check(self._name, now_s)
            if now_s - last_picture_s > NO_PICTURE_S:
                raise SourceError(f"{self._name}: no frame can be decoded", SourceReason.CODEC)

    def _read_clock(self, packet: Packet[VideoStream]) -> None:
        """Update the camera's wall clock, which FFmpeg computes for each packet from the last RTCP sender report."""
        if self._feed is not None and packet.pts is not None:
            self._feed.passed(packet.pos, packet.pts * self._time_base_s)
        if packet.pts is not None and packet.has_sidedata("prft"):
            # AVProducerReferenceTime: int64 microseconds since 1970, int flags
            wall_us = unpack("=q", bytes(packet.get_sidedata("prft"))[:8])[0]
            self._decoder.wall_offset_s = wall_us / 1e6 - packet.pts * self._time_base_s
