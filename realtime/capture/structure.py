"""Follows the sizes that the parts of a video file declare: whether the file has its end.

Used by capture.complete and capture.pipe. FFmpeg reads a file that lacks its end like one that ends there. Only the
headers of the parts are looked at, which takes less than a second for an hour of video.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

Ending = Literal["short", "whole", "unknown"]

# The longest header that is needed, in bytes: that of a page of Ogg.
_HEAD_BYTES = 27 + 255
# Most parts that are followed: 9 hours of 30 pictures a second.
_MOST_PARTS = 1_000_000

# The elements of Matroska that consist of others: the segment and its clusters.
_NESTED_ELEMENTS = frozenset({b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"})
# The objects of ASF (WMV): the header, which consists of others, and the one in it about the file.
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_IS_BROADCAST = 1  # a flag of ASF: the recorder could not write the sizes
# The lists of AVI that are looked into. Their sizes may be too large by the header, as some recorders write them.
_AVI_LISTS = frozenset({b"AVI ", b"AVIX", b"movi", b"rec "})
_UNKNOWN = 0xFFFFFFFF  # the size of an AVI that was sent while it was made
_WTV = bytes.fromhex("b7d800203749da11a64e0007e95ead8d")
_TS_SYNC = 0x47

# The header of a part -> the number of bytes to the next part, and to the end of this one, which differ if it consists
# of parts. None if it is no header, or declares no size.
_Part = Callable[[bytes], tuple[int, int] | None]


class Structure:
    """The parts of one file. Its bytes are given in order, or read from the disk.

    >>> clip = bytes.fromhex("00000008") + b"ftyp" + bytes.fromhex("00000010") + b"mdat" + bytes(8)
    >>> structure = Structure()
    >>> structure.feed(clip[:20])
    >>> structure.ending()
    'short'
    """

    def __init__(self) -> None:
        self._part: _Part | None = None
        self._is_followed = True  # whether each part so far has a header
        self._unit = 0  # the size in bytes of every part; 0: they differ
        self._size = self._at = self._end = self._parts = 0  # of the file, the next part, the furthest end, their count
        self._last = b""  # the header of the last part
        self._bytes, self._from = b"", 0  # bytes of the next header, and their place in the file

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the file."""
        place, self._size = self._size, self._size + len(data)
        if not self._is_followed or self._size <= self._at:
            return
        if not self._bytes:
            self._from = max(place, self._at)
            data = data[self._from - place :]
        self._bytes += data
        while self._is_followed and self._from + len(self._bytes) - self._at >= _HEAD_BYTES:
            self._take(self._bytes[self._at - self._from :][:_HEAD_BYTES])
        self._bytes = self._bytes[self._at - self._from :] if self._is_followed else b""
        self._from = self._at

    def read(self, path: str) -> None:
        """Take a file on this machine. Does nothing for a pipe or a device.

        Raises:
            OSError: it can't be read.
        """
        if not Path(path).is_file():
            return
        with Path(path).open("rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            while self._is_followed and self._at < self._size:
                file.seek(self._at)
                self._take(file.read(_HEAD_BYTES))

    def ending(self) -> Ending:
        """Return whether the file is shorter than its parts say, or whole. Call it once, after the last byte.

        It is whole if all parts are there, down to the pictures: that can't be known of every format.
        """
        while self._is_followed and self._from <= self._at < self._from + len(self._bytes):
            self._take(self._bytes[self._at - self._from :])
        if self._end > self._size or (self._unit and self._size % self._unit):
            return "short"
        is_last = None if self._part is None else _LAST.get(self._part)
        is_whole = self._is_followed and self._at == self._size and is_last is not None and is_last(self._last)
        return "whole" if is_whole else "unknown"

    def _take(self, head: bytes) -> None:
        """Follow one part."""
        if self._part is None:
            self._unit = _unit_of(head)
            self._part = next((part for start, part in _FORMATS if head.startswith(start)), None)
            if self._part is None and head[4:8] in _BOXES:
                self._part = _box
        sizes = self._part(head) if self._part is not None and self._parts < _MOST_PARTS else None
        self._parts += 1
        if sizes is None:
            self._is_followed = False
            return
        self._last = head
        self._end = max(self._end, self._at + sizes[1])
        self._at += sizes[0]


def _unit_of(head: bytes) -> int:
    """Return the size of the packets of MPEG-TS, with a time before each or without, or of the sectors of WTV."""
    for at, size in ((0, 188), (4, 192)):
        if len(head) > at + size and head[at] == head[at + size] == _TS_SYNC:
            return size
    return 4096 if head.startswith(_WTV) else 0


def _number(data: bytes) -> tuple[int, int] | None:
    """Return a number of variable length (RFC 8794, section 4) and its length; None if it is invalid, or unknown."""
    if not data or not data[0]:
        return None
    length = 9 - data[0].bit_length()
    bits = 7 * length
    number = int.from_bytes(data[:length]) & ((1 << bits) - 1)
    return None if len(data) < length or number == (1 << bits) - 1 else (number, length)


def _element(head: bytes) -> tuple[int, int] | None:
    """Matroska and WebM."""
    kind = head[: 9 - head[0].bit_length()]
    number = _number(head[len(kind) :]) if len(kind) <= 4 else None
    if number is None:
        return None
    length = len(kind) + number[1]
    return (length if kind in _NESTED_ELEMENTS else length + number[0]), length + number[0]


_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat", b"sidx", b"styp", b"mfra", b"free", b"skip", b"wide"})


def _box(head: bytes) -> tuple[int, int] | None:
    """MP4 and MOV."""
    length = int.from_bytes(head[:4])
    if length == 1:
        length = int.from_bytes(head[8:16])
    return (length, length) if head[4:8] in _BOXES and length >= 8 else None  # 0: to the end of the file


def _asf_object(head: bytes) -> tuple[int, int] | None:
    length = int.from_bytes(head[16:24], "little")
    if length < 24:
        return None
    if head.startswith(_ASF):
        return 30, length
    if head.startswith(_ASF_FILE):
        return None if len(head) < 92 or head[88] & _IS_BROADCAST else (length, length)
    return length, length


def _chunk(head: bytes) -> tuple[int, int] | None:
    """AVI."""
    kind, length = head[:4], int.from_bytes(head[4:8], "little")
    if len(head) < 8 or not kind.strip(b"\0"):
        return None
    if kind in (b"RIFF", b"LIST") and head[8:12] in _AVI_LISTS:
        return 12, (length if length != _UNKNOWN else 0)  # not its last 8 bytes
    return 8 + length + length % 2, 8 + length


def _flv_tag(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"FLV"):
        length = int.from_bytes(head[5:9]) + 4
    elif head[0] & 0x1F in (8, 9, 18):  # sound, picture, data
        length = 11 + int.from_bytes(head[1:4]) + 4
    else:
        return None
    return length, length


def _ogg_page(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(b"OggS") or len(head) < 27:
        return None
    length = 27 + head[26] + sum(head[27 : 27 + head[26]])
    return length, length


def _klv(head: bytes) -> tuple[int, int] | None:
    """MXF: a key of 16 bytes and a length."""
    if not head.startswith(_KLV) or len(head) < 17:
        return None
    more = head[16] & 0x7F if head[16] & 0x80 else 0
    length = 17 + more + (int.from_bytes(head[17 : 17 + more]) if more else head[16])
    return length, length


# Each key begins like this. The last part of a file is the random index pack (SMPTE 377M).
_KLV = b"\x06\x0e\x2b\x34"
_KLV_INDEX = _KLV + bytes.fromhex("020501010d01020101110100")


def _ivf_frame(head: bytes) -> tuple[int, int]:
    length = 32 if head.startswith(b"DKIF") else 12 + int.from_bytes(head[:4], "little")
    return length, length


def _smjpeg_chunk(head: bytes) -> tuple[int, int] | None:
    kind = head[:4]
    if kind == b"\0\nSM":
        length = 16
    elif kind in (b"HEND", b"DONE"):
        length = 4
    elif kind in (b"vidD", b"sndD"):
        length = 12 + int.from_bytes(head[8:12])
    elif kind in (b"_TXT", b"_SND", b"_VID"):
        length = 8 + int.from_bytes(head[4:8])
    else:
        return None
    return length, length


# How each format begins, and how its parts are followed.
_FORMATS: tuple[tuple[bytes, _Part], ...] = (
    (b"\x1a\x45\xdf\xa3", _element),
    (_ASF, _asf_object),
    (b"RIFF", _chunk),
    (b"FLV", _flv_tag),
    (b"OggS", _ogg_page),
    (_KLV, _klv),
    (b"DKIF", _ivf_frame),
    (b"\0\nSMJPEG", _smjpeg_chunk),
)
# The formats in which each picture is a part, or each group of them, and whether a part may be the last of a whole
# file. Those without a mark at the end declare the size of the whole.
_LAST: dict[_Part, Callable[[bytes], bool]] = {
    _element: lambda head: True,
    _asf_object: lambda head: True,
    _chunk: lambda head: True,
    # The end of a sequence, or an empty picture.
    _flv_tag: lambda head: head[0] & 0x1F == 9 and int.from_bytes(head[1:4]) <= 5,
    _klv: lambda head: head.startswith(_KLV_INDEX),
    _smjpeg_chunk: lambda head: head.startswith(b"DONE"),
}
