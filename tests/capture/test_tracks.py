"""The video track that players take."""

import av
import numpy as np
import pytest
from av.stream import Disposition

from realtime.capture.stream import StreamSource
from realtime.capture.tracks import video_track
from realtime.errors import SourceError, SourceReason

from .clips import MS
from .test_orientation import jpeg


def write_tracks(path, *tracks, sound=False, cover_at=None):
    """Write a file of one second with these video tracks: (side in pixels, frames, disposition).

    A cover is written before the track of this number.
    """
    with av.open(str(path), "w") as container:
        streams = []
        cover = None
        if sound:
            audio = container.add_stream("aac" if path.suffix != ".mp3" else "libmp3lame", rate=8000)
        for number, (side, _, disposition) in enumerate([*tracks, (0, 0, 0)]):
            if number == cover_at:
                cover = container.add_stream("mjpeg", rate=1)
                cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
                cover.disposition = Disposition.attached_pic
            if side:
                stream = container.add_stream("mpeg4", rate=10)
                stream.width, stream.height, stream.pix_fmt, stream.disposition = side, side, "yuv420p", disposition
                stream.codec_context.time_base = MS
                streams.append(stream)
        container.start_encoding()
        if cover is not None:
            packet = av.Packet(jpeg(1))
            packet.stream, packet.pts, packet.dts, packet.time_base, packet.is_keyframe = cover, 0, 0, MS, True
            container.mux(packet)
        if sound:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
        for stream, (side, frames, _) in zip(streams, tracks, strict=True):
            for i in range(frames):
                frame = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), "bgr24")
                frame.pts, frame.time_base = i * 1000 // frames, MS
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


def read(path):
    """Return the size of the frames of a file, and their number."""
    source = StreamSource(str(path), network=False)
    try:
        return source.size, len(list(iter(source.read, None)))
    finally:
        source.close()


@pytest.mark.parametrize("cover_at", [0, 1])
def test_a_cover_is_not_the_film_wherever_it_stands(tmp_path, cover_at):
    path = write_tracks(tmp_path / "clip.mp4", (32, 10, 0), cover_at=cover_at)
    assert read(path) == ((32, 32), 10)


def test_a_film_of_one_frame_precedes_a_cover(tmp_path):
    path = write_tracks(tmp_path / "clip.mp4", (32, 1, 0), cover_at=0)
    assert read(path) == ((32, 32), 1)


@pytest.mark.parametrize("suffix", ["mp4", "mp3"])
def test_sound_with_a_cover_has_no_video_track(tmp_path, suffix):
    path = write_tracks(tmp_path / f"sound.{suffix}", sound=True, cover_at=0)
    with pytest.raises(SourceError, match=r"no video track$") as caught:
        StreamSource(str(path), network=False)
    assert caught.value.reason is SourceReason.NO_VIDEO


@pytest.mark.parametrize(
    ("tracks", "side"),
    [
        (((16, 1, 0), (32, 10, Disposition.default)), 32),  # a still before the film
        (((16, 10, Disposition.visual_impaired), (32, 10, 0)), 32),
        (((16, 10, Disposition.default), (32, 10, Disposition.default)), 16),
        (((16, 10, Disposition.default), (32, 10, 0)), 16),
    ],
)
def test_the_track_that_players_take_is_read(tmp_path, tracks, side):
    path = write_tracks(tmp_path / "clip.mkv", *tracks)
    assert read(path)[0] == (side, side)


def test_a_track_that_can_be_decoded_precedes_the_default_one(tmp_path):
    path = write_tracks(tmp_path / "clip.mkv", (16, 10, Disposition.default), (32, 10, 0))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_MPEG9/ISO/XYZ", 1))
    assert read(path) == ((32, 32), 10)


def test_thumbnails_for_the_seek_bar_are_no_film(tmp_path):
    path = write_tracks(tmp_path / "clip.mkv", (16, 10, 0))
    with av.open(str(path)) as container:
        container.streams.video[0].disposition = Disposition.timed_thumbnails
        assert video_track(container) is None


@pytest.mark.parametrize(("marks", "index"), [((0, 0), 0), ((0, Disposition.default), 1)])
def test_a_camera_with_two_tracks_shows_the_same_one_after_each_reconnect(marks, index):
    """FFmpeg's choice depends on the packets that came while it probed, which were different each time."""

    class Track:
        def __init__(self, number):
            self.index, self.disposition = number, marks[number]
            self.codec_context = type("", (), {"width": 64})

    class Streams:
        video = (Track(0), Track(1))
        best = None  # can't be called

    camera = type("", (), {"streams": Streams, "format": type("", (), {"name": "rtsp"})})
    assert video_track(camera).index == index
