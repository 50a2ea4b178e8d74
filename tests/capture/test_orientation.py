"""Pictures are upright whatever the container says: all rotations by right angles and mirrors."""

import io
import struct
import sys

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from PIL import Image

from realtime.capture.convert import Converter
from realtime.capture.orientation import display_matrix, upright
from realtime.capture.stream import StreamSource

from .clips import corners, oriented, set_matrix, write_corners

# The matrix's a, b, c and d, and the corners of the upright picture. (p, q) moves to (a p + c q, b p + d q).
ALL_EIGHT = [
    ((1, 0, 0, 1), "rgbw"),
    ((0, 1, -1, 0), "brwg"),  # right goes down: a quarter turn, clockwise
    ((-1, 0, 0, -1), "wbgr"),
    ((0, -1, 1, 0), "gwrb"),
    ((-1, 0, 0, 1), "grwb"),  # left and right change places
    ((1, 0, 0, -1), "bwrg"),
    ((0, 1, 1, 0), "rbgw"),  # right goes down and down goes right
    ((0, -1, -1, 0), "wgbr"),
]
# By number: the values of the tag Orientation of EXIF, and the corners of the upright picture.
EXIF = {1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb"}


def read_all(path):
    source = StreamSource(str(path), network=False)
    try:
        pictures = list(iter(source.read, None))
        assert source.size == pictures[0].image.shape[1::-1]
        return [corners(picture.image) for picture in pictures]
    finally:
        source.close()


def jpeg(orientation):
    """Return a JPEG file of 64x48 with coloured corners and this EXIF orientation."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32], image[24:, 32:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    picture, file = Image.fromarray(image), io.BytesIO()
    exif = picture.getexif()
    exif[0x112] = orientation
    picture.save(file, "JPEG", exif=exif)
    return file.getvalue()


def write_jpegs(path, jpegs):
    """Write JPEG files into a container as the frames of motion JPEG."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()
        for i, data in enumerate(jpegs):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, i, i, True
            packet.time_base = stream.codec_context.time_base
            container.mux(packet)
    return path


@pytest.mark.parametrize(("abcd", "shown"), ALL_EIGHT)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_every_display_matrix_of_right_angles_and_mirrors_turns_the_picture_upright(tmp_path, suffix, abcd, shown):
    path = set_matrix(write_corners(tmp_path / f"clip.{suffix}"), abcd)
    assert read_all(path) == [shown] * 3


@pytest.mark.parametrize(("abcd", "shown"), ALL_EIGHT)
def test_a_display_matrix_survives_the_way_into_matroska(tmp_path, abcd, shown):
    """FFmpeg writes a matrix there as the roll and the yaw of a projection."""
    plain = set_matrix(write_corners(tmp_path / "clip.mp4"), abcd)
    with av.open(str(plain)) as clip, av.open(str(tmp_path / "clip.mkv"), "w") as copy:
        stream = copy.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert read_all(tmp_path / "clip.mkv") == [shown] * 3


@pytest.mark.parametrize(("number", "shown"), EXIF.items())
@pytest.mark.parametrize("suffix", ["bin", "avi", "mkv", "mov"])
def test_an_exif_orientation_is_applied_to_jpegs_that_ffmpeg_reads(tmp_path, suffix, number, shown):
    path = tmp_path / f"clip.{suffix}"
    if suffix == "bin":
        path.write_bytes(jpeg(number))
    else:
        write_jpegs(path, [jpeg(number)])
    assert read_all(path) == [shown]


def test_an_orientation_that_changes_from_frame_to_frame_is_applied_to_each(tmp_path):
    path = write_jpegs(tmp_path / "clip.avi", [jpeg(number) for number in EXIF])
    assert read_all(path) == list(EXIF.values())


@pytest.mark.parametrize(
    ("abcd", "shown"),
    [
        ((0.8, 0.6, -0.6, 0.8), "rgbw"),  # 37 degrees
        ((0.6, 0.8, -0.8, 0.6), "brwg"),  # 53 degrees
        ((2, 0, 0, 0.5), "rgbw"),  # wider and lower
        ((-2, 0, 0, 0.5), "grwb"),
        ((0, 0, 0, 0), "rgbw"),
        ((1, 1, 1, 1), "rgbw"),  # a line
        ((-1, 0, 0, 0), "rgbw"),
    ],
)
def test_other_matrices_become_the_nearest_right_angle_or_change_nothing(tmp_path, abcd, shown):
    path = set_matrix(write_corners(tmp_path / "clip.mp4", frames=1), abcd)
    assert read_all(path) == [shown]


@pytest.mark.parametrize("matrix", [None, b"", bytes(20), struct.pack("=9i", *[-(2**31)] * 9)])
def test_a_matrix_that_means_nothing_changes_nothing(matrix):
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert upright(image, matrix) is image


def write_with_messages(path, rotate_at, b_frames=0):
    """Write H.264 with key frames 0, 4 and 8; those in `rotate_at` have a message: a quarter turn, anticlockwise."""
    with av.open(str(write_corners(path.with_suffix(".plain.h264"), frames=12, gop=4, b_frames=b_frames))) as plain:
        packets = [(bytes(packet), packet.is_keyframe) for packet in plain.demux(video=0)]
    keys = [place for place, (_, is_key) in enumerate(packets) if is_key]
    path.write_bytes(
        b"".join(
            oriented(data, 1) if place in keys and 4 * keys.index(place) in rotate_at else data
            for place, (data, _) in enumerate(packets)
        )
    )
    return path


@pytest.mark.parametrize("b_frames", [0, 2])
def test_an_orientation_in_the_stream_applies_from_its_key_frame_to_the_next(tmp_path, b_frames):
    path = write_with_messages(tmp_path / "clip.h264", {0, 8}, b_frames)
    assert read_all(path) == ["gwrb"] * 4 + ["rgbw"] * 4 + ["gwrb"] * 4


def test_an_orientation_of_a_frame_that_is_dropped_applies_to_the_next_ones(tmp_path):
    convert = Converter("x", "h264")
    with av.open(str(write_with_messages(tmp_path / "clip.h264", {0}))) as clip:
        first, second, *_ = clip.decode(video=0)
        convert.skip(first)
        assert corners(convert(second).bgr()) == "gwrb"


def test_looking_for_the_matrix_leaves_no_reference_to_the_frame():
    frame = VideoFrame(16, 16)
    before = sys.getrefcount(frame)
    display_matrix(frame)
    assert sys.getrefcount(frame) == before
