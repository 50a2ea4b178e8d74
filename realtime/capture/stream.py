"""Video files and network cameras, read through PyAV.

One of the sources of capture; `connect` opens the container. Timestamps are the stream's own (PTS), never i / fps.
Errors raised here don't contain a URL's secrets.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from struct import unpack
from typing import Any

import av
import cv2
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from realtime.capture.connect import OPEN_TIMEOUT_S, Feed, connect, connect_feed
from realtime.capture.source import Fault, Picture
from realtime.config import Accelerator, Transport
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.redact import shown

# A camera that sends nothing for this long is lost, unless the configuration sets another limit.
READ_TIMEOUT_S = 2.0
# A camera whose packets yield no frame for this long can't be decoded. No sane camera has longer key frame intervals.
NO_PICTURE_S = 15.0
# The first frames of an RTSP camera may have no timestamp: up to this many in a row are dropped. A camera that never
# sends timestamps is timed by arrival.
UNSTAMPED = 10

# Over UDP, a step between timestamps that is this many times longer than usual means that frames were lost.
LOST_STEP = 1.75

# FFmpeg makes up the rate and the timestamps of motion JPEG over HTTP (always 25 fps), which is worse than none.
_INVENTED_STAMPS = frozenset({"mpjpeg", "mjpeg"})
# The formats in which cameras send each frame when they take it, over any protocol. HLS and MP4 come seconds at a time.
_PROMPT = frozenset({"rtsp", "sdp", "rtp", "flv", "live_flv", "mpegts"})
_MAX_FPS = 1000.0
# A complete file may lack this many frames at its end, because containers round durations.
_END_TOLERANCE = 2

# The duration tag of a Matroska track: 00:01:02.5000000
_MATROSKA_DURATION = re.compile(r"(\d+):(\d+):(\d+\.?\d*)")

_UPRIGHT = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


class StreamSource:
    """An open video file or network stream.

    Args:
        source: path or URL.
        network: whether `source` is a URL. A URL is live, unless it is HTTP with a known duration.
        open_timeout_s: how long (s) opening may take.
        read_timeout_s: how long (s) a live stream may be silent.
        transport: RTSP transport, tcp or udp.
        hwaccel: hardware decoder; software is used if it isn't available.
        feed: where the bytes of a live stream come from (capture.hls); None: from `source`.

    Attributes:
        format: FFmpeg's name of the container format.

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
        hwaccel: Accelerator = "none",
        feed: Feed | None = None,
    ) -> None:
        self._name = shown(source)
        self._over_udp = source.lower().startswith("udp:") or transport == "udp"
        self._is_http = source.lower().startswith(("http:", "https:"))
        self._read_timeout_s = read_timeout_s
        self._feed = feed
        if feed is not None:
            self._container = connect_feed(feed, source, hwaccel)
        else:
            self._container = connect(source, network, (open_timeout_s, self._read_timeout_s), transport, hwaccel)
        self.format = self._container.format.name
        try:
            self._describe(network)
        except BaseException:
            self._container.close()  # or it keeps its memory, files and threads until it is garbage-collected
            raise

    def _describe(self, network: bool) -> None:
        """Find the video track, its size and rate, and whether it is live. For a file, decode the first frame too."""
        container = self._container
        if not container.streams.video:
            raise SourceError(f"{self._name}: no video track", SourceReason.NO_VIDEO)
        self._stream = container.streams.video[0]
        is_file_on_server = self._is_http and self._feed is None and (container.duration or 0) > 0
        self.live = network and not is_file_on_server
        self.prompt = self.live and container.format.name in _PROMPT
        # For a raw stream, the average rate is FFmpeg's default and the guessed rate comes from the stream.
        rate = self._stream.average_rate if container.duration else self._stream.guessed_rate
        invented = container.format.name in _INVENTED_STAMPS
        self.fps: float | None = float(rate) if rate and 0 < rate <= _MAX_FPS and not invented else None
        self._time_base_s = float(self._stream.time_base or 0)
        self._converter = VideoReformatter()  # shared by all frames: a new one per frame doubles the cost
        self._good = 0
        self._undecodable = 0
        self._broken_off = False
        self._unstamped = 0
        self._damage = _Damage(loses_pictures=self._over_udp)
        self._wall_offset_s: float | None = None  # the camera's wall clock minus its timestamps
        self._first_s: float | None = None  # timestamps of the first and the last frame
        self._last_s = 0.0
        self._pictures = self._live_pictures() if self.live else self._file_pictures()
        self._first: Picture | None = None
        if self.live:
            self.size = (self._stream.codec_context.width, self._stream.codec_context.height)
        else:
            # Only a decoded frame shows how the file is rotated, and whether it can be decoded at all.
            self._first = next(self._pictures, None)
            if self._first is None or self._first.image is None:
                raise SourceError(f"{self._name}: no frame can be decoded", SourceReason.CODEC)
            self.size = (self._first.image.shape[1], self._first.image.shape[0])

    def read(self) -> Picture | None:
        """Return the next frame, or None at the normal end of a file. Blocks up to the read timeout.

        Raises:
            SourceError: a live stream was lost. Its end counts as a loss.
            TruncatedError: a file ended early or is damaged; all its good frames were returned.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._pictures, None)

    def close(self) -> None:
        """Release the container. Call it on the thread that reads: on any other, it crashes the process."""
        # The generator and this object refer to each other. Unless one of them lets go here, both keep the decoder's
        # buffers until the garbage collector runs, which happens rarely.
        self._pictures.close()
        self._first = None
        self._container.close()

    def _file_pictures(self) -> Generator[Picture]:
        packets = self._container.demux(self._stream)
        while (packet := self._next_packet(packets)) is not None:
            yield from self._decode(packet)
        if self._broken_off:
            yield from self._decode(None)  # flush the decoder
        self._check_end()

    def _live_pictures(self) -> Generator[Picture]:
        # Read all tracks. If asked for video only, PyAV would skip audio packets forever while the video is frozen,
        # and never return.
        packets = self._container.demux()
        last_packet_s = last_picture_s = time.monotonic()
        while True:
            packet = self._next_packet(packets)
            now_s = time.monotonic()
            if now_s - last_packet_s >= 0.9 * self._read_timeout_s:
                raise SourceError(
                    f"{self._name}: timed out: no video for {now_s - last_packet_s:.1f} s", SourceReason.TIMEOUT
                )
            # At the end, FFmpeg sends an empty packet, which would make the decoder return the old frames it holds.
            if packet is None or packet.size == 0:
                raise SourceError(f"{self._name}: connection lost", SourceReason.LOST)
            if packet.stream_index != self._stream.index:
                continue
            self._read_clock(packet)
            for picture in self._decode(packet):
                last_picture_s = now_s
                yield picture
            last_packet_s = time.monotonic()  # read again: the caller may have spent time on the frames
            if now_s - last_picture_s > NO_PICTURE_S:
                raise SourceError(f"{self._name}: no frame can be decoded", SourceReason.CODEC)

    def _next_packet(self, packets: Iterator[Packet[Any]]) -> Packet[Any] | None:  # Any: packets of all tracks
        """Return the next packet; None at the end, or if reading failed, which also sets `_broken_off`."""
        try:
            return next(packets, None)
        except (av.FFmpegError, OSError):
            self._broken_off = True
            return None

    def _decode(self, packet: Packet[VideoStream] | None) -> list[Picture]:
        """Return the frames that a packet completes, or one undecodable frame if decoding fails."""
        try:
            frames = self._stream.decode(packet)
        except EOFError:
            return []
        except (av.FFmpegError, OSError):
            if not self._good:
                return []  # a recording may start between two key frames, which is not damage
            self._undecodable += 1
            self._damage.spread()
            return [Picture(None, None, "undecodable")]
        return [self._picture(frame) for frame in frames]

    def _read_clock(self, packet: Packet[VideoStream]) -> None:
        """Update the camera's wall clock, which FFmpeg computes for each packet from the last RTCP sender report."""
        if self._feed is not None and packet.pts is not None:
            self._feed.passed(packet.pos, packet.pts * self._time_base_s)
        if packet.pts is not None and packet.has_sidedata("prft"):
            # AVProducerReferenceTime: int64 microseconds since 1970, int flags
            wall_us = unpack("=q", bytes(packet.get_sidedata("prft"))[:8])[0]
            self._wall_offset_s = wall_us / 1e6 - packet.pts * self._time_base_s

    def _picture(self, frame: VideoFrame) -> Picture:
        image: NDArray[np.uint8] = np.ascontiguousarray(
            self._converter.reformat(frame, format="bgr24").to_ndarray(), np.uint8
        )
        turn = _UPRIGHT.get(frame.rotation % 360)
        if turn is not None:
            image = cv2.rotate(image, turn)
        media_s = None if self._container.format.name in _INVENTED_STAMPS else frame.time
        is_damaged = frame.is_corrupt
        if self.live:
            is_damaged = self._damage.reaches(frame.key_frame, frame.is_corrupt, media_s)
        fault: Fault | None = "corrupt" if is_damaged else None
        self._good += 1
        if media_s is not None:
            self._last_s = media_s
            if self._first_s is None:
                self._first_s = media_s
            self._unstamped = 0
        elif self.live and self._container.format.name == "rtsp":
            self._unstamped += 1
            if self._unstamped <= UNSTAMPED:
                fault = fault or "no time stamp"
        wall_s = None if media_s is None or self._wall_offset_s is None else media_s + self._wall_offset_s
        return Picture(image, media_s, fault, wall_s)

    def _check_end(self) -> None:
        """Check at the end of a file that it was complete.

        A file is complete if no read failed, no frame was undecodable, and either the declared number of frames or the
        declared duration was reached. One of the two is enough, because an edit list may hide some of the declared
        frames, and another track may make the declared duration longer.

        Raises:
            TruncatedError: the file ended early, or some frames could not be decoded.
        """
        frames, declared_s = self._stream.frames, self._declared_s()
        # The longer of the two intervals, since a container may declare its tick rate (1000 per second) as frame rate.
        seen_s = (self._last_s - self._first_s) / max(1, self._good - 1) if self._first_s is not None else 0.0
        frame_s = max(seen_s, 1.0 / self.fps if self.fps else 0.0)
        start_s = (self._stream.start_time or 0) * self._time_base_s
        ended_s = self._last_s - start_s + frame_s
        reached = [self._good + self._undecodable >= frames - _END_TOLERANCE] if frames else []
        if declared_s is not None:
            reached.append(ended_s >= declared_s - _END_TOLERANCE * frame_s)
        if self._broken_off or (reached and not any(reached)):
            of = f" of {declared_s:.1f} s" if declared_s is not None else ""
            seek = (
                " (or its index is at the end and this server does not support seeking: download the file first)"
                if self._is_http
                else ""
            )
            raise TruncatedError(
                f"{self._name} ended at {ended_s:.1f} s{of}: the file is truncated{seek}",
                SourceReason.TRUNCATED,
            )
        if self._undecodable:
            raise TruncatedError(
                f"{self._name}: {self._undecodable} of {frames or self._good} frames can't be decoded: "
                "the file is damaged",
                SourceReason.CODEC,
            )

    def _declared_s(self) -> float | None:
        """Return the declared duration of the video track in seconds; None if the file declares none."""
        stream, container = self._stream, self._container
        if stream.start_time is None:
            return None  # a raw stream: FFmpeg only guesses the duration from the bit rate
        if stream.duration:
            return stream.duration * self._time_base_s
        match = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
        if match is not None:
            return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        if container.duration and len(container.streams) == 1:
            return float(container.duration / av.time_base)
        return None


class _Damage:
    """Tracks which frames of a live stream are damaged.

    FFmpeg marks a frame that is itself incomplete. It doesn't notice when a whole frame is lost, and doesn't mark the
    frames that depend on a lost or incomplete one, which are all frames up to the next key frame.

    Args:
        loses_pictures: whether a longer step between timestamps means that frames were lost on the way (UDP).
    """

    def __init__(self, loses_pictures: bool) -> None:
        self._loses_pictures = loses_pictures
        self._spreads = False
        self._last_s: float | None = None
        self._usual_step_s: float | None = None

    def spread(self) -> None:
        """Mark the following frames as damaged, because a frame they depend on could not be decoded."""
        self._spreads = True

    def reaches(self, is_key: bool, is_corrupt: bool, media_s: float | None) -> bool:
        """Whether the next frame is damaged, either itself or through a frame it depends on.

        Args:
            is_key: whether it is a key frame, which depends on no other frame.
            is_corrupt: whether FFmpeg marked it as incomplete.
            media_s: its timestamp in seconds; None if it has none.
        """
        step_s = media_s - self._last_s if media_s is not None and self._last_s is not None else 0.0
        self._last_s = media_s
        usual_s = self._usual_step_s or step_s
        has_gap = self._loses_pictures and step_s > LOST_STEP * usual_s
        if step_s > 0:  # a moving mean, which follows a camera that changes its rate
            self._usual_step_s = 0.9 * usual_s + 0.1 * step_s
        self._spreads = is_corrupt or (not is_key and (self._spreads or has_gap))
        return self._spreads
