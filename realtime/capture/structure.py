"""Looks into the structure of a video file on disk: whether it lacks its end, and which pictures of an AVI repeat.

Used by capture.complete. FFmpeg reads a file that lacks its end like one that ends there. No data is read here, only
headers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # the first two elements of Matroska and WebM
_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat", b"sidx", b"styp", b"mfra", b"free", b"skip", b"wide"})
# The first object of ASF (WMV), and the one in it that holds the size of the file.
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_HEAD_BYTES = 1 << 16
_IS_BROADCAST = 1  # a flag of ASF: the recorder could not write the size
# Most chunks of an AVI that are looked at: 9 hours of 30 pictures a second.
_MOST_CHUNKS = 1_000_000


def lacks_its_end(path: str) -> bool:
    """Whether a file is shorter than its parts say. False for formats without sizes, pipes and devices.

    Args:
        path: of a Matroska, WebM, MP4, MOV or WMV file, or any other.
    """
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(16)
        if head.startswith(_EBML):
            return _matroska_end(file) > size
        if head.startswith(_ASF):
            return _asf_end(file) > size
        return head[4:8] in _BOXES and any(end > size for end in _box_ends(file, size))


def empty_chunks(path: str, track: int) -> int:
    """Return the number of empty chunks of a track of an AVI file. Each repeats the picture before it."""
    if not Path(path).is_file():
        return 0
    empty, at = 0, 0
    with Path(path).open("rb") as file:
        for _ in range(_MOST_CHUNKS):
            file.seek(at)
            head = file.read(12)
            kind, length = head[:4], int.from_bytes(head[4:8], "little")
            if len(head) < 8 or not kind.strip(b"\0"):
                break
            if kind in (b"RIFF", b"LIST") and head[8:] in (b"AVI ", b"AVIX", b"movi", b"rec "):
                at += 12  # look inside
                continue
            empty += length == 0 and kind[:2] == b"%02d" % track
            at += 8 + length + length % 2
    return empty


def _matroska_end(file: BinaryIO) -> int:
    """Return the end of the segment; 0 if it isn't known, as in a recording that was sent while it was made."""
    file.seek(4)
    header = _ebml_number(file)
    file.seek(header or 0, 1)
    if header is None or file.read(4) != _SEGMENT or (length := _ebml_number(file)) is None:
        return 0
    return file.tell() + length


def _ebml_number(file: BinaryIO) -> int | None:
    """Read a number of variable length (RFC 8794, section 4); None if it says unknown, or is none."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    bits = 7 * (more + 1)
    number = int.from_bytes(first + rest, "big") & ((1 << bits) - 1)
    return None if len(rest) < more or number == (1 << bits) - 1 else number


def _asf_end(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(_ASF_HEAD_BYTES)
    at = head.find(_ASF_FILE)
    if at < 0 or len(head) < at + 92 or head[at + 88] & _IS_BROADCAST:
        return 0
    return int.from_bytes(head[at + 40 : at + 48], "little")


def _box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Yield where each box of the file ends, by its declared size."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        if head[4:8] not in _BOXES or length < 8:  # 0: to the end of the file
            return
        at += length
        yield at
