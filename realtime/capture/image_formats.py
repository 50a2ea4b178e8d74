"""The formats of image files: which one a file has, by its content where that shows it, else by the end of its name.

Used by capture.folder, which lists images, and by capture.files, capture.one_image and capture.image_file, which open
them. A file's
format is called by Pillow's name for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from realtime.capture.formats import start_of
from realtime.errors import SourceError, SourceReason

# Pillow reads these. Each begins with a mark that no video begins with.
_MARKS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    *((b"P%d%c" % (number, space), "PPM") for number in range(1, 7) for space in b" \t\r\n"),
)
# Pillow reads these too, by the ends of their names, because their beginnings don't identify them.
_UNMARKED = {".bmp": "BMP", ".dib": "DIB"}
_MARKED_SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".gif", ".heic", ".heics", ".heif", ".heifs", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg",
    ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
# FFmpeg reads these as videos of one picture, and more of their kinds than Pillow, whose JPEG 2000 of 16 bits has wrong
# colours. It can't decode .jxl and says so.
BY_FFMPEG = frozenset({
    ".bw", ".dds", ".dpx", ".exr", ".fits", ".hdr", ".ico", ".j2k", ".jls", ".jp2", ".jpc", ".jpf", ".jpx", ".jxl",
    ".msp", ".pam", ".pcx", ".pfm", ".pgx", ".phm", ".psd", ".qoi", ".ras", ".rgb", ".sgi", ".sun", ".tga", ".xbm",
    ".xpm", ".xwd",
})  # fmt: skip
# How some of them begin. A reply of a server has no name that tells it from a video.
_FFMPEG_MARKS = (
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS", b"DDS ", b"SDPX", b"XPDS", b"qoif", b"\x76\x2f\x31\x01",
    b"#?RADIANCE\n",
)  # fmt: skip
# The ends of the names of all images that can be read, in a folder as well as alone.
IMAGE_SUFFIXES = _MARKED_SUFFIXES | frozenset(_UNMARKED) | BY_FFMPEG
# How brands of the ISO container begin a file of images. FFmpeg would play such a file as a film: one of its tiles.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"avci"}
)
# The format of a file that isn't what its name says.
DAMAGED = "damaged"
# A HEIC that holds a film besides, or instead of, an image. libheif reads only the image.
SEQUENCE = "sequence"
# Enough for every mark, and for the list of brands.
_START = 256


def image_format(path: Path) -> str | None:
    """Return the format of an image file; None if FFmpeg reads it, as a video or as a picture.

    A motion JPEG is a video. A file that is named like a JPEG, say, but doesn't begin like any image, counts as a
    damaged one. A pipe is never read here, because it can be read only once.
    """
    suffix = path.suffix.lower()
    form = _format_of(start_of(str(path), _START))
    # A motion JPEG and a JPEG-LS begin like a JPEG. FFmpeg tells them apart.
    if form == "JPEG" and suffix not in _MARKED_SUFFIXES:
        return None
    if form is None and path.is_file():
        return _UNMARKED.get(suffix, DAMAGED if suffix in _MARKED_SUFFIXES else None)
    return form


def format_of_reply(data: bytes) -> str | None:
    """Return the format of an image that a server sent, by its content alone; None if FFmpeg reads it.

    >>> format_of_reply(b"BM"), format_of_reply(b"qoif"), format_of_reply(b"<html>")
    ('BMP', None, 'damaged')
    """
    form = _format_of(data[:_START])
    if form is None and data.startswith(b"BM"):
        return "BMP"
    return form or (None if data.startswith(_FFMPEG_MARKS) else DAMAGED)


def refuse_tiles(name: str, tags: Mapping[str, str], tracks: int) -> None:
    """Refuse an image of which FFmpeg would show a part, or more than the image: its tiles are tracks to FFmpeg.

    Args:
        name: the source, redacted.
        tags: FFmpeg's metadata of the container.
        tracks: the number of its video tracks.

    Raises:
        SourceError: it is a HEIC, or an AVIF in several parts.
    """
    text = (tags.get("major_brand", "") + tags.get("compatible_brands", "")).encode("ascii", "replace")
    brands = {text[at : at + 4] for at in range(0, len(text), 4)}
    is_avif = bool(brands & _AVIF_BRANDS)
    if (is_avif and tracks > 1 and b"avis" not in brands) or (brands & _HEIF_BRANDS and not is_avif):
        raise SourceError(
            f"{name}: can't be decoded: a HEIC or AVIF image, which is read from a file only: save it as one",
            SourceReason.CODEC,
        )


def _format_of(start: bytes) -> str | None:
    """Return the format of a file that starts like this; None if it isn't a known image."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return _format_of_brands(start[: int.from_bytes(start[:4], "big")])
    return next((form for mark, form in _MARKS if start.startswith(mark)), None)


def _format_of_brands(box: bytes) -> str | None:
    brands = {box[8:12]} | {box[at : at + 4] for at in range(16, len(box), 4)}
    if b"msf1" in brands and not brands & _AVIF_BRANDS:
        return SEQUENCE
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None
