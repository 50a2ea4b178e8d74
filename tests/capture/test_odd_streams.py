"""Files and streams whose content is odd: each is one plain line, or no trouble at all."""

import re

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from realtime.capture.convert import Converter
from realtime.capture.images import ImagesSource
from realtime.capture.kind import kind_of
from realtime.capture.stream import StreamSource
from realtime.capture.webcam import WebcamSource
from realtime.errors import SourceError, SourceReason
from tests.faults.fakecam import FakeCamera
from tests.faults.session import Session

from .clips import write_clip
from .devices import FakeDevices


def read_all(path):
    source = StreamSource(str(path), network=False)
    try:
        return list(iter(source.read, None))
    finally:
        source.close()


def write_filtered(path, filters):
    """Write a raw H.264 stream whose packets went through a bitstream filter."""
    with av.open(str(write_clip(path.with_suffix(".plain.h264")))) as source:
        context = BitStreamFilterContext(filters, source.streams.video[0])
        filtered = [bytes(out) for packet in source.demux() for out in context.filter(packet)]
    path.write_bytes(b"".join(filtered))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_title_that_is_not_utf_8_does_no_harm(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Tuer_Nord"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["title"] = "Tuer_Nord"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "bgr24")))
        container.mux(stream.encode())
    assert b"Tuer_Nord" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"Tuer_Nord", b"T\xfcr_\xff\xfe_Nor"[:9]))
    assert len(read_all(path)) == 5


def test_a_session_name_that_is_not_utf_8_does_no_harm(monkeypatch):
    described = Session._description
    monkeypatch.setattr(Session, "_description", lambda self: described(self).replace("s=fakecam", "s=T\udcfcr"))
    with FakeCamera() as camera:
        source = StreamSource(camera.url(), network=True)
        try:
            assert source.read() is not None
        finally:
            source.close()


def test_a_codec_without_a_decoder_is_one_line(tmp_path):
    path = write_clip(tmp_path / "clip.mkv")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ"))
    with pytest.raises(SourceError, match=r"clip\.mkv: can't be decoded: FFmpeg lacks a decoder") as caught:
        StreamSource(str(path), network=False)
    assert caught.value.reason is SourceReason.CODEC


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_colour_matrix_that_the_converter_does_not_know_is_replaced_by_the_usual_one(tmp_path, matrix):
    path = write_filtered(tmp_path / "clip.h264", f"h264_metadata=matrix_coefficients={matrix}:colour_primaries=1")
    usual = read_all(write_clip(tmp_path / "usual.mp4"))
    pictures = read_all(path)
    assert len(pictures) == 10
    for odd, plain in zip(pictures, usual, strict=True):
        assert np.abs(odd.image.astype(int) - plain.image).max() <= 3


@pytest.mark.parametrize("pix_fmt", ["bayer_rggb8", "yaf32le", "rgb96le"])
def test_a_pixel_format_that_can_not_be_converted_is_one_line(pix_fmt):
    """FFmpeg would abort the whole process for some pictures in the first two."""
    with pytest.raises(SourceError, match=f"^x: can't be decoded: FFmpeg can't convert its pixel format {pix_fmt} "):
        Converter("x")(av.VideoFrame(2, 3, pix_fmt)).bgr()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a\0b.mp4", "file"),  # no file can have this name
        ("/" + "x" * 5000 + ".mp4", "file"),
        ("x" * 300 + ".jpg", "file"),
        ("\ud800.mp4", "file"),  # can't be encoded
        ("caf\udce9.mp4", "file"),  # not UTF-8, but a valid name
        ("\ud800*.png", "images"),
        ("0" * 5000, "webcam"),
        ("[" * 1000, "file"),
    ],
)
def test_the_kind_of_any_text_is_found(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    "name", ["/" + "x" * 5000 + ".mp4", "x" * 300 + ".jpg", "/".join(["y" * 200] * 30), "\ud800*.png"]
)
def test_a_name_that_no_file_can_have_is_one_line(name):
    source = StreamSource if kind_of(name) == "file" else ImagesSource
    with pytest.raises(SourceError) as caught:
        source(name, network=False) if source is StreamSource else source(name)
    assert "\n" not in str(caught.value)


# ---- webcams


class OddDevice:
    """A device whose driver returns these results, or raises them."""

    def __init__(self, *results):
        self.results, self.released = list(results), False

    def read(self):
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return True, result

    def get(self, key):
        return 30.0

    def release(self):
        self.released = True


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64, 5), np.uint8),  # five channels
        np.zeros((48, 64), np.uint16),  # a depth camera
        np.zeros((48, 63, 2), np.uint8),  # YUYV of an odd width
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((1, 48, 64, 3), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((48, 64, 3), np.float32),
    ],
)
def test_a_webcam_frame_of_an_unknown_format_is_one_line(tmp_path, image):
    device = OddDevice(image)
    with pytest.raises(SourceError, match=re.escape(f"can't be decoded: got a frame of {image.dtype} {image.shape}")):
        WebcamSource("0", opener=lambda *_: device, devices=tmp_path)
    assert device.released
    later = WebcamSource("0", opener=lambda *_: OddDevice(np.zeros((48, 64, 3), np.uint8), image), devices=tmp_path)
    later.read()
    with pytest.raises(SourceError) as caught:
        later.read()
    assert caught.value.reason is SourceReason.CODEC


def test_an_error_of_a_webcam_driver_is_one_line(tmp_path):
    device = OddDevice(cv2.error("OpenCV(4.14) odd\nmore"))
    with pytest.raises(SourceError, match=r"^webcam 0: the driver reports an error: OpenCV\(4.14\) odd$") as caught:
        WebcamSource("0", opener=lambda *_: device, devices=tmp_path)
    assert caught.value.reason is SourceReason.LOST
    assert device.released


def test_a_webcam_that_returns_no_array_counts_as_unplugged(tmp_path):
    devices = FakeDevices(tmp_path)
    devices.plug()
    device = OddDevice(None)
    with pytest.raises(SourceError, match="webcam 0: no frame received"):
        WebcamSource("0", opener=lambda *_: device, devices=tmp_path)
