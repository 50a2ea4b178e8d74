"""An image gives the same picture, or the same error, from a file, from a folder and from a URL."""

import shutil

import numpy as np
import pytest
from PIL import Image

from realtime.capture.images import ImagesSource
from realtime.capture.one_image import of_file, of_reply
from realtime.errors import SourceError, SourceReason

from .pictures import drawn, is_drawn, read_all, write_animation
from .served import Files, reading
from .test_image_file import GRAY, STORED, exif, tiff, write_subfiles

FAR = 10**9
URL = "http://10.0.0.5/snapshot.jpg"


def deep(path):
    Image.fromarray(GRAY.astype(np.uint16) * 257).save(path)


def transparent(path):
    rgba = np.dstack([np.asarray(drawn()), np.full((48, 64), 255, np.uint8)])
    rgba[:9, :, 3] = 0
    Image.fromarray(rgba).save(path, lossless=True)


def thumbnail_first(path):
    write_subfiles(path, 1, 0)


KINDS = {
    **{
        f"plain.{suffix}": lambda path: drawn().save(path)
        for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif", "avif", "heic", "jp2", "j2k", "ppm", "dds")
    },
    **{
        f"orientation {number}.{suffix}": lambda path, number=number: drawn().save(path, exif=exif(number))
        for suffix in ("jpg", "png", "tif", "webp", "avif", "heic")
        for number in range(2, 9)
    },
    "cmyk.jpg": lambda path: drawn(mode="CMYK").save(path),
    "gray.jpg": lambda path: drawn(mode="L").save(path),
    "16 bit.png": deep,
    "16 bit.jp2": deep,
    "16 bit.tif": lambda path: path.write_bytes(tiff(GRAY.astype("<u2") * 257, bits=16)),
    "white is zero.tif": lambda path: path.write_bytes(tiff(65535 - GRAY.astype("<u2") * 257, bits=16, colours=0)),
    "transparent.png": transparent,
    "transparent.webp": transparent,
    "animated.webp": write_animation,
    "animated.png": write_animation,
    "animated.gif": write_animation,
    "thumbnail first.tif": thumbnail_first,
}


@pytest.mark.parametrize("name", KINDS)
def test_the_picture_is_the_same_from_a_file_a_folder_and_a_reply(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    (tmp_path / "folder").mkdir()
    shutil.copy(path, tmp_path / "folder")
    alone, _ = of_file(path, FAR)
    (in_folder,) = read_all(ImagesSource(str(tmp_path / "folder")))
    replied = of_reply(path.read_bytes(), URL, FAR)
    assert alone.min() < alone.max()
    assert (in_folder.image == alone).all()
    assert replied.shape == alone.shape
    assert (replied == alone).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "heic", "avif", "webp"])
def test_a_picture_of_a_server_is_upright_whatever_its_exif_orientation(tmp_path, suffix):
    for number in range(1, 9):
        stored = drawn() if STORED[number] is None else drawn().transpose(STORED[number])
        stored.save(tmp_path / f"1.{suffix}", exif=exif(number), quality=95)
        assert is_drawn(of_reply((tmp_path / f"1.{suffix}").read_bytes(), URL, FAR)), number


def cut(data):
    return data[:-100]


def twelve_bits(data):
    return data.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c")


def floats(data):
    return tiff(GRAY.astype("<f4"), bits=32, kind=3)


def page(data):
    return b"<html><body>Please log in</body></html>"


@pytest.mark.parametrize(
    ("suffix", "change"),
    [
        *(("jpg", cut), ("png", cut), ("heic", cut), ("avif", cut), ("tif", cut), ("webp", cut)),
        *(("jpg", twelve_bits), ("tif", floats), ("jpg", page), ("png", lambda data: b"")),
    ],
)
def test_the_error_has_the_same_words_and_reason(tmp_path, suffix, change):
    path = tmp_path / f"1.{suffix}"
    drawn().save(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError) as of_the_file:
        of_file(path, FAR)
    with pytest.raises(SourceError) as of_the_reply:
        of_reply(path.read_bytes(), URL, FAR)
    assert str(of_the_reply.value) == str(of_the_file.value).replace(str(path), URL)
    assert of_the_reply.value.reason is of_the_file.value.reason


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "heic", "tif", "gif", "bmp", "jp2", "dds"])
def test_a_reply_of_too_many_pixels_is_refused(tmp_path, suffix):
    path = tmp_path / f"1.{suffix}"
    drawn().save(path)
    with pytest.raises(SourceError, match=f"^{URL}: too large: ") as caught:
        of_reply(path.read_bytes(), URL, 64 * 48 - 1)
    assert caught.value.reason is SourceReason.TOO_LARGE


@pytest.mark.parametrize(
    "data", [b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"ffconcat"]
)
def test_a_reply_that_names_other_files_or_programs_is_no_image(data):
    with pytest.raises(SourceError, match="not an image") as caught:
        of_reply(data, URL, FAR)
    assert caught.value.reason is SourceReason.NOT_MEDIA


@pytest.mark.parametrize(
    "name", ["orientation 5.heic", "orientation 7.jpg", "transparent.png", "16 bit.png", "plain.jp2"]
)
def test_a_camera_that_gives_an_image_shows_the_picture_of_the_file(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    with Files(cgi=path.read_bytes()) as server, reading(server.url("/cgi")) as source:
        picture = source.read()
    assert (picture.image == of_file(path, FAR)[0]).all()
