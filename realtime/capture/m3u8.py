"""Reads HLS playlists (RFC 8216): their text -> the segments of a stream, with their dates if the playlist has any.

Used by capture.hls. Opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urljoin

# An attribute of a tag: NAME=value or NAME="value, with commas".
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
# A segment that declares a longer or a negative duration (s) has no usable one.
_LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a playlist.

    Attributes:
        url: where it is.
        number: its media sequence number, which tells it from the others in all versions of the playlist.
        duration_s: its declared duration in seconds.
        wall_s: Unix time (s) of its first frame; None if the playlist doesn't tell.
        map_url: where its initialisation section is (fragmented MP4); None if it has none.
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
        segments: in order. Empty for a list of variants.
        variants: URLs of the playlists that offer the same stream at different sizes.
        target_s: the declared upper limit of the segments' durations, in seconds.
        has_ended: whether no segment will be added: a recording, or the end of a live stream.
        is_plain: False if segments are encrypted, or are byte ranges of files.
        key_urls: where the keys of encrypted segments are.
    """

    segments: tuple[Segment, ...]
    variants: tuple[str, ...]
    target_s: float
    has_ended: bool
    is_plain: bool
    key_urls: tuple[str, ...] = ()

    @property
    def addresses(self) -> Iterator[str]:
        """All addresses that a player of this playlist would open, except the variants."""
        for segment in self.segments:
            yield segment.url
            if segment.map_url is not None:
                yield segment.map_url
        yield from self.key_urls


def parse(text: str, url: str) -> Playlist:
    """Read a playlist. Lines that make no sense are skipped.

    >>> playlist = parse("#EXTM3U\\n#EXT-X-MEDIA-SEQUENCE:7\\n#EXTINF:2.0,\\nseven.ts\\n", "http://cam/live/a.m3u8")
    >>> [(segment.number, segment.url) for segment in playlist.segments]
    [(7, 'http://cam/live/seven.ts')]

    Args:
        text: its text.
        url: where it comes from; its entries are relative to this.

    Raises:
        ValueError: it isn't a playlist.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    if not lines or not lines[0].startswith("#EXTM3U"):
        raise ValueError("expected a playlist that begins with #EXTM3U")
    segments: list[Segment] = []
    variants: list[str] = []
    keys: list[str] = []
    numbered, target_s, has_ended, is_plain, is_variant = 0, 0.0, False, True, False
    following = Segment("", 0, 0.0, None, None, False)  # what the tags so far say about the next segment
    for line in lines[1:]:
        tag, _, value = line.partition(":")
        match tag:
            case "#EXTINF":
                following = replace(following, duration_s=_seconds(value.partition(",")[0]))
            case "#EXT-X-PROGRAM-DATE-TIME":
                following = replace(following, wall_s=_unix_s(value))
            case "#EXT-X-DISCONTINUITY":
                following = replace(following, is_discontinuous=True, wall_s=None)
            case "#EXT-X-MAP":
                address = _attributes(value).get("URI")
                following = replace(following, map_url=_joined(url, address) if address else None)
                is_plain = is_plain and "BYTERANGE" not in _attributes(value)
            case "#EXT-X-KEY":
                is_plain = is_plain and _attributes(value).get("METHOD") == "NONE"
                if (address := _attributes(value).get("URI")) is not None:
                    keys.append(_joined(url, address))
            case "#EXT-X-BYTERANGE":
                is_plain = False
            case "#EXT-X-TARGETDURATION":
                target_s = _seconds(value)
            case "#EXT-X-MEDIA-SEQUENCE":
                numbered = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else 0
            case "#EXT-X-ENDLIST":
                has_ended = True
            case "#EXT-X-STREAM-INF":
                is_variant = True
            case _ if line and not line.startswith("#"):
                if is_variant:
                    variants.append(_joined(url, line))
                else:
                    number = numbered + len(segments)
                    segments.append(replace(following, url=_joined(url, line), number=number))
                    following = _after(segments[-1])
                is_variant = False
    target_s = target_s or max((segment.duration_s for segment in segments), default=0.0)
    return Playlist(tuple(segments), tuple(variants), target_s, has_ended, is_plain, tuple(keys))


def _after(segment: Segment) -> Segment:
    """What is known about the segment after this one, before its own tags."""
    wall_s = None if segment.wall_s is None else segment.wall_s + segment.duration_s
    return replace(segment, wall_s=wall_s, duration_s=0.0, is_discontinuous=False)


def _joined(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        return address  # opening it reports the mistake


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
