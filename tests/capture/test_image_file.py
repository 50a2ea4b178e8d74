"""Every image is read as viewers show it, or one line says what can't be read."""

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from realtime.capture.image_file import _prepare, opened, picture_of
from realtime.errors import SourceError, SourceReason

from .pictures import drawn, is_drawn, write_animation

FAR = 10**9
TURN = Image.Transpose
# How a picture is stored if its EXIF orientation is this one.
STORED = {
    1: None,
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_90,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_270,
    0: None,
    9: None,
}


def read(path, max_pixels=FAR):
    with opened(path, max_pixels) as image:
        return picture_of(str(path), image, max_pixels)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif", "heic"])
def test_a_picture_is_upright_whatever_its_exif_orientation(tmp_path, suffix):
    for orientation, turn in STORED.items():
        if suffix in ("avif", "heic") and orientation not in range(1, 9):
            continue  # these hold turns and mirrors of their own, without such values
        stored = drawn() if turn is None else drawn().transpose(turn)
        path = tmp_path / f"{orientation}.{suffix}"
        stored.save(path, exif=exif(orientation), quality=95)
        assert is_drawn(read(path)), orientation


def test_a_heic_is_turned_once_although_its_exif_says_it_again(tmp_path):
    path = tmp_path / "1.heic"
    drawn().transpose(TURN.ROTATE_90).save(path, exif=exif(6), quality=95)
    data = path.read_bytes()
    assert b"irot" in data
    assert is_drawn(read(path))


def test_damaged_exif_data_changes_nothing(tmp_path, recwarn):
    _prepare.cache_clear()  # pytest has reset the filters of warnings since then
    path = tmp_path / "1.jpg"
    drawn().save(path, exif=exif(6)[:-9] + b"\xff" * 9, quality=95)
    assert is_drawn(read(path))
    assert not recwarn


def test_an_orientation_in_xmp_is_ignored(tmp_path):
    path = tmp_path / "1.png"
    info = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    drawn().save(path, xmp=info)
    drawn().save(path.with_suffix(".jpg"), xmp=info, quality=95)
    assert is_drawn(read(path))
    assert is_drawn(read(path.with_suffix(".jpg")))


def test_a_heic_of_tiles_is_whole(tmp_path):
    path = tmp_path / "tiles.heic"
    large = drawn(size=(512, 512))
    large.save(path, tile_size=256, quality=95)
    assert b"grid" in path.read_bytes()
    picture = read(path)
    assert picture.shape == (512, 512, 3)
    assert np.abs(picture[..., ::-1].astype(int) - np.asarray(large)).mean() < 6


@pytest.mark.parametrize("name", ["photo.jpg", "photo.mp4", "photo"])
def test_a_heic_is_recognised_under_any_name(tmp_path, name):
    drawn().save(tmp_path / "1.heic", quality=95)
    path = (tmp_path / "1.heic").rename(tmp_path / name)
    assert is_drawn(read(path))


def test_a_heic_that_holds_a_sequence_is_refused(tmp_path):
    path = tmp_path / "1.heics"
    drawn().save(path, format="HEIF")
    data = path.read_bytes()
    assert data[16:20] == b"mif1"
    path.write_bytes(data[:8] + b"hevc" + data[12:16] + b"msf1" + data[20:])
    with pytest.raises(SourceError, match=r"1\.heics: can't be decoded: a HEIC that holds a sequence of pictures"):
        read(path)


def test_without_pillow_heif_the_error_for_a_heic_gives_the_command_that_installs_it(tmp_path, monkeypatch):
    path = tmp_path / "1.heic"
    drawn().save(path)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(SourceError, match=r"1\.heic: can't be decoded: .* pip install 'pillow-heif") as caught:
        read(path)
    assert caught.value.reason is SourceReason.CODEC


@pytest.mark.parametrize("suffix", ["heic", "avif", "webp", "png", "jpg", "tif"])
def test_a_truncated_image_is_refused(tmp_path, suffix):
    path = tmp_path / f"1.{suffix}"
    drawn().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="not an image, or a damaged or truncated one") as caught:
        read(path)
    assert caught.value.reason is SourceReason.NOT_MEDIA


@pytest.mark.parametrize(
    ("suffix", "mode", "keys"),
    [
        ("jpg", "CMYK", {"quality": 95}),
        ("jpg", "RGB", {"progressive": True, "quality": 95}),
        ("jpg", "L", {"quality": 95}),
        ("tif", "CMYK", {}),
        ("tif", "YCbCr", {"compression": "jpeg", "quality": 95}),
        ("tif", "RGB", {"compression": "zstd"}),
        ("tif", "RGB", {"compression": "lzma"}),
        ("tif", "RGB", {"compression": "tiff_lzw"}),
        ("tif", "RGB", {"big_tiff": True}),
        ("tif", "P", {}),
        ("tif", "1", {"compression": "group4"}),
        ("png", "P", {}),
        ("png", "1", {}),
        ("png", "LA", {}),
        ("bmp", "P", {}),
    ],
)
def test_the_colours_are_right_in_every_mode(tmp_path, suffix, mode, keys):
    path = tmp_path / f"1.{suffix}"
    drawn(mode=mode).save(path, **keys)
    assert is_drawn(read(path), mode=mode)


def tiff(samples, *, bits, colours=1, kind=1, order="<"):
    """Return a TIFF of one gray channel; `samples` has the size of the picture in its shape."""
    height, width = samples.shape
    data = samples.tobytes()
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, colours), (273, 0), (277, 1), (278, height),
            (279, len(data)), (339, kind)]  # fmt: skip
    start = 8 + 2 + 12 * len(tags) + 4
    rows = [struct.pack(f"{order}HHII", tag, 4, 1, start if tag == 273 else value) for tag, value in tags]
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(tags))
    return head + b"".join(rows) + bytes(4) + data


GRAY = np.asarray(drawn(mode="L"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("16.tif", tiff(GRAY.astype("<u2") * 257, bits=16)),
        ("16 big endian.tif", tiff(GRAY.astype(">u2") * 257, bits=16, order=">")),
        ("white is zero.tif", tiff(255 - GRAY, bits=8, colours=0)),
        ("16 white is zero.tif", tiff(65535 - GRAY.astype("<u2") * 257, bits=16, colours=0)),
        ("16.pgm", b"P5 64 48 65535\n" + (GRAY.astype(">u2") * 257).tobytes()),
    ],
)
def test_more_than_8_bits_are_shown_as_8(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert is_drawn(read(tmp_path / name), mode="L", within=1.1)


def test_16_bits_of_a_png_are_shown_as_8(tmp_path):
    Image.fromarray(GRAY.astype(np.uint16) * 257).save(tmp_path / "1.png")
    assert is_drawn(read(tmp_path / "1.png"), mode="L", within=1.1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tiff(GRAY.astype("<f4"), bits=32, kind=3), "32-bit float samples: convert it to unsigned integers of 8 or 16"),
        (tiff(GRAY.astype("<f8"), bits=64, kind=3), "64-bit float samples"),
        (tiff(GRAY.astype("<f2"), bits=16, kind=3), "16-bit float samples"),
        (tiff(GRAY.astype("<u4"), bits=32), "32-bit integer samples"),
        (tiff(GRAY.astype("<i2"), bits=16, kind=2), "16-bit signed integer samples"),
        (tiff(GRAY, bits=8, colours=32844), "a TIFF of 8-bit samples, colours 32844"),
    ],
)
def test_the_error_for_a_tiff_names_the_samples_that_cannot_be_shown(tmp_path, content, says):
    path = tmp_path / "1.tif"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"1\.tif: can't be decoded: {says}") as caught:
        read(path)
    assert caught.value.reason is SourceReason.CODEC


@pytest.mark.parametrize(
    ("marker", "bits", "says"),
    [(0xC1, 12, "a JPEG of 12-bit samples"), (0xC3, 8, "a lossless JPEG")],
)
def test_the_error_for_a_jpeg_names_the_kind_that_cannot_be_decoded(tmp_path, marker, bits, says):
    path = tmp_path / "1.jpg"
    drawn().save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    path.write_bytes(data)
    with pytest.raises(SourceError, match=says):
        read(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif"])
def test_the_pixels_are_those_that_opencv_decodes(tmp_path, suffix):
    path = tmp_path / f"1.{suffix}"
    drawn(size=(321, 241)).resize((161, 121)).save(path)
    assert (read(path) == cv2.imread(str(path))).all()


def test_transparent_parts_are_white_whatever_colour_they_hide(tmp_path):
    rgba = np.dstack([np.asarray(drawn()), np.full((48, 64), 255, np.uint8)])
    rgba[20:28, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "1.png")
    assert (read(tmp_path / "1.png")[20:28] == 255).all()


def write_subfiles(path, *kinds):
    """Write a TIFF of one picture per kind (NewSubfileType), each as large as its place, the last one as drawn."""
    pictures = [drawn(size=(20 + place, 20)) for place in range(len(kinds) - 1)] + [drawn()]
    for picture, kind in zip(pictures, kinds, strict=True):
        picture.encoderinfo = {"tiffinfo": {254: kind}}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], tiffinfo={254: kinds[0]})
    return path


def test_the_thumbnail_of_a_tiff_is_not_the_picture(tmp_path):
    assert is_drawn(read(write_subfiles(tmp_path / "1.tif", 1, 0)))


def test_the_preview_in_a_camera_s_raw_image_is_not_taken_for_the_image(tmp_path):
    path = tmp_path / "1.tif"
    drawn().save(path, tiffinfo={50706: b"\1\4\0\0"})  # DNGVersion
    with pytest.raises(SourceError, match="a camera's raw image"):
        read(path)


def test_the_first_picture_of_a_file_is_taken(tmp_path):
    assert is_drawn(read(write_animation(tmp_path / "1.webp")))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif", "heic", "tif", "gif"])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"1.{suffix}"
    drawn().save(path)
    monkeypatch.setattr("realtime.capture.image_file.picture_of", None)
    with pytest.raises(SourceError, match="too large: got 64x48"), opened(path, 64 * 48 - 1):
        pass


def test_a_heic_that_holds_more_pixels_than_its_header_says_is_refused(tmp_path):
    path = tmp_path / "1.heic"
    drawn().save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"ispe") + 8
    assert struct.unpack_from(">II", data, at)[0] == 64
    struct.pack_into(">II", data, at, 8, 8)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="too large: got 64x48, expected at most 100 pixels"):
        read(path, max_pixels=100)


def test_no_reader_of_pillow_starts_another_program(tmp_path, monkeypatch):
    """Pillow reads EPS, for example, with Ghostscript."""
    path = tmp_path / "1.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(SourceError, match="not an image"):
        read(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = tmp_path / "1.png"
    drawn().save(path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match="can't be read: Permission denied"):
        read(path)
