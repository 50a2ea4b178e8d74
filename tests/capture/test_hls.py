"""Live HLS, read from a real segmenter over HTTP."""

import base64
import threading
import time

import numpy as np
import pytest

from realtime.capture.hls import HlsSource
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason
from tests.faults.hlscam import HlsCamera
from tests.faults.marks import index_of

from .served import opened, quick, reading

__all__ = ["quick"]  # a fixture that each test uses


def read(source, frames):
    pictures = [source.read() for _ in range(frames)]
    return pictures, [index_of(picture.image) for picture in pictures]


@pytest.mark.parametrize("keys", [{}, {"fmp4": True}, {"b_frames": 2}], ids=["mpeg-ts", "fmp4", "b-frames"])
def test_every_frame_is_read_once_across_segments(tmp_path, keys):
    with HlsCamera(tmp_path, segment_s=0.4, **keys) as camera, reading(camera.url()) as source:
        assert (source.live, source.prompt, source.size) == (True, False, (160, 120))
        pictures, numbers = read(source, 35)
    assert list(np.diff(numbers)) == [1] * 34
    assert {picture.fault for picture in pictures} == {None}


def test_the_playlist_s_dates_tell_when_a_frame_was_taken(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera, reading(camera.url()) as source:
        pictures, numbers = read(source, 25)
    left_s = [camera.clock.left_unix_s(number) for number in numbers]
    assert {picture.clock for picture in pictures} == {"playlist"}
    # FFmpeg's segmenter takes the date when it starts, at the first frame.
    assert [picture.wall_s for picture in pictures] == pytest.approx(left_s, abs=0.3)
    assert np.ptp([p.wall_s - s for p, s in zip(pictures, left_s, strict=True)]) < 0.01


def test_without_dates_a_frame_came_when_its_segment_did_less_its_distance_from_the_end(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4, has_dates=False) as camera, reading(camera.url()) as source:
        pictures, numbers = read(source, 25)
        now_s = time.monotonic()
    assert {picture.wall_s for picture in pictures} == {None}
    for picture, number in zip(pictures, numbers, strict=True):
        assert camera.clock.left_mono_s(number) - 0.1 < picture.came_s < now_s


def test_a_segment_that_is_lost_leaves_a_gap_and_no_damage(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        camera.fails = lambda path: 404 if path.endswith("-6.ts") else None
        with reading(camera.url()) as source:
            pictures, numbers = read(source, 60)
    assert sorted(set(np.diff(numbers))) == [1, 11]
    assert {picture.fault for picture in pictures} == {None}


@pytest.mark.parametrize("fmp4", [False, True])
def test_a_discontinuity_with_another_size_is_followed(tmp_path, fmp4):
    with HlsCamera(tmp_path, segment_s=0.4, fmp4=fmp4) as camera, reading(camera.url()) as source:
        read(source, 5)
        camera.restart((320, 240))
        pictures = read(source, 40)[0]
    sizes = [picture.image.shape[1] for picture in pictures]
    assert sizes == sorted(sizes)
    assert set(sizes) == {160, 320}


def test_a_stream_that_the_server_ends_is_over(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera, reading(camera.url()) as source:
        read(source, 5)
        camera.end()
        rest = list(iter(source.read, None))
    assert 5 <= len(rest) <= 60


def test_a_playlist_that_stalls_times_out(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera, reading(camera.url(), read_timeout_s=2.0) as source:
        camera.freeze()
        with pytest.raises(SourceError, match="no new segment") as caught:
            read(source, 200)
    assert caught.value.reason is SourceReason.TIMEOUT


def test_segments_that_were_there_before_are_never_read(tmp_path):
    # The playlist of a server that has died lists its last segments for ever.
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        camera.freeze()
        with pytest.raises(SourceError, match="no new segment"):
            opened(camera.url(), open_timeout_s=1.5)
        assert all(".m3u8" in path for path in camera.asked)


def test_a_list_of_variants_leads_to_the_first(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        (tmp_path / "all.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlive.m3u8\n")
        with reading(camera.url(path="/all.m3u8?key=1")) as source:
            assert read(source, 3)[1][0] is not None


def test_a_login_is_sent_and_not_shown(tmp_path):
    login = "Basic " + base64.b64encode(b"admin:s3cr3t!pw").decode()
    with HlsCamera(tmp_path, segment_s=0.4, login=login) as camera:
        with reading(camera.url("admin:s3cr3t%21pw@")) as source:
            read(source, 3)
        with pytest.raises(SourceError) as caught:
            opened(camera.url("admin:wr0ng@"))
    assert caught.value.reason is SourceReason.AUTH
    assert "wr0ng" not in repr(caught.value) + repr(caught.value.__context__)


def test_a_recording_is_a_file_of_which_every_frame_is_read(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        camera.end()
        while "#EXT-X-ENDLIST" not in (tmp_path / "live.m3u8").read_text():
            time.sleep(0.01)
        with reading(camera.url()) as source:
            assert isinstance(source, StreamSource)
            assert not source.live
            numbers = [index_of(picture.image) for picture in iter(source.read, None)]
    assert list(np.diff(numbers)) == [1] * (len(numbers) - 1)
    assert len(numbers) > 5


def test_a_playlist_whose_address_does_not_say_so_is_read_alike(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        (tmp_path / "live").symlink_to("live.m3u8")
        with reading(camera.url(path="/live")) as source:
            assert isinstance(source, HlsSource)


def test_a_live_stream_of_parts_of_files_is_read_by_ffmpeg_whatever_its_address(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        camera.edit = lambda text: text.replace("#EXTINF", "#EXT-X-BYTERANGE:100000000@0\n#EXTINF")
        for path in ("/live.m3u8", "/live"):
            (tmp_path / "live").unlink(missing_ok=True)
            (tmp_path / "live").write_bytes(camera.text("live.m3u8"))
            with reading(camera.url(path=path)) as source:
                assert isinstance(source, StreamSource)


@pytest.mark.parametrize("reason", [SourceReason.LOST, SourceReason.DAMAGED, SourceReason.CODEC])
def test_only_the_end_of_the_bytes_ends_the_part_before_a_break(reason, tmp_path, monkeypatch):
    def fail(stream):
        raise SourceError("fault", reason)

    with HlsCamera(tmp_path, segment_s=0.4) as camera, reading(camera.url()) as source:
        monkeypatch.setattr(StreamSource, "read", fail)
        source._part.is_over = True
        if reason is SourceReason.LOST:
            assert source._next() is None
        else:
            with pytest.raises(SourceError, match="fault"):
                source._next()


def test_a_camera_that_ends_does_not_wait_for_a_frame_that_is_not_due(tmp_path):
    with HlsCamera(tmp_path, segment_s=0.4) as camera, reading(camera.url()) as source:
        source._playout.due_s = lambda *_: time.monotonic() + 3600
        source._stop.set()
        assert source.read() is not None


def test_closing_ends_the_thread(tmp_path):
    before = threading.active_count()
    with HlsCamera(tmp_path, segment_s=0.4) as camera:
        source = opened(camera.url())
        source.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "hls"]
        source.close()  # may be called again
    assert threading.active_count() <= before + 2


@pytest.mark.parametrize("b_frames", [0, 2])
def test_while_only_key_frames_are_decoded_the_others_are_counted_when_they_are_due(tmp_path, b_frames):
    with HlsCamera(tmp_path, segment_s=0.4, b_frames=b_frames) as camera, reading(camera.url()) as source:
        read(source, 5)
        source.decode_only("key")
        began_s = time.monotonic()
        asleep = [source.read() for _ in range(50)]
        took_s = time.monotonic() - began_s
        source.decode_only("all")
        pictures = [source.read() for _ in range(15)]
    faults = [picture.fault for picture in asleep]
    assert 4 <= faults.count(None) <= 6
    assert faults.count("idle") == 50 - faults.count(None)
    assert took_s > 1.5  # not sooner than they are due
    numbers = [index_of(picture.image) for picture in pictures if picture.fault is None]
    steps = np.diff(numbers)
    assert (steps >= 1).all()
    assert (steps > 1).sum() <= 1  # on a busy machine, the camera may drop a segment before it is read
    assert len(numbers) >= 12
