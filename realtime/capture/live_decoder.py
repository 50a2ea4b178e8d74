"""Decodes the packets of a live stream: all, or only some while nothing happens in front of the camera.

Used by capture.live: packets -> frames -> pictures. `kept_packets` decides which packets are decoded,
and `losses` which frames are damaged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from realtime.capture.convert import Converter
from realtime.capture.kept_packets import KeptPackets, Received
from realtime.capture.limits import picture_size
from realtime.capture.losses import Losses
from realtime.capture.rate import FrameRate
from realtime.capture.source import Fault, Picture
from realtime.config import IdleDecode

# While packets yield no frame, a picture with a fault is returned this often (s), so that the camera doesn't count as
# silent.
SIGN_S = 0.25
# The first frames of an RTSP camera may have no timestamp: up to this many in a row are dropped. A camera that never
# sends timestamps is timed by arrival.
UNSTAMPED = 10
# FFmpeg makes up the rate and the timestamps of motion JPEG over HTTP (always 25 fps), which is worse than none.
INVENTED_STAMPS = frozenset({"mpjpeg", "mjpeg"})


class LiveDecoder:
    """Decodes the video track of an open live stream.

    Args:
        name: the source, redacted.
        form: FFmpeg's name of the container format.
        stream: the video track.
        losses: keeps track of each packet that arrives.
        fps: the rate that the stream declares; None if it declares none.
        max_pixels: decode no larger picture.

    Attributes:
        fps: nominal frames per second, measured if none were declared; None if unknown.
        oversize: width and height of a picture that was too large; None if none was.
        wall_offset_s: the camera's wall clock minus its timestamps; None if unknown. Set by the caller.
    """

    def __init__(
        self, name: str, form: str, stream: VideoStream, losses: Losses, *, fps: float | None, max_pixels: int
    ) -> None:
        self._form, self._stream, self._losses, self._max_pixels = form, stream, losses, max_pixels
        self.fps, self._rate = fps, FrameRate(fps)
        self.oversize: tuple[int, int] | None = None
        self.wall_offset_s: float | None = None
        self._time_base_s = float(stream.time_base or 0)
        codec = stream.codec_context.name
        self._convert = Converter(name, codec)
        self._kept = KeptPackets(is_h264=codec == "h264")
        self._is_flushed = True  # the decoder holds no frames
        self._awaits_key = False  # whether the decoder will return the last key frame again
        self._key_pts: int | None = None  # its timestamp
        self._owed: list[int] = []  # timestamps of packets that the decoder may leave out (nonref)
        self._usual_lead_s = 0.0  # see `_lead_s`
        self._unstamped = 0

    def only(self, what: IdleDecode) -> None:
        """Decode only these frames from the next packet on; see `capture.source.Sparing`."""
        if what != self._kept.what:
            self._kept.what = what
            self._stream.codec_context.skip_frame = "NONREF" if what == "nonref" else "DEFAULT"

    def pictures(self, received: Received) -> Iterator[Picture]:
        """Yield the pictures that the next packet completes. If it isn't decoded on purpose, its fault is `idle`."""
        plan = self._kept.plan(received)
        if plan == "keep":
            packet = received.packet
            # The time of decoding, because it rises even if frames are reordered.
            yield Picture(None, self._seconds(packet.pts if packet.dts is None else packet.dts), "idle")
        elif plan == "key":
            yield from self._alone(received)
        else:
            yield from self._with_kept(received)

    def _with_kept(self, received: Received) -> Iterator[Picture]:
        """Yield the frames that a packet completes. If packets were kept, decode them first: yield the newest only."""
        kept, signed_s = self._kept.take(), time.monotonic()
        if not kept:
            yield from self._decoded(received)
            return
        newest: Picture | None = None
        for each in [*kept, received]:
            self._losses.decodes(each.packet, each.number)
            # Those that were kept have been counted as `idle`.
            for picture in self._decoded(each):
                newest = picture
            if time.monotonic() - signed_s >= SIGN_S:  # many packets take seconds
                signed_s = time.monotonic()
                yield Picture(None, None, "idle")
        if newest is not None:
            yield newest

    def _decoded(self, received: Received) -> Iterator[Picture]:
        """Yield the frames that a packet completes, or one undecodable frame if decoding fails.

        A frame that isn't whole has no image, which saves its conversion.
        """
        packet = received.packet
        self._is_flushed = False
        frames = self._frames(packet)
        if frames is None:
            yield self._undecodable(received)
            return
        if self._kept.what == "nonref" and packet.pts is not None:
            self._owed.append(packet.pts)
        for frame in frames:
            yield from self._left_out(frame.pts)
            if self._is_new(frame.pts):
                yield self._judged(frame, received)
            else:
                self._convert.skip(frame)

    def _alone(self, key: Received) -> Iterator[Picture]:
        """Yield the picture of a key frame at once, although the decoder would hold it back to reorder frames."""
        for frame in self._flushed():
            self._convert.skip(frame)
            yield Picture(None, self._seconds(frame.pts), "idle")
        self._kept.restart(key)
        self._awaits_key, self._owed = False, []
        frames = self._frames(key.packet)
        self._is_flushed = False
        frames = [*(frames or []), *self._flushed()]
        if not frames:
            yield self._undecodable(key)
        for frame in frames:
            self._awaits_key, self._key_pts = True, frame.pts
            yield self._judged(frame, key)

    def _frames(self, packet: Packet[VideoStream] | None) -> list[VideoFrame] | None:
        """Decode a packet, or with None the rest; None if that fails."""
        try:
            return self._stream.decode(packet)
        except EOFError:
            return []
        except (av.FFmpegError, OSError):
            self._is_too_large(*picture_size(self._stream.codec_context, packet))
            return None

    def _flushed(self) -> list[VideoFrame]:
        """Return the frames that the decoder holds, and make it forget everything."""
        if self._is_flushed:
            return []
        frames = self._frames(None) or []
        self._stream.codec_context.flush_buffers()
        self._is_flushed = True
        return frames

    def _is_new(self, pts: int | None) -> bool:
        """Whether a frame is shown after the key frame that was decoded alone, which the decoder returns once more.

        Those before it may refer to frames that were not decoded. Most decoders leave them out.
        """
        if not self._awaits_key:
            return True
        is_again = pts == self._key_pts
        is_new = not is_again and (pts is None or self._key_pts is None or pts > self._key_pts)
        self._awaits_key = not is_again and not is_new
        return is_new

    def _left_out(self, pts: int | None) -> Iterator[Picture]:
        """Yield a picture for each packet before this timestamp that the decoder left out (nonref)."""
        if pts is None or not self._owed:
            return
        for left_out in sorted(owed for owed in self._owed if owed < pts):
            yield Picture(None, self._seconds(left_out), "idle")
        self._owed = [owed for owed in self._owed if owed > pts]

    def _undecodable(self, received: Received) -> Picture:
        if self.oversize is not None:
            return Picture(None, None, "too large")
        self._losses.failed(received.arrived_s)
        return Picture(None, None, self._losses.fault_of_none())

    def _judged(self, frame: VideoFrame, received: Received) -> Picture:
        """Return the picture of a frame that this packet completed. One that isn't whole has no image."""
        media_s = self._seconds(frame.pts)
        fault = self._losses.fault_of(frame, received.arrived_s)
        if fault is not None:
            self._convert.skip(frame)
            return Picture(None, media_s, fault)
        if self._is_too_large(frame.width, frame.height):
            return Picture(None, None, "too large")
        lead_s = self._lead_s(frame, received.packet)
        wall_s = None if media_s is None or self.wall_offset_s is None else media_s + self.wall_offset_s
        return Picture(self._convert(frame), media_s, self._fault_of_stamp(media_s), wall_s, lead_s=lead_s)

    def _fault_of_stamp(self, media_s: float | None) -> Fault | None:
        if media_s is not None:
            if not self._awaits_key:  # key frames alone don't show the rate
                self.fps = self._rate.saw(media_s)
            self._unstamped = 0
        elif self._form == "rtsp":
            self._unstamped += 1
            if self._unstamped <= UNSTAMPED:
                return "no time stamp"
        return None

    def _lead_s(self, frame: VideoFrame, packet: Packet[VideoStream]) -> float:
        """Return how much sooner (s) a frame was decoded than usual, because `decode_only` changes the reordering.

        The time of decoding of a packet is that at which the frame with this timestamp is shown.
        """
        if frame.pts is None or packet.dts is None:
            return 0.0
        lead_s = (frame.pts - packet.dts) * self._time_base_s
        if self._kept.what == "all":
            self._usual_lead_s = lead_s
        return lead_s - self._usual_lead_s

    def _is_too_large(self, width: int, height: int) -> bool:
        """Whether a picture exceeds the limit. If it does, that is raised once this picture has been counted."""
        if width * height > self._max_pixels:
            self.oversize = width, height
        return self.oversize is not None

    def _seconds(self, stamp: int | None) -> float | None:
        # Not `frame.time`, which is not a number for frames that are flushed out of the decoder.
        if stamp is None or self._form in INVENTED_STAMPS:
            return None
        return stamp * self._time_base_s
