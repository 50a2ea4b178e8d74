"""Whether a video file was complete: compares what it declares with the frames that were read.

Used by capture.recorded at the end of a file.
"""

from __future__ import annotations

import contextlib
import errno
import re
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from realtime.capture.structure import Ending, Structure
from realtime.errors import SourceReason, TruncatedError

# A complete file may lack this many frames at its end, because containers round durations.
_END_TOLERANCE = 2
# The duration tag of a Matroska track: 00:01:02.5000000
_MATROSKA_DURATION = re.compile(r"(\d{1,9}):(\d{1,9}):(\d{1,9}\.?\d*)")
# In these formats, a declared duration may count from 0 instead of from the first frame.
_FROM_ZERO = frozenset({"matroska,webm", "asf", "flv", "nut", "smjpeg", "wtv"})
# These declare one duration for all their tracks.
_OF_ALL_TRACKS = frozenset({"asf", "flv", "smjpeg"})
# These declare none: FFmpeg computes it from the last packets.
_OF_PACKETS = frozenset({"mpegts", "mpeg", "ogg", "wtv"})
# FFmpeg fails at the normal end of these.
_FAILS_AT_END = frozenset({"gxf", "smjpeg"})


@dataclass(slots=True)
class Seen:
    """The packets and frames that have been read from a file so far.

    Attributes:
        packets: number of packets.
        good: number of decoded frames.
        undecodable: number of frames that could not be decoded.
        broken_off: whether reading failed before the end.
        is_last_cut: whether the file ends within the last packet.
        first_s: timestamp of the first frame in seconds; None if no frame had one.
        last_s: the latest timestamp of a frame in seconds. Timestamps go back where recordings were joined.
        end_s: the latest end of a packet by its timestamp and duration, in seconds; None if no packet had both.
    """

    packets: int = 0
    good: int = 0
    undecodable: int = 0
    broken_off: bool = False
    is_last_cut: bool = False
    first_s: float | None = None
    last_s: float = 0.0
    end_s: float | None = None

    def note_packet(self, packet: Packet[VideoStream]) -> None:
        """Note a packet of the video track before it is decoded."""
        if packet.size:
            self.packets += 1
            self.is_last_cut = packet.is_corrupt
        start = packet.dts if packet.pts is None else packet.pts
        if start is not None and packet.duration:
            end_s = float((start + packet.duration) * packet.time_base)
            self.end_s = end_s if self.end_s is None else max(self.end_s, end_s)

    def note(self, media_s: float | None) -> None:
        """Note a decoded frame and its timestamp in seconds, if it has one."""
        self.good += 1
        if media_s is not None:
            self.last_s = media_s if self.first_s is None else max(self.last_s, media_s)
            self.first_s = media_s if self.first_s is None else self.first_s


def repeats_picture(packet: Packet[Any]) -> bool:  # Any: packets of any track
    """Whether a packet is empty but has a time: the picture before it stays. A decoder would take it for the end."""
    return packet.size == 0 and packet.dts is not None


def is_only_the_end(error: Exception, container: InputContainer, *, is_http: bool) -> bool:
    """Whether a failure to read is only the end of a file, as of a connection whose server tells no length.

    FFmpeg reports that as an input/output error, and the mark at the end of a SMJPEG file as invalid data.
    `check_complete` then looks at the declared length.
    """
    if container.format.name == "smjpeg":
        return isinstance(error, av.InvalidDataError)
    return is_http and container.size <= 0 and isinstance(error, OSError) and error.errno == errno.EIO


def check_complete(
    name: str,
    container: InputContainer,
    stream: VideoStream,
    seen: Seen,
    fps: float | None,
    *,
    is_http: bool,
    ending: Ending,
) -> None:
    """Check at the end of a file that it was complete.

    A file is called truncated only on evidence, any of:

    - A read failed before the end.
    - The file is shorter than the sizes of its parts say, or ends within the last packet.
    - Neither the declared number of frames nor the declared duration of the video track was reached. One of the two is
      enough, because an edit list may hide some of the declared frames. This doesn't count if all parts of the file are
      there: empty packets mean that a picture stays, but FFmpeg doesn't return them.

    Args:
        name: the file as shown to the user.
        container: the file.
        stream: its video track.
        seen: the packets and frames that were read.
        fps: declared frames per second; None if unknown.
        is_http: whether it was read from a server.
        ending: whether its parts are all there.

    Raises:
        TruncatedError: the file ended early, or some frames could not be decoded.
    """
    form, frames, declared_s = container.format.name, stream.frames, _declared_s(container, stream)
    # The longer of the two intervals, since a container may declare its tick rate (1000 per second) as frame rate.
    seen_s = (seen.last_s - seen.first_s) / max(1, seen.good - 1) if seen.first_s is not None else 0.0
    frame_s = max(seen_s, 1.0 / fps if fps else 0.0)
    end_s = max(seen.last_s + frame_s, seen.end_s or 0.0)
    ended_s = end_s - float((stream.start_time or 0) * (stream.time_base or 0))
    if declared_s is not None and form in _FROM_ZERO:
        ended_s = max(end_s, ended_s)
    read = max(seen.packets, seen.good + seen.undecodable)  # packets too: some say only that a picture stays
    reached = [read >= frames - _END_TOLERANCE] if frames else []
    if declared_s is not None:
        reached.append(ended_s >= declared_s - _END_TOLERANCE * frame_s)
    lacks_frames = ending != "whole" and bool(reached) and not any(reached)
    failed = seen.broken_off and not (form in _FAILS_AT_END and (ending == "whole" or any(reached)))
    if failed or ending == "short" or seen.is_last_cut or lacks_frames:
        of = f" of {declared_s:.1f} s" if declared_s is not None else ""
        seek = (
            " (or its index is at the end and this server does not support seeking: download the file first)"
            if is_http
            else ""
        )
        raise TruncatedError(
            f"{name} ended at {ended_s:.1f} s{of}: the file is truncated{seek}", SourceReason.TRUNCATED
        )
    if seen.undecodable:
        raise TruncatedError(
            f"{name}: {seen.undecodable} of {frames or seen.good} frames can't be decoded: the file is damaged",
            SourceReason.CODEC,
        )


def ending_of(path: str) -> Ending:
    """Return whether a file on this machine has all its parts."""
    structure = Structure()
    with contextlib.suppress(OSError):  # the file is gone by now
        structure.read(path)
    return structure.ending()


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the declared duration of the video track in seconds; None if the file declares none."""
    match = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if stream.start_time is None and match is None:
        return None  # a raw stream: FFmpeg only guesses the duration from the bit rate
    if container.format.name in _OF_PACKETS:
        return None
    if container.format.name in _OF_ALL_TRACKS and len(container.streams) > 1:
        return None
    if stream.duration:
        return float(stream.duration * (stream.time_base or 0))
    whole_s = float(container.duration / av.time_base) if container.duration else None
    if match is not None:
        # Programs that cut files leave the tag as it was, which is then longer than the whole file.
        declared_s = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        return declared_s if whole_s is None else min(declared_s, whole_s)
    return whole_s if len(container.streams) == 1 else None
