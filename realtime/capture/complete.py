"""Whether a video file was complete: compares what it declares with the frames that were read.

Used by capture.stream at the end of a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from realtime.errors import SourceReason, TruncatedError

# A complete file may lack this many frames at its end, because containers round durations.
_END_TOLERANCE = 2
# The duration tag of a Matroska track: 00:01:02.5000000
_MATROSKA_DURATION = re.compile(r"(\d{1,9}):(\d{1,9}):(\d{1,9}\.?\d*)")


@dataclass(slots=True)
class Seen:
    """The frames that have been read from a file so far.

    Attributes:
        good: number of decoded frames.
        undecodable: number of frames that could not be decoded.
        broken_off: whether reading failed before the end.
        first_s: timestamp of the first frame in seconds; None if no frame had one.
        last_s: timestamp of the last frame that had one, in seconds.
    """

    good: int = 0
    undecodable: int = 0
    broken_off: bool = False
    first_s: float | None = None
    last_s: float = 0.0

    def note(self, media_s: float | None) -> None:
        """Note a decoded frame and its timestamp in seconds, if it has one."""
        self.good += 1
        if media_s is not None:
            self.last_s = media_s
            self.first_s = media_s if self.first_s is None else self.first_s


def check_complete(
    name: str, container: InputContainer, stream: VideoStream, seen: Seen, fps: float | None, *, is_http: bool
) -> None:
    """Check at the end of a file that it was complete.

    A file is complete if no read failed, no frame was undecodable, and either the declared number of frames or the
    declared duration was reached. One of the two is enough, because an edit list may hide some of the declared frames,
    and another track may make the declared duration longer.

    Args:
        name: the file as shown to the user.
        container: the file.
        stream: its video track.
        seen: the frames that were read.
        fps: declared frames per second; None if unknown.
        is_http: whether it was read from a server.

    Raises:
        TruncatedError: the file ended early, or some frames could not be decoded.
    """
    frames, declared_s = stream.frames, _declared_s(container, stream)
    # The longer of the two intervals, since a container may declare its tick rate (1000 per second) as frame rate.
    seen_s = (seen.last_s - seen.first_s) / max(1, seen.good - 1) if seen.first_s is not None else 0.0
    frame_s = max(seen_s, 1.0 / fps if fps else 0.0)
    ended_s = seen.last_s - float((stream.start_time or 0) * (stream.time_base or 0)) + frame_s
    reached = [seen.good + seen.undecodable >= frames - _END_TOLERANCE] if frames else []
    if declared_s is not None:
        reached.append(ended_s >= declared_s - _END_TOLERANCE * frame_s)
    if seen.broken_off or (reached and not any(reached)):
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


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Return the declared duration of the video track in seconds; None if the file declares none."""
    if stream.start_time is None:
        return None  # a raw stream: FFmpeg only guesses the duration from the bit rate
    if stream.duration:
        return float(stream.duration * (stream.time_base or 0))
    match = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if match is not None:
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    if container.duration and len(container.streams) == 1:
        return float(container.duration / av.time_base)
    return None
