"""Decoded frames are converted late: after their source was closed, on other threads, at any size."""

import gc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from struct import Struct

import av
import cv2
import numpy as np
import pytest
from av.filter import Graph

from realtime.capture.convert import Converter, DecodedFrame
from realtime.capture.source import Pixels, scaled_down, scaled_size
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason

from .clips import write_corners

# The planes of cameras, webcams and odd files: 4:2:0, 4:2:2 and 4:4:4, full range, 10 to 16 bits, RGB, grey, palette.
FORMATS = [
    "yuv420p", "yuvj420p", "yuv411p", "yuv422p", "yuvj422p", "yuv440p", "yuv444p", "nv12", "nv21", "nv16", "yuyv422",
    "uyvy422", "yuva420p", "yuv420p10le", "yuv420p10be", "p010le", "yuv422p12le", "gray", "gray10le", "gray16le", "ya8",
    "rgb24", "bgr24", "bgra", "rgb565le", "gbrp", "gbrp10le", "pal8", "rgb48le",
]  # fmt: skip
MATRIX = Struct("=9i")


def scene(size=(64, 48), seed=0):
    """A BGR image of soft blobs, which survives the scaling of colour planes."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), size, interpolation=cv2.INTER_CUBIC)


def frame_of(image, pix_fmt):
    if pix_fmt == "pal8":
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, 1)
        palette[:, 0] = 255
        return av.VideoFrame.from_ndarray((grey, palette), "pal8")
    return av.VideoFrame.from_ndarray(image, "bgr24").reformat(format=pix_fmt)


def upside_down(frame):
    """The frame as FFmpeg's vflip makes it: the same memory, with rows that go upwards."""
    graph, frame.pts = Graph(), 0
    steps = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)),
        graph.add("vflip"),
        graph.add("buffersink"),
    ]
    steps[0].link_to(steps[1])
    steps[1].link_to(steps[2])
    graph.configure()
    graph.vpush(frame)
    return graph.vpull()


def write_scenes(path, codec, pix_fmt, b_frames, frames=6):
    """Write a video whose frames all differ, so that a decoder that reuses a frame's memory is found out."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        stream.codec_context.max_b_frames = b_frames
        for seed in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(seed=seed), "bgr24")))
        container.mux(stream.encode())
    return path


def brightness(bgr):
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(int)


def read_pictures(path, convert):
    source = StreamSource(str(path), network=False)
    pictures = [convert(picture) for picture in iter(source.read, None)]
    source.close()
    return pictures


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "b_frames"),
    [
        ("h264.mp4", "libx264", "yuv420p", 0),
        ("b.mp4", "libx264", "yuv420p", 2),
        ("high10.mp4", "libx264", "yuv420p10le", 2),
        ("hevc.mkv", "libx265", "yuv420p", 2),
        ("jpeg.avi", "mjpeg", "yuvj420p", 0),
        ("nv12.nut", "rawvideo", "nv12", 0),
        ("raw.avi", "rawvideo", "bgr24", 0),
        ("rgb.mkv", "ffv1", "bgr0", 0),
        ("palette.gif", "gif", "rgb8", 0),
        ("rle.mov", "qtrle", "rgb24", 0),
    ],
)
def test_a_picture_can_be_converted_after_its_source_was_closed(tmp_path, name, codec, pix_fmt, b_frames):
    path = write_scenes(tmp_path / name, codec, pix_fmt, b_frames)
    now = read_pictures(path, lambda picture: picture.image.copy())
    decoded = read_pictures(path, lambda picture: picture.decoded)
    gc.collect()
    lumas = [each.luma(0.5) for each in decoded]
    assert len({image.tobytes() for image in now}) == 6
    for early, late, luma in zip(now, decoded, lumas, strict=True):
        np.testing.assert_array_equal(late.bgr(), early)
        assert late.bgr().flags.c_contiguous
        assert np.corrcoef(luma.ravel(), brightness(cv2.resize(early, (32, 24))).ravel())[0, 1] > 0.97


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", [(64, 48), (67, 45)])
def test_the_luma_is_the_grey_of_the_picture(pix_fmt, size):
    decoded = Converter("x")(frame_of(scene(size), pix_fmt))
    for scale in (1.0, 0.25, 0.1):
        luma = decoded.luma(scale)
        grey = brightness(decoded.bgr())
        expected = cv2.resize(grey.astype(np.float32), luma.shape[::-1], interpolation=cv2.INTER_AREA)
        assert luma.dtype == np.uint8
        assert luma.shape[::-1] == scaled_size(size, scale)
        # A decoder's plane runs from 16 to 235 where the grey runs from 0 to 255.
        assert np.abs(luma - expected).max() < 24
        assert np.corrcoef(luma.ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12", "yuv420p10le", "gray", "bgr24", "rgb565le", "pal8"])
def test_pictures_of_any_size_have_both(pix_fmt):
    for size in [(1, 1), (2, 2), (1, 9), (9, 1), (641, 359), (4000, 3), (3, 2000)]:
        for scale in (1.0, 0.3, 1e-9):
            decoded = Converter("x")(frame_of(scene(size), pix_fmt))
            assert decoded.luma(scale).shape[::-1] == scaled_size(size, scale)
            assert decoded.bgr().shape == (size[1], size[0], 3)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "nv12", "gray", "yuv420p10le", "bgr24", "gbrp"])
def test_pictures_whose_rows_go_upwards_are_read_the_right_way(pix_fmt):
    image = scene((640, 480))
    plain, flipped = frame_of(image, pix_fmt), upside_down(frame_of(image, pix_fmt))
    assert flipped.planes[0].line_size < 0
    expected, got = Converter("x")(plain), Converter("x")(flipped)
    # FFmpeg scales the colour planes from above, so the colours at edges differ.
    assert np.abs(got.bgr()[::-1].astype(int) - expected.bgr()).mean() < 2
    assert np.abs(got.luma(0.5)[::-1].astype(int) - expected.luma(0.5)).max() < 24


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [1, -1])
def test_both_are_turned_by_the_display_matrix(quarters, mirror):
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    matrix = MATRIX.pack(mirror * a, mirror * b, 0, -b, a, 0, 0, 0, 1)
    decoded = DecodedFrame(frame_of(scene((60, 40)), "yuv420p"), matrix, Converter("x"))
    assert decoded.size == ((40, 60) if quarters % 2 else (60, 40))
    assert decoded.bgr().shape == (decoded.size[1], decoded.size[0], 3)
    assert np.corrcoef(decoded.luma(1.0).ravel(), brightness(decoded.bgr()).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "bgr24"])
@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirror", [1, -1])
def test_the_luma_of_a_box_is_that_part_of_the_upright_picture(quarters, mirror, pix_fmt):
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    matrix = MATRIX.pack(mirror * a, mirror * b, 0, -b, a, 0, 0, 0, 1)
    decoded = DecodedFrame(frame_of(scene((60, 40)), pix_fmt), matrix, Converter("x"))
    np.testing.assert_array_equal(decoded.luma(1.0, (4, 8, 24, 36)), decoded.luma(1.0)[8:36, 4:24])
    assert decoded.luma(0.5, (4, 8, 24, 36)).shape == (14, 10)


def test_the_luma_of_a_box_of_a_bgr_picture_is_that_part_of_it():
    decoded = Pixels(scene((60, 40)))
    np.testing.assert_array_equal(decoded.luma(1.0, (5, 8, 24, 36)), decoded.luma(1.0)[8:36, 5:24])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_several_threads_may_convert_the_frames_of_one_source(pix_fmt):
    convert = Converter("x")
    frames = [frame_of(scene((320, 240), seed), pix_fmt) for seed in range(4)]
    expected = [(convert(frame).bgr(), convert(frame).luma(0.3)) for frame in frames]
    with ThreadPoolExecutor(4) as threads:
        images = [threads.submit(convert(frame).bgr) for frame in frames * 20]
        lumas = [threads.submit(convert(frame).luma, 0.3) for frame in frames * 20]
    for image, luma, (bgr, small) in zip(images, lumas, expected * 20, strict=True):
        np.testing.assert_array_equal(image.result(), bgr)
        np.testing.assert_array_equal(luma.result(), small)


def test_each_picture_of_a_file_is_converted_once_the_first_one_too(tmp_path, monkeypatch):
    calls, bgr = [], Converter.bgr
    monkeypatch.setattr(Converter, "bgr", lambda self, frame: calls.append(frame) or bgr(self, frame))
    assert len(read_pictures(write_corners(tmp_path / "clip.mp4", frames=3), lambda picture: picture.image)) == 3
    assert len(calls) == 3


def test_a_file_whose_pixel_format_can_not_be_converted_is_refused_at_its_opening(tmp_path):
    path = tmp_path / "clip.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 8, 6, "bayer_rggb8"
        container.mux(stream.encode(av.VideoFrame(8, 6, "bayer_rggb8")))
    with pytest.raises(SourceError, match=r"^[^\n]*clip\.nut: can't be decoded: FFmpeg can't convert .* bayer_rggb8 "):
        StreamSource(str(path), network=False)


@pytest.mark.parametrize("pix_fmt", ["bayer_rggb8", "yaf32le", "rgb96le"])
def test_the_luma_of_such_a_format_is_the_same_error(pix_fmt):
    with pytest.raises(SourceError, match="can't convert its pixel format") as caught:
        Converter("x")(av.VideoFrame(2, 3, pix_fmt)).luma(1.0)
    assert caught.value.reason is SourceReason.CODEC


@pytest.mark.parametrize("size", [(1920, 1080), (1919, 1079), (64, 2000), (5, 5)])
@pytest.mark.parametrize("scale", [1.0, 0.4, 100 / 1080, 0.01])
def test_a_scaled_picture_has_the_means_of_its_pixels(size, scale):
    ramp = np.add.outer(np.linspace(0, 127, size[1]), np.linspace(0, 127, size[0])).astype(np.uint8)
    exact = cv2.resize(ramp.astype(np.float32), scaled_size(size, scale), interpolation=cv2.INTER_AREA)
    scaled = scaled_down(ramp, scale)
    assert scaled.shape == exact.shape
    assert np.abs(scaled - exact).max() < 3
    np.testing.assert_array_equal(scaled_down(ramp, 1.0), ramp)


def test_the_luma_of_a_bgr_picture_is_its_grey():
    image = scene((640, 480))
    expected = cv2.resize(brightness(image).astype(np.float32), (64, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(Pixels(image).luma(0.1) - expected).max() < 4
