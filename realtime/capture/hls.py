"""Live HLS streams: a server lists segments, each a few seconds of video, in a playlist as soon as they exist.

One of the sources of capture. `follow` downloads each new segment on its own thread; `StreamSource` decodes them as one
stream, and `Playout` releases the frames at the pace of their timestamps. FFmpeg's own HLS reader starts three
segments late, delivers each segment in a burst, and hides the playlist's wall clock.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from realtime.capture.follow import LONGEST_TARGET_S, OVERDUE, Followed, Follower, Loaded
from realtime.capture.freshness import DRIFT
from realtime.capture.source import Picture
from realtime.capture.stream import StreamSource
from realtime.capture.timeline import Playout
from realtime.config import MOST_PIXELS, Accelerator, IdleDecode
from realtime.errors import SourceError, SourceReason

# The kinds of the first box of a fragmented MP4 file.
_MP4_BOXES = (b"ftyp", b"styp", b"moof", b"sidx", b"emsg", b"prft")

# The times of this many segments are kept, the newest ones. Those of an older frame are counted back from the oldest.
_MOST_MARKS = 4


class HlsSource:
    """An open live HLS stream.

    Args:
        source: URL of the playlist, as the user configured it.
        followed: what `find_playlist` found there.
        stop: ends the wait until a frame is due.
        open_timeout_s: how long (s) opening may take. Long segments extend it.
        read_timeout_s: how long (s) the stream may be silent.
        hwaccel: hardware decoder; software is used if it isn't available.
        max_pixels: decode no larger picture.

    Raises:
        SourceError: no new segment appears, or it contains no video that can be decoded.
    """

    live = True
    prompt = False  # frames arrive a segment at a time

    def __init__(
        self,
        source: str,
        followed: Followed,
        stop: threading.Event,
        *,
        open_timeout_s: float,
        read_timeout_s: float,
        hwaccel: Accelerator = "none",
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        self._stop, self._read_timeout_s = stop, read_timeout_s
        self._open_stream = partial(
            StreamSource, source, network=True, read_timeout_s=read_timeout_s, hwaccel=hwaccel, max_pixels=max_pixels
        )
        self._playout, self._last_s = Playout(), -math.inf
        self._decoded_only: IdleDecode = "all"
        self._follower = Follower(followed, read_timeout_s)
        try:
            self._open_part(max(open_timeout_s, OVERDUE * min(followed.playlist.target_s, LONGEST_TARGET_S)))
        except BaseException:
            self._follower.stop()
            raise
        self.size = self._stream.size

    @property
    def fps(self) -> float | None:
        """Nominal frames per second; None until it is known."""
        return self._stream.fps

    def read(self) -> Picture | None:
        """Return the next frame when it is due, or None after the last frame of a stream that the server ended.

        Raises:
            SourceError: no new segment appeared, or the stream can't be decoded any more.
        """
        while (picture := self._next()) is None:
            if self._follower.has_ended:
                return None
            self._stream.close()
            self._open_part(self._read_timeout_s)
        if picture.media_s is None or (picture.fault == "idle" and picture.media_s <= self._last_s):
            return picture
        self._last_s = picture.media_s
        times, now_s = self._part.times_of(picture.media_s), time.monotonic()
        self._stop.wait(self._playout.due_s(picture.media_s, times.ready_s, now_s) - now_s)
        return replace(picture, wall_s=times.wall_s, clock="playlist", came_s=times.came_s)

    def decode_only(self, what: IdleDecode) -> None:
        """Decode only these frames from the next `read` on; see `capture.source.Sparing`."""
        self._decoded_only = what
        self._stream.decode_only(what)

    def close(self) -> None:
        """Release the decoder and end the thread that downloads."""
        self._follower.stop()
        self._stream.close()
        self._part.problem = None  # it refers to this source, which only the garbage collector could then free

    def _next(self) -> Picture | None:
        """Return the next frame of this part; None at its end."""
        try:
            return self._stream.read()
        except SourceError as error:
            # A part ends in this way. After any other fault of its last frames, the source must be opened again.
            if self._part.is_over and error.reason in (SourceReason.LOST, SourceReason.TIMEOUT):
                return None
            if self._part.problem is None:
                raise
        raise self._part.problem

    def _open_part(self, timeout_s: float) -> None:
        """Open a decoder for the segments up to the next break."""
        self._playout.restart()
        self._last_s = -math.inf
        self._part = Part(self._follower, timeout_s, self._read_timeout_s)
        try:
            self._stream = self._open_stream(feed=self._part)
        except SourceError:
            if self._part.problem is None:
                raise
        else:
            self._part.is_open = True
            self._stream.decode_only(self._decoded_only)
            return
        raise self._part.problem


class Times(NamedTuple):
    """The times of a frame.

    Attributes:
        ready_s: when its segment had arrived, monotonic seconds.
        came_s: `ready_s` minus the time from this frame to the end of its segment.
        wall_s: Unix time (s) of its capture according to the playlist; None if the playlist has no dates.
    """

    ready_s: float
    came_s: float
    wall_s: float | None


class _Mark(NamedTuple):
    """A segment that the decoder has reached, the timestamp of its start, and its arrival minus that of its end."""

    stamp_s: float
    loaded: Loaded
    delay_s: float


class Part:
    """The bytes of consecutive segments, which FFmpeg reads as one file, up to the next break.

    Args:
        follower: where the segments come from.
        timeout_s: how long (s) opening may take, including the wait for the first segment.
        read_timeout_s: how long (s) the video may pause later.

    Attributes:
        format: the format of the segments, by FFmpeg's name. FFmpeg may not guess: a segment that looks like a playlist
            would make it open other addresses.
        is_over: whether all bytes were read.
        is_open: whether FFmpeg has found the video. Set by the caller.
        problem: why reading failed; None if it didn't. Kept here, because FFmpeg can't pass an exception on.

    Raises:
        SourceError: no segment arrived in time.
    """

    def __init__(self, follower: Follower, timeout_s: float, read_timeout_s: float) -> None:
        self._follower, self._read_timeout_s = follower, read_timeout_s
        self._given = 0  # bytes
        self._left = memoryview(b"")
        self._starts: deque[tuple[int, Loaded]] = deque()  # that the decoder hasn't reached, with their first byte
        self._marks: deque[_Mark] = deque(maxlen=_MOST_MARKS)
        self._video_s = time.monotonic()  # the last packet of the video
        self._opens_by_s = self._video_s + timeout_s
        self.is_over = self.is_open = False
        self.problem: Exception | None = None
        first = follower.take(timeout_s, may_break=True)
        if first is None:
            raise SourceError(f"{follower.name}: connection lost: the stream has ended", SourceReason.LOST)
        self._begin(first, first.init + first.data)
        self.format = "mp4" if first.init or first.data[4:8] in _MP4_BOXES else "mpegts"

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end, or if there is a problem. FFmpeg calls it."""
        if not self._left and not self.is_over and self.problem is None:
            try:
                self._begin_next()
            except Exception as error:
                self.problem = error
        chunk, self._left = self._left[:size], self._left[size:]
        self._given += len(chunk)
        return bytes(chunk)

    def passed(self, position: int | None, stamp_s: float) -> None:
        """Record the next packet of the video.

        Args:
            position: index of its first byte; None if unknown.
            stamp_s: its timestamp in seconds.
        """
        self._video_s = time.monotonic()
        while self._starts and (self._given if position is None else position) >= self._starts[0][0]:
            _, loaded = self._starts.popleft()
            delay_s = loaded.came_s - (stamp_s + loaded.duration_s)
            if self._marks:  # noticing a segment late doesn't make it older; see capture.freshness
                delay_s = min(delay_s, self._marks[-1].delay_s + DRIFT * loaded.duration_s)
            self._marks.append(_Mark(stamp_s, loaded, delay_s))

    def times_of(self, media_s: float) -> Times:
        """Return the times of the frame with this timestamp."""
        mark = next((mark for mark in reversed(self._marks) if mark.stamp_s <= media_s), self._marks[0])
        loaded = mark.loaded
        wall_s = None if loaded.wall_s is None else loaded.wall_s + media_s - mark.stamp_s
        return Times(loaded.came_s, min(loaded.came_s, media_s + mark.delay_s), wall_s)

    def _begin_next(self) -> None:
        now_s = time.monotonic()
        # Segments without video must not keep FFmpeg searching.
        if now_s > (self._video_s + self._read_timeout_s if self.is_open else self._opens_by_s):
            raise SourceError(f"{self._follower.name}: timed out: the segments contain no video", SourceReason.TIMEOUT)
        timeout_s = self._read_timeout_s if self.is_open else self._opens_by_s - now_s
        loaded = self._follower.take(timeout_s, may_break=False)
        if loaded is None:
            self.is_over = True
        else:
            self._begin(loaded, loaded.data)

    def _begin(self, loaded: Loaded, data: bytes) -> None:
        self._starts.append((self._given, loaded))
        self._left = memoryview(data)
