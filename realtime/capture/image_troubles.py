"""Says why an image that is whole can't be decoded: what its samples are, and what to convert it to.

Used by capture.image_file.
"""

from __future__ import annotations

import contextlib
from typing import Any, BinaryIO

from PIL import Image, TiffImagePlugin

_CONVERT = "convert it to unsigned integers of 8 or 16 bits"
# Pillow's modes that can't be shown, because nothing says which values are black and white.
_MODES = {"F": f"32-bit float samples: {_CONVERT}", "LAB": "CIELAB colours: convert it to RGB"}
_RAW = "a camera's raw image: convert it to JPEG, TIFF or PNG"
# TIFF's tags.
_BITS, _COMPRESSION, _COLOURS, _SAMPLE_FORMAT, _SUB_IFDS, _DNG = 258, 259, 262, 339, 330, 50706
_SUBFILE_TYPE = 254
_KNOWN_COLOURS = (0, 1, 2, 3, 5, 6)  # white is zero, black is zero, RGB, palette, CMYK, YCbCr
_SAMPLE_FORMATS = {2: "signed integer", 3: "float", 5: "complex integer", 6: "complex float"}
# JPEG: markers of a frame, and of those without content.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
# A frame header behind more than this (bytes) isn't looked for. EXIF and colour profiles take up to 1 MB.
JPEG_HEADER = 2**21


def trouble_of_mode(image: Image.Image) -> str | None:
    """Return why the samples of an open image can't be shown; None if they can."""
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]  # of TIFF only
        if _DNG in tags or (_SUB_IFDS in tags and tags.get(_SUBFILE_TYPE, 0) & 1):
            return _RAW
        kind = _SAMPLE_FORMATS.get(max(_numbers(tags.get(_SAMPLE_FORMAT, 1))))
        bits = max(_numbers(tags.get(_BITS, 1)))
        if kind is not None or bits > 16:
            return f"{bits}-bit {kind or 'integer'} samples: {_CONVERT}"
    return _MODES.get(image.mode)


def trouble_of_tiff(file: BinaryIO) -> str | None:
    """Return why Pillow can't read a TIFF; None if that isn't a TIFF, or its header doesn't tell."""
    file.seek(0)
    if file.read(2) not in (b"II", b"MM"):
        return None
    file.seek(0)
    with contextlib.suppress(Exception):  # Pillow raises many kinds for damaged files
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        bits = max(_numbers(tags.get(_BITS, 1)))
        kind = _SAMPLE_FORMATS.get(max(_numbers(tags.get(_SAMPLE_FORMAT, 1))), "integer")
        if _DNG in tags:
            return _RAW
        if kind != "integer" or bits > 16:
            return f"{bits}-bit {kind} samples: {_CONVERT}"
        colours, compression = tags.get(_COLOURS), tags.get(_COMPRESSION, 1)
        known = compression in TiffImagePlugin.COMPRESSION_INFO
        if not known or colours not in _KNOWN_COLOURS:
            return f"a TIFF of {bits}-bit samples, colours {colours}, compression {compression}: convert it to PNG"
    return None


def trouble_of_jpeg(data: bytes) -> str | None:
    """Return why a JPEG that starts like this can't be decoded; None if it isn't a JPEG, or its header doesn't tell.

    >>> trouble_of_jpeg(bytes.fromhex("ffd8 ffc1 000b 0c 0010 0010 01 01 11 00"))
    'a JPEG of 12-bit samples: convert it to 8 bits'
    """
    at = 2
    while data[:2] == b"\xff\xd8" and data[at : at + 1] == b"\xff" and at + 9 < len(data):
        marker = data[at + 1]
        if marker in _FRAMES:
            if data[at + 4] != 8:
                return f"a JPEG of {data[at + 4]}-bit samples: convert it to 8 bits"
            return "a lossless JPEG: convert it to PNG" if marker in _LOSSLESS else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _numbers(value: object) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (int(str(value)),)
