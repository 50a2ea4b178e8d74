"""Follows the playlist of a live HLS stream and downloads its new segments, on a thread of its own.

Used by capture.hls: URL -> the bytes of segments. `m3u8` reads the playlists, `download` gets the files.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from realtime.capture.addresses import is_address
from realtime.capture.download import PLAYLIST_BYTES, SEGMENT_BYTES, Downloads
from realtime.capture.m3u8 import Playlist, Segment, TooLargeError, parse
from realtime.capture.tls import Tls
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# The playlist is loaded this many times per segment, but at intervals of no less than SOONEST_S and no more than
# LATEST_S (s). RFC 8216, 6.3.4, asks for intervals of a whole segment, which would make frames older by up to that.
LOADS_PER_SEGMENT = 4
SOONEST_S, LATEST_S = 0.25, 1.0
# Parsing a long playlist repeatedly may take this share of a core.
CPU_SHARE = 0.1
# A new segment must appear within this many times the declared limit of a segment's duration (RFC 8216, 6.2.1: 1.5).
# A larger declared limit than LONGEST_TARGET_S (s) is not believed, because a dead stream would never be given up.
OVERDUE = 1.5
LONGEST_TARGET_S = 30.0
# The ALWAYS_WAITING newest segments may wait to be decoded. More may if they are short: up to MOST_WAITING, with
# WAITING_S (s) of video and WAITING_BYTES in all. More arrive only after an interruption; then the oldest are skipped.
ALWAYS_WAITING, MOST_WAITING = 2, 8
WAITING_S = 2.0
WAITING_BYTES = ALWAYS_WAITING * SEGMENT_BYTES
# Downloading a segment is tried once more after this long (s): some servers list a segment before they have it.
TRY_AGAIN_S = 0.25
# A cache may deliver a playlist that is older by this many segments.
OLDER = 3
# Closing a source waits at most this long (s) for the thread, which ends at once unless a look-up of a host name hangs.
JOIN_S = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A playlist of segments.

    Attributes:
        url: where it is, after redirects and the choice of a variant.
        playlist: its current version.
        downloads: downloads the playlist and its segments.
    """

    url: str
    playlist: Playlist
    downloads: Downloads

    @property
    def is_live(self) -> bool:
        """Whether `Follower` can follow it. FFmpeg reads recordings, encrypted streams, and byte ranges of files."""
        return not self.playlist.has_ended and self.playlist.is_plain


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A segment that was downloaded.

    Attributes:
        init: its initialisation section (fragmented MP4), or empty.
        data: its own bytes.
        breaks: whether it doesn't continue the segment before it, and needs a new decoder.
        came_s: when it had arrived, monotonic seconds.
        duration_s: its declared duration in seconds.
        wall_s: Unix time (s) of its first frame; None if the playlist doesn't tell.
    """

    init: bytes
    data: bytes
    breaks: bool
    came_s: float
    duration_s: float
    wall_s: float | None


def find_playlist(source: str, ends_s: float, tls: Tls) -> Followed | None:
    """Load a playlist and, if it is a list of variants, the first of them.

    Args:
        source: its URL, as the user configured it.
        ends_s: deadline in monotonic seconds.
        tls: how to treat the server's certificate.

    Returns:
        The playlist of segments. None if there is none.

    Raises:
        SourceError: it can't be downloaded, or it names an address that is not allowed.
    """
    downloads = Downloads(source, tls)
    url, led_from = source, None
    for _ in range(2):
        playlist, at = _load(downloads, url, ends_s, led_from)
        if playlist is None:
            return None
        if not playlist.variants:
            return Followed(at, playlist, downloads)
        url, led_from = playlist.variants[0], at
    return None


def names_playlist(source: str) -> bool:
    """Whether the path of a URL ends like that of a playlist.

    >>> names_playlist("http://cam/live.M3U8?key=1"), names_playlist("http://cam/video.mjpg")
    (True, False)
    """
    if not is_address(source):
        return False
    parts = urlsplit(source)
    return parts.scheme.lower() in ("http", "https") and parts.path.lower().endswith((".m3u8", ".m3u"))


class Follower:
    """Downloads the segments that appear in a playlist from now on.

    Segments that are already listed are skipped, because their age is unknown: the last playlist of a dead server lists
    them forever.

    Args:
        followed: the playlist.
        timeout_s: how long (s) a download may take, in addition to the duration of the segment.

    Attributes:
        name: the playlist's URL as shown to the user.
    """

    def __init__(self, followed: Followed, timeout_s: float) -> None:
        self.name = shown(followed.url)
        self._url, self._downloads, self._timeout_s = followed.url, followed.downloads, timeout_s
        self._led_from = followed.url  # where the playlist came from the last time, after redirects
        self._newest = _newest(followed.playlist)
        self._pause_s = _pause_s(followed.playlist)
        self._loaded: int | None = None  # number of the last segment that was downloaded
        self._init = b""  # its initialisation section
        self._map: tuple[str, bytes] = ("", b"")  # the last initialisation section, by its URL
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._waiting: deque[Loaded] = deque()
        self._ended = False
        self._failed: Exception | None = None  # the last failure, None once a download succeeds
        self._thread = threading.Thread(target=self._run, name="hls", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether the stream has ended and `take` has returned all its segments."""
        with self._changed:
            return self._ended and not self._waiting

    def take(self, timeout_s: float, may_break: bool) -> Loaded | None:
        """Wait for the next segment and return it.

        Args:
            timeout_s: how long (s) to wait.
            may_break: also return a segment that doesn't continue the last one.

        Returns:
            The segment. None if it doesn't continue the last one and `may_break` is false, or if the stream has ended.

        Raises:
            SourceError: no segment arrived in time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, timeout_s)
            if self._waiting:
                return self._waiting.popleft() if may_break or not self._waiting[0].breaks else None
            failed = self._failed
            if self._ended and failed is None:
                return None
        if failed is not None:
            raise failed
        raise SourceError(
            f"{self.name}: timed out: no new segment in the playlist for {timeout_s:.0f} s",
            SourceReason.TIMEOUT,
        )

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._downloads.stop()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        failed: Exception | None = None
        try:
            self._follow()
        except Exception as error:  # `take` raises it, on the camera's thread
            failed = error
        with self._changed:
            self._ended, self._failed = True, failed
            self._changed.notify_all()

    def _follow(self) -> None:
        """Load the playlist again and again until it ends; download its new segments."""
        while not self._stop.wait(self._pause_s):
            began_s = time.thread_time()
            try:
                playlist, self._led_from = _load(self._downloads, self._url, time.monotonic() + self._timeout_s)
            except SourceError as error:
                self._note_failure(error)
                continue
            if playlist is None or not playlist.is_plain:
                why = "no playlist any more, or one with encrypted segments or byte ranges"
                raise SourceError(f"{self.name}: connection lost: {why}", SourceReason.LOST)
            self._pause_s = max(_pause_s(playlist), (time.thread_time() - began_s) / CPU_SHARE)
            new = self._new(playlist)
            skipped = len(new) - _may_wait([segment.duration_s for segment in new])
            for segment in new[skipped:]:
                self._download(segment)
            if playlist.has_ended:
                return

    def _new(self, playlist: Playlist) -> Sequence[Segment]:
        """The segments of a playlist that weren't in its earlier versions."""
        segments, newest = playlist.segments, _newest(playlist)
        if not segments:
            return ()
        length = newest + 1 - playlist.first
        if newest + length + OLDER < self._newest:  # the server was restarted, and so was its numbering
            self._newest = newest
            return segments[-1:]
        # An older version, as a cache may deliver it, has no new segment.
        new = [segment for segment in segments if segment.number > self._newest]
        self._newest = max(self._newest, newest)
        return new

    def _download(self, segment: Segment) -> None:
        """Download a segment and queue it for `take`. One that can't be downloaded is skipped."""
        try:
            init = self._init_of(segment)
            data = self._get(segment.url, segment.duration_s)
        except SourceError as error:
            self._note_failure(error)
            return
        breaks = segment.is_discontinuous or self._loaded is None or segment.number != self._loaded + 1
        breaks = breaks or init is not self._init
        self._loaded, self._init = segment.number, init
        loaded = Loaded(init, data, breaks, time.monotonic(), segment.duration_s, segment.wall_s)
        with self._changed:
            self._waiting.append(loaded)
            self._skip_oldest()
            self._failed = None
            self._changed.notify_all()

    def _skip_oldest(self) -> None:
        """Skip the oldest segments if too many wait."""
        waiting = self._waiting
        sizes = [len(each.init) + len(each.data) for each in waiting]
        skipped = len(waiting) - _may_wait([each.duration_s for each in waiting], sizes)
        for _ in range(skipped):
            waiting.popleft()
        if skipped:
            waiting[0] = replace(waiting[0], breaks=True)

    def _init_of(self, segment: Segment) -> bytes:
        if segment.map_url is None:
            return b""
        if segment.map_url != self._map[0]:
            self._map = segment.map_url, self._get(segment.map_url, 0.0)
        return self._map[1]

    def _get(self, url: str, duration_s: float) -> bytes:
        limit_s = self._timeout_s + duration_s
        try:
            return self._downloads.get(url, SEGMENT_BYTES, time.monotonic() + limit_s, self._led_from)[0]
        except SourceError:
            if self._stop.wait(TRY_AGAIN_S):
                raise
        return self._downloads.get(url, SEGMENT_BYTES, time.monotonic() + limit_s, self._led_from)[0]

    def _note_failure(self, error: Exception) -> None:
        with self._changed:
            self._failed = error


def _load(downloads: Downloads, url: str, ends_s: float, led_from: str | None = None) -> tuple[Playlist | None, str]:
    """Download a playlist. Return it, or None if it isn't one, and its URL after redirects."""
    text, url = downloads.get(url, PLAYLIST_BYTES, ends_s, led_from)
    try:
        return parse(text.decode("utf-8", "replace"), url), url
    except TooLargeError as error:
        advice = f"too large: {error}"
    except ValueError:
        return None, url
    raise SourceError(f"{shown(url)}: {advice}", SourceReason.TOO_LARGE)


def _may_wait(durations_s: Sequence[float], sizes: Sequence[int] = ()) -> int:
    """How many of the newest segments, of these durations (s) and sizes (bytes), may wait to be decoded.

    >>> _may_wait([6.0] * 5), _may_wait([0.5] * 5), _may_wait([0.01] * 50)
    (2, 4, 8)
    >>> _may_wait([0.5] * 5, sizes=[20 << 20] * 5)  # more than 64 MiB
    3
    """
    may_wait = 0
    for count in range(1, min(len(durations_s), MOST_WAITING) + 1):
        is_short = 0 < sum(durations_s[-count:]) <= WAITING_S and sum(sizes[-count:]) <= WAITING_BYTES
        if count > ALWAYS_WAITING and not is_short:
            break
        may_wait = count
    return may_wait


def _newest(playlist: Playlist) -> int:
    """The number of the newest segment; -1 if there is none."""
    return playlist.segments[-1].number if playlist.segments else -1


def _pause_s(playlist: Playlist) -> float:
    return min(LATEST_S, max(SOONEST_S, playlist.target_s / LOADS_PER_SEGMENT))
