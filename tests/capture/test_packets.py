"""Times of the frames of files, as PyAV reads them. Frame k has a grey value of its own (`shade`)."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from realtime.capture.stream import StreamSource

from .clips import shade, write_clip

FPS = 30


def write(path, codec, options=None, frames=20, stamp=None, size=(64, 48)):
    """Write frames of one grey value each.

    Args:
        path: the file; its suffix names the container.
        codec: the encoder.
        options: of the encoder.
        frames: how many.
        stamp: changes a packet before it is written; gets it and its number. Returns whether to write it.
        size: of the frames.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        packets = []
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), shade(i), np.uint8), "bgr24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            packets += stream.encode(frame)
        for number, packet in enumerate([*packets, *stream.encode()]):
            if stamp is None or stamp(packet, number):
                container.mux(packet)
    return path


def read(path):
    """Return the times of the frames of a file, and their numbers."""
    source = StreamSource(str(path), network=False)
    try:
        pictures = list(iter(source.read, None))
    finally:
        source.close()
    greys = [shade(i) for i in range(20)]
    numbers = [int(np.argmin([abs(picture.image.mean() - grey) for grey in greys])) for picture in pictures]
    return [picture.media_s for picture in pictures], numbers


EVEN_S = [k / FPS for k in range(20)]
B_FRAMES = {"bf": "3", "b-adapt": "0", "preset": "fast"}


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", B_FRAMES),
        ("libx264", B_FRAMES | {"x264-params": "b-pyramid=normal:open-gop=1:keyint=6"}),
        ("libx264", {"bf": "4", "b-adapt": "0", "x264-params": "b-pyramid=none"}),
        ("mpeg4", {"bf": "2", "b": "4M"}),
        ("mpeg2video", {"bf": "2", "b": "4M"}),
        ("mjpeg", {}),
        ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10"}),
    ],
)
def test_the_frames_of_an_avi_come_at_an_even_pace_and_in_order(tmp_path, codec, options):
    times_s, numbers = read(write(tmp_path / "clip.avi", codec, options))
    assert numbers == list(range(20))
    assert times_s == pytest.approx(EVEN_S)


def hevc_in_avi(path):
    """Write HEVC into AVI, which FFmpeg refuses to write: as H.264, whose code is then replaced."""
    packets = []
    with av.open(str(path.with_suffix(".hevc.mkv")), "w") as other:
        stream = other.add_stream("libx265", rate=FPS, options={"x265-params": "bframes=3:b-adapt=0:log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade(i), np.uint8), "bgr24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            packets += stream.encode(frame)
        packets += stream.encode()
        start = stream.codec_context.extradata
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=FPS)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        for k, packet in enumerate(packets):
            data = (start or b"") + bytes(packet) if k == 0 else bytes(packet)
            out = av.Packet(data)
            out.stream, out.dts, out.pts, out.time_base = track, k, k, Fraction(1, FPS)
            out.is_keyframe = packet.is_keyframe
            container.mux(out)
    path.write_bytes(path.read_bytes().replace(b"H264", b"HEVC").replace(b"h264", b"HEVC"))
    return path


def test_the_frames_of_hevc_in_an_avi_come_at_an_even_pace(tmp_path):
    times_s, numbers = read(hevc_in_avi(tmp_path / "clip.avi"))
    assert numbers == list(range(20))
    assert times_s == pytest.approx(EVEN_S)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.flv", "clip.nut"])
def test_containers_with_presentation_times_keep_them(tmp_path, name):
    path = write(tmp_path / name, "libx264", B_FRAMES)
    with av.open(str(path)) as container:
        true_s = [frame.time for frame in container.decode(video=0)]
    assert read(path) == (true_s, list(range(20)))


def in_decoding_order(packet, number):
    packet.pts = packet.dts = number
    packet.time_base = Fraction(1, FPS)
    return True


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.asf"])
def test_decoding_times_in_place_of_presentation_times_are_recognised(tmp_path, name):
    times_s, numbers = read(write(tmp_path / name, "libx264", B_FRAMES, stamp=in_decoding_order))
    assert numbers == list(range(20))
    assert np.diff(times_s) == pytest.approx(1 / FPS, abs=0.0011)


@pytest.mark.parametrize("options", [{"bf": "0"}, B_FRAMES])
@pytest.mark.parametrize("burst", [4, 20])
def test_frames_with_equal_timestamps_are_spread_evenly(tmp_path, options, burst):
    def stamp(packet, number):
        packet.pts = packet.dts = number // burst * burst
        packet.time_base = Fraction(1, FPS)
        return True

    times_s, numbers = read(write(tmp_path / "clip.mkv", "libx264", options, stamp=stamp))
    assert numbers == list(range(20))
    assert times_s == pytest.approx(EVEN_S, abs=0.001)


def test_a_packet_that_is_missing_leaves_a_hole(tmp_path):
    path = write(tmp_path / "clip.mkv", "mjpeg", stamp=lambda packet, number: number != 7)
    times_s, numbers = read(path)
    assert numbers == [k for k in range(20) if k != 7]
    assert times_s == pytest.approx([EVEN_S[k] for k in numbers], abs=0.001)


@pytest.mark.parametrize(
    ("name", "codec"), [("raw.m2v", "mpeg2video"), ("raw.mjpeg", "mjpeg"), ("raw.h264", "libx264")]
)
def test_the_times_that_ffmpeg_makes_up_for_raw_streams_are_not_used(tmp_path, name, codec):
    assert read(write(tmp_path / name, codec))[0] == [None] * 20


@pytest.mark.parametrize(
    ("name", "codec"), [("raw.m1v", "mpeg1video"), ("raw.m2v", "mpeg2video"), ("raw.h264", "libx264")]
)
def test_the_rate_of_a_raw_stream_is_the_one_it_declares(tmp_path, name, codec):
    source = StreamSource(str(write(tmp_path / name, codec)), network=False)
    fps = source.fps
    source.close()
    assert fps == FPS  # FFmpeg's default is 25


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi"])
def test_a_clip_that_begins_in_an_open_group_of_pictures_keeps_its_pace(tmp_path, name):
    options = {"bf": "3", "b-adapt": "0", "x264-params": "open-gop=1:keyint=8:min-keyint=1:scenecut=0"}
    path = write(tmp_path / name, "libx264", options, stamp=lambda packet, number: number > 2)
    times_s, numbers = read(path)
    assert 8 <= len(numbers) < 17  # the pictures before the second key frame can't be decoded
    assert np.diff(times_s) == pytest.approx(1 / FPS, abs=0.0011)


def test_timestamps_that_wrap_around_go_on(tmp_path):
    def late(packet, number):
        packet.pts, packet.dts = (stamp * 3000 + 2**33 - 30000 for stamp in (packet.pts, packet.dts))
        packet.time_base = Fraction(1, 90000)
        return True

    times_s, numbers = read(write(tmp_path / "clip.ts", "libx264", {"bf": "0"}, stamp=late))
    assert numbers == list(range(20))
    assert [b - a for a, b in pairwise(times_s)] == pytest.approx([1 / FPS] * 19)


def test_the_decoder_of_a_clip_that_begins_between_key_frames_times_its_first_frame(tmp_path):
    whole = write_clip(tmp_path / "whole.mkv", frames=20)
    assert read(whole)[0][0] == 0.0
    path = write(
        tmp_path / "clip.avi", "libx264", B_FRAMES | {"g": "8"}, stamp=lambda packet, number: number not in (0, 1)
    )
    times_s, numbers = read(path)
    assert [b - a for a, b in pairwise(times_s)] == pytest.approx(np.diff(numbers) / FPS)
