"""What an image file is, by its content where that shows it."""

import os
import struct

import pytest

from realtime.capture.image_formats import DAMAGED, image_format
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError

from .clips import write_clip
from .pictures import drawn


def boxed(major, *compatible):
    return struct.pack(">I4s4sI", 16 + 4 * len(compatible), b"ftyp", major, 0) + b"".join(compatible) + bytes(64)


@pytest.mark.parametrize(
    ("name", "start", "form"),
    [
        ("photo.jpg", b"\xff\xd8\xff\xe0", "JPEG"),
        ("clip.mjpeg", b"\xff\xd8\xff\xe0", None),  # as a JPEG begins
        ("photo.jls", b"\xff\xd8\xff\xf7", None),
        ("photo.jpg", b"\x89PNG\r\n\x1a\n", "PNG"),
        ("photo", b"RIFF\0\0\0\0WEBPVP8X", "WEBP"),
        ("clip.avi", b"RIFF\0\0\0\0AVI LIST", None),
        ("photo.jpg", boxed(b"heic", b"mif1", b"heic"), "HEIF"),
        ("photo.mp4", boxed(b"mif1", b"mif1", b"heic"), "HEIF"),
        ("photo.heic", boxed(b"mif1", b"avif", b"mif1"), "AVIF"),
        ("clip.mp4", boxed(b"isom", b"iso2", b"avc1"), None),
        ("clip.heic", boxed(b"isom", b"iso2", b"avc1"), DAMAGED),
        ("photo.png", b"", DAMAGED),
        ("photo.png", b"not an image", DAMAGED),
        ("photo.bmp", b"BM", "BMP"),
        ("photo.tga", b"\0\0\2", None),
        ("photo", b"II*\0", "TIFF"),
        ("photo.pgm", b"P5 1 1 255\n", "PPM"),
        ("Python.txt", b"P5ython", None),
    ],
)
def test_the_format_follows_from_the_content(tmp_path, name, start, form):
    (tmp_path / name).write_bytes(start)
    assert image_format(tmp_path / name) == form


@pytest.mark.parametrize("name", ["none.png", "none.bmp", "none"])
def test_a_missing_file_has_no_format(tmp_path, name):
    assert image_format(tmp_path / name) is None


@pytest.mark.parametrize("name", ["pipe.png", "pipe.bmp"])
def test_a_pipe_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert image_format(tmp_path / name) is None


def test_ffmpeg_is_never_asked_for_a_tile(tmp_path):
    """A pipe or a URL leads here."""
    drawn(size=(512, 512)).save(tmp_path / "1.heic", tile_size=256)
    with pytest.raises(SourceError, match=r"1\.heic: can't be decoded: a HEIC or AVIF image, .*save it as one"):
        StreamSource(str(tmp_path / "1.heic"), network=False)


def test_ffmpeg_still_reads_films_and_an_avif_of_one_part(tmp_path):
    drawn().save(tmp_path / "1.avif")
    for path in (tmp_path / "1.avif", write_clip(tmp_path / "1.mp4", frames=2)):
        StreamSource(str(path), network=False).close()
