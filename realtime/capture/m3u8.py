"""Reads HLS playlists (RFC 8216): their text -> the segments of a stream, with their dates if the playlist has any.

Used by capture.follow and capture.nested. Opens nothing.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urljoin

from realtime.capture.addresses import LONGEST_ADDRESS, encoded

# Most lines of a playlist. One that lists a day in segments of 1 s, each with a date, has 260,000. Lines with more than
# _LONGEST_LINE characters are skipped.
MOST_LINES = 300_000
_LONGEST_LINE = 4096
# FFmpeg keeps one address per line, each with the playlist's folder in front. Together they may take this much (bytes).
_MOST_JOINED_BYTES = 64 << 20
# Keep this many segments. A live stream needs only the newest ones, and a few more to recognise an older version of the
# playlist.
KEPT = 16
# Most variants that are kept. Only the first one is read.
_MOST_VARIANTS = 16
# Most hosts that a playlist may name. Streams usually have their segments on one or two.
MOST_HOSTS = 8
# An attribute of a tag: NAME=value or NAME="value, with commas". A name begins after a comma and has a limited length.
# Otherwise, the time of a search would grow with the square of the line's length.
_ATTRIBUTE = re.compile(r'(?:^|,)[ \t]*([A-Z0-9-]{1,64})=("[^"]*"|[^,]*)')
# A declared duration (s) that is longer than this, or negative, counts as 0.
_LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a playlist.

    Attributes:
        url: its address.
        number: its media sequence number, which identifies it in all versions of the playlist.
        duration_s: its declared duration in seconds.
        wall_s: Unix time (s) of its first frame; None if the playlist doesn't tell.
        map_url: the address of its initialisation section (fragmented MP4); None if it has none.
        is_discontinuous: whether its timestamps don't continue those of the segment before it.
    """

    url: str
    number: int
    duration_s: float
    wall_s: float | None
    map_url: str | None
    is_discontinuous: bool


@dataclass(frozen=True, slots=True)
class Playlist:
    """One version of a playlist.

    Attributes:
        segments: at most KEPT, the newest, in order. Empty for a list of variants.
        first: number of the first segment that is listed.
        variants: the URLs of up to 16 playlists that offer the same stream at different sizes.
        target_s: the declared upper limit of the segments' durations, in seconds.
        has_ended: whether no segment will be added: a recording, or the end of a live stream.
        is_plain: False if segments are encrypted, or are byte ranges of files.
    """

    segments: tuple[Segment, ...]
    first: int
    variants: tuple[str, ...]
    target_s: float
    has_ended: bool
    is_plain: bool


class TooLargeError(ValueError):
    """A playlist has more lines or names more hosts than that of any camera."""


def parse(text: str, url: str) -> Playlist:
    """Read a playlist. Lines that make no sense are skipped.

    >>> playlist = parse("#EXTM3U\\n#EXT-X-MEDIA-SEQUENCE:7\\n#EXTINF:2.0,\\nseven.ts\\n", "http://cam/live/a.m3u8")
    >>> [(segment.number, segment.url) for segment in playlist.segments]
    [(7, 'http://cam/live/seven.ts')]

    Args:
        text: its text.
        url: its address; its entries are relative to this.

    Raises:
        ValueError: it isn't a playlist.
        TooLargeError: it has too many lines, or its segments are on too many hosts.
    """
    if not text.removeprefix("\ufeff").lstrip(" \t").startswith("#EXTM3U"):
        raise ValueError("expected a playlist that begins with #EXTM3U")
    count = text.count("\n") + 1
    if count > MOST_LINES or count * len(url.partition("?")[0]) > _MOST_JOINED_BYTES:
        raise TooLargeError(f"the playlist has {count:,} lines")
    reader = _Reader(url)
    for line in text.split("\n")[1:]:
        if len(line) <= _LONGEST_LINE:
            reader.read(line.strip())
    return reader.playlist()


class _Reader:
    """Reads a playlist line by line."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._segments: deque[Segment] = deque(maxlen=KEPT)  # with the addresses as listed, and numbers from 0
        self._variants: list[str] = []
        self._hosts: set[str] = set()
        self._first = self._count = 0
        self._target_s = self._longest_s = 0.0
        self._has_ended, self._is_plain, self._is_variant = False, True, False
        # The tags so far that describe the next segment.
        self._duration_s = 0.0
        self._wall_s: float | None = None
        self._map_url: str | None = None
        self._is_discontinuous = False

    def read(self, line: str) -> None:
        tag, _, value = line.partition(":")
        match tag:
            case "#EXTINF":
                self._duration_s = _seconds(value.partition(",")[0])
            case "#EXT-X-PROGRAM-DATE-TIME":
                self._wall_s = _unix_s(value)
            case "#EXT-X-DISCONTINUITY":
                self._is_discontinuous, self._wall_s = True, None
            case "#EXT-X-MAP":
                attributes = _attributes(value)
                self._map_url = self._joined(attributes["URI"]) if attributes.get("URI") else None
                self._note_host(attributes.get("URI", ""))
                self._is_plain = self._is_plain and "BYTERANGE" not in attributes
            case "#EXT-X-KEY":
                attributes = _attributes(value)
                self._is_plain = self._is_plain and attributes.get("METHOD") == "NONE"
                self._note_host(attributes.get("URI", ""))
            case "#EXT-X-BYTERANGE":
                self._is_plain = False
            case "#EXT-X-TARGETDURATION":
                self._target_s = _seconds(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                self._first = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else 0
            case "#EXT-X-ENDLIST":
                self._has_ended = True
            case "#EXT-X-STREAM-INF":
                self._is_variant = True
            case _ if line and not line.startswith("#"):
                self._read_address(line)

    def playlist(self) -> Playlist:
        """Return the playlist, after all lines were read."""
        segments = tuple(
            replace(segment, url=self._joined(segment.url), number=self._first + segment.number)
            for segment in self._segments
        )
        target_s = self._target_s or self._longest_s
        return Playlist(segments, self._first, tuple(self._variants), target_s, self._has_ended, self._is_plain)

    def _read_address(self, line: str) -> None:
        if self._is_variant:
            self._is_variant = False
            if len(self._variants) < _MOST_VARIANTS:
                self._variants.append(self._joined(line))
            return
        self._note_host(line)
        self._segments.append(
            Segment(line, self._count, self._duration_s, self._wall_s, self._map_url, self._is_discontinuous)
        )
        self._count += 1
        self._longest_s = max(self._longest_s, self._duration_s)
        if self._wall_s is not None:
            self._wall_s += self._duration_s
        self._duration_s, self._is_discontinuous = 0.0, False

    def _note_host(self, address: str) -> None:
        _, is_absolute, rest = address.partition("//")
        if is_absolute:
            self._hosts.add(rest.partition("/")[0])
        if len(self._hosts) > MOST_HOSTS:
            raise TooLargeError(f"the playlist names more than {MOST_HOSTS} hosts")

    def _joined(self, address: str) -> str:
        """Resolve an address, which may be relative. One that is too long becomes empty; opening it reports that."""
        try:
            url = encoded(urljoin(self._url, address))
        except ValueError:
            return ""
        return url if len(url) <= LONGEST_ADDRESS else ""


def _attributes(value: str) -> dict[str, str]:
    return {name: text.strip('"') for name, text in _ATTRIBUTE.findall(value)}


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds <= _LONGEST_S else 0.0


def _unix_s(value: str) -> float | None:
    """The Unix time of an ISO 8601 date; without a time zone, it is UTC."""
    try:
        date = datetime.fromisoformat(value.strip())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
