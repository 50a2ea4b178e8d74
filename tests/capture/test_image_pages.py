"""Listing the pictures of an image file takes little memory and time, whatever the file declares."""

import io
import struct
import zlib

import pytest
from PIL import Image

from realtime.capture import image_pages
from realtime.capture.animation import is_animation
from realtime.capture.image_file import opened
from realtime.capture.image_pages import places
from realtime.errors import SourceError, SourceReason

FAR = 10**9


def test_a_png_that_declares_two_thousand_million_pictures_takes_no_memory(tmp_path):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    content = b"acTL" + struct.pack(">II", 2**31 - 1, 0)
    chunk = struct.pack(">I", 8) + content + struct.pack(">I", zlib.crc32(content))
    data = out.getvalue()
    (tmp_path / "1.png").write_bytes(data[:33] + chunk + data[33:])  # after the header
    with opened(tmp_path / "1.png", FAR) as image:
        shown = places("1.png", image)
        assert len(shown) == 2**31 - 1
        assert isinstance(shown, range)


def test_a_tiff_of_too_many_pages_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(image_pages, "_MOST_PAGES", 3)
    page = Image.new("L", (8, 8))
    page.save(tmp_path / "3.tif", save_all=True, append_images=[page] * 2)
    page.save(tmp_path / "4.tif", save_all=True, append_images=[page] * 3)
    assert is_animation(tmp_path / "3.tif", FAR)
    with pytest.raises(SourceError, match=r"4\.tif: too many pages: expected at most 3$") as error:
        is_animation(tmp_path / "4.tif", FAR)
    assert error.value.reason is SourceReason.TOO_LARGE
