"""A picture of more than `max_pixels` is not decoded, and the source says so in one line."""

import itertools

import cv2
import numpy as np
import pytest

from realtime.capture.images import ImagesSource
from realtime.capture.open import open_source
from realtime.capture.stream import StreamSource
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason, TruncatedError

from .clips import write_clip
from .rig import RecordingStop, Rig, ScriptedSource, picture

SMALL, LARGE = (64, 48), (160, 128)
LIMIT = 10_000


def write_growing(path):
    """Write a raw H.264 stream whose frame size grows after ten frames."""
    parts = [write_clip(path.with_name(f"{size[0]}.h264"), size=size).read_bytes() for size in (SMALL, LARGE)]
    path.write_bytes(b"".join(parts))
    return path


def write_image(path, size):
    assert cv2.imwrite(str(path), np.zeros((size[1], size[0], 3), np.uint8))
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mp4", "libx264"),  # the size is in the container
        ("clip.h264", "libx264"),  # the size is in the parameter sets
        ("clip.avi", "mjpeg"),
        ("clip.mjpeg", "mjpeg"),  # the size is in each picture
        ("clip.m4v", "mpeg4"),
        ("clip.webm", "libvpx-vp9"),
        ("clip.mkv", "libx265"),
    ],
)
def test_a_video_of_too_many_pixels_is_refused_with_its_size(tmp_path, name, codec):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / name, size=LARGE, codec=codec, pix_fmt=pix_fmt)
    with pytest.raises(SourceError, match=f"{name}: too large: got 160x128, expected at most 10,000 pixels") as caught:
        StreamSource(str(path), network=False, max_pixels=LIMIT)
    assert caught.value.reason is SourceReason.TOO_LARGE
    source = StreamSource(str(path), network=False, max_pixels=160 * 128)  # the limit itself is allowed
    assert source.size == LARGE
    source.close()


REFUSED = [("clip.mjpeg", "mjpeg"), ("clip.m4v", "mpeg4"), ("clip.webm", "libvpx-vp9")]


@pytest.mark.parametrize(("name", "codec"), REFUSED)
def test_a_video_that_the_decoder_refuses_is_described_with_its_size(tmp_path, name, codec):
    """Ten million pixels are more than FFmpeg may allocate here."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / name, frames=1, size=(4096, 2496), codec=codec, pix_fmt=pix_fmt)
    with pytest.raises(SourceError, match=r"too large: got 4096x2496"):
        StreamSource(str(path), network=False, max_pixels=LIMIT)


def test_a_file_that_grows_beyond_the_limit_ends_as_damaged_after_its_good_frames(tmp_path):
    rig = Rig(write_growing(tmp_path / "clip.h264"), max_pixels=LIMIT)
    with pytest.raises(TruncatedError, match="too large: got 160x128, expected at most 10,000 pixels"):
        rig.run()
    assert {frame.image.shape for frame in rig.frames} == {(48, 64, 3)}
    assert len(rig.frames) == 10
    assert dict(rig.status.drops) == {"too large": 1}
    assert rig.state == ("failed", "too large")


def test_a_camera_that_grows_beyond_the_limit_is_tried_again_after_the_long_wait():
    large = SourceError("x: too large", SourceReason.TOO_LARGE)
    openings = [ScriptedSource(picture(), large, live=True), ScriptedSource(picture(), live=True)]
    stop = RecordingStop()
    rig = Rig("http://10.0.0.5/s1", *openings, enough=2, stop=stop)
    rig.run()
    assert rig.states == [("live",), ("reconnecting", "too large"), ("live",)]
    assert [wait_s > 20 for wait_s in stop.waits] == [False, True]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp", "ppm", "jp2"])
def test_an_image_of_too_many_pixels_is_refused_with_its_size(tmp_path, suffix):
    path = write_image(tmp_path / f"1.{suffix}", LARGE)
    with pytest.raises(SourceError, match=rf"1\.{suffix}: too large: got 160x128, expected at most 10,000") as caught:
        ImagesSource(str(path), LIMIT)
    assert caught.value.reason is SourceReason.TOO_LARGE


def test_in_a_folder_an_image_of_too_many_pixels_is_left_out_and_reported_at_the_end(tmp_path):
    for number, size in enumerate([SMALL, LARGE, SMALL]):
        write_image(tmp_path / f"{number}.png", size)
    rig = Rig(tmp_path, max_pixels=LIMIT)
    with pytest.raises(TruncatedError, match=r"1 of 3 images can't be read \(the first is 1\.png\)"):
        rig.run()
    assert [frame.index for frame in rig.frames] == [0, 2]
    assert dict(rig.status.drops) == {"too large": 1}


def test_the_default_depends_on_the_kind_of_source(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("realtime.capture.open.StreamSource", lambda *_, max_pixels, **__: asked.append(max_pixels))
    monkeypatch.setattr("realtime.capture.open.open_files", lambda *asking: asked.append(asking[2]))
    sources = ("rtsp://10.0.0.5/s1", "clip.mp4", str(tmp_path))
    for source, max_pixels in itertools.product(sources, (None, 7)):
        open_source(CameraConfig(name="cam0", source=source, max_pixels=max_pixels))
    assert asked == [64_000_000, 7, 250_000_000, 7, 250_000_000, 7]
