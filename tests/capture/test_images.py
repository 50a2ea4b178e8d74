import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.capture.images import ImagesSource
from realtime.errors import SourceError, SourceReason, TruncatedError

MALFORMED = Path(__file__).parents[3] / "shared" / "data" / "malformed"


def write(path, value, size=(32, 24)):
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))


def values(source):
    pictures = iter(source.read, None)
    return [int(p.image[0, 0, 0]) for p in pictures]


def test_a_folder_is_read_in_natural_order_and_other_files_are_skipped(tmp_path):
    for number in (10, 1, 2):
        write(tmp_path / f"img{number}.png", number)
    (tmp_path / "notes.txt").write_text("not an image")
    source = ImagesSource(str(tmp_path))
    assert (source.size, source.fps, source.live, source.length) == ((32, 24), 30.0, False, 3)
    assert values(source) == [1, 2, 10]


def test_a_glob_is_read_in_natural_order_across_folders(tmp_path):
    for folder, name, value in [("b2", "1", 3), ("b10", "1", 4), ("b2", "0", 2)]:
        (tmp_path / folder).mkdir(exist_ok=True)
        write(tmp_path / folder / f"{name}.png", value)
    assert values(ImagesSource(f"{tmp_path}/b*/?.png")) == [2, 3, 4]


def test_an_invalid_pattern_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"invalid pattern|no file matches"):
        ImagesSource(f"{tmp_path}/**x/*.png")


def test_a_folder_without_read_permission_is_refused(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(SourceError, match="can't be read: Permission denied"):
        ImagesSource(str(tmp_path))


def test_a_single_image_is_one_frame_without_a_timestamp(tmp_path):
    write(tmp_path / "one.png", 7)
    source = ImagesSource(str(tmp_path / "one.png"))
    assert source.read().media_s is None
    assert source.read() is None


def test_an_image_is_rotated_according_to_its_exif_orientation(tmp_path):
    write(tmp_path / "up.jpg", 100, size=(32, 24))
    plain = (tmp_path / "up.jpg").read_bytes()
    # One entry: tag 0x0112 (orientation), type short, value 6 (rotate by 90 degrees clockwise for display).
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    (tmp_path / "turned.jpg").write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    assert ImagesSource(str(tmp_path / "turned.jpg")).size == (24, 32)


@pytest.mark.parametrize("pattern", ["", "/*"])
def test_unreadable_images_are_faults_in_order_and_an_error_at_the_end(tmp_path, caplog, pattern):
    for number, size in [(2, (32, 24)), (10, (16, 8))]:
        write(tmp_path / f"{number}.png", number, size)
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes((tmp_path / "2.png").read_bytes()[:60])
    name = f"{tmp_path}{pattern}"
    source = ImagesSource(name, camera="door")
    assert source.size == (32, 24)  # that of the first readable image
    pictures = [source.read() for _ in range(5)]
    assert [p.fault for p in pictures] == ["undecodable", None, "undecodable", "undecodable", None]
    assert [int(p.image[0, 0, 0]) for p in pictures if p.image is not None] == [2, 10]
    says = f"{name}: 3 of 5 images can't be read (the first is 1.png): damaged or not images"
    with pytest.raises(TruncatedError, match=f"^{re.escape(says)}$") as caught:
        source.read()
    assert (caught.value.reason, caught.value.exit_code) == (SourceReason.CODEC, 1)
    assert [r.getMessage() for r in caplog.records] == [
        f"{tmp_path}/1.png: not an image, or a damaged or truncated one; continuing with the other images"
    ]
    assert (caplog.records[0].camera, caplog.records[0].cause) == ("door", "undecodable")


def test_an_image_that_is_deleted_before_its_turn_does_not_stop_the_source(tmp_path):
    for number in (1, 2, 3):
        write(tmp_path / f"{number}.png", number)
    source = ImagesSource(str(tmp_path))
    (tmp_path / "2.png").unlink()
    assert [source.read().fault for _ in range(3)] == [None, "undecodable", None]
    with pytest.raises(TruncatedError, match=r"1 of 3 images can't be read \(the first is 2\.png\)"):
        source.read()


def test_a_folder_without_readable_images_fails_with_the_error_of_the_first(tmp_path, caplog):
    (tmp_path / "1.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"1\.png: not an image: the file is empty") as caught:
        ImagesSource(str(tmp_path))
    assert (caught.value.reason, caught.value.exit_code) == (SourceReason.NOT_MEDIA, 3)
    assert not caplog.records


def huge_png() -> bytes:
    """Return a PNG that declares 40000 x 40000 pixels, more than OpenCV accepts."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40000, 40000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (None, SourceReason.MISSING, "no such file"),
        (b"", SourceReason.NOT_MEDIA, "the file is empty"),
        (b"text", SourceReason.NOT_MEDIA, "not an image"),
        (huge_png(), SourceReason.TOO_LARGE, "too large: got 40000x40000"),
    ],
    ids=["missing", "empty", "text", "too large"],
)
def test_the_error_for_an_unreadable_image_gives_the_reason(tmp_path, content, reason, says):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=says) as caught:
        ImagesSource(str(path))
    assert caught.value.reason is reason


@pytest.mark.parametrize("pattern", ["", "/*.png"])
def test_a_folder_or_glob_without_images_is_missing(tmp_path, pattern):
    with pytest.raises(SourceError) as caught:
        ImagesSource(f"{tmp_path}{pattern}")
    assert caught.value.reason is SourceReason.MISSING


@pytest.mark.skipif(not MALFORMED.is_dir(), reason=f"NOT TESTED: {MALFORMED} is missing")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("bad_marker.jpg", (640, 426)),
        ("gray16.png", (320, 240)),
        ("huge_12000x9000.jpg", (12000, 9000)),
        ("png_named.jpg", None),
        ("truncated.jpg", None),  # refused, although cv2.imread would fill the missing rest with grey
        ("zero.jpg", None),
    ],
)
def test_unusual_images_are_read_and_damaged_ones_refused(name, size):
    if size is None:
        with pytest.raises(SourceError):
            ImagesSource(str(MALFORMED / name))
    else:
        assert ImagesSource(str(MALFORMED / name)).size == size
