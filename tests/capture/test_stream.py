from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason, TruncatedError
from tests.faults.fakecam import FakeCamera

from .clips import shade, turn, write_clip, write_noise, write_sound

MALFORMED = Path(__file__).parents[3] / "shared" / "data" / "malformed"
VIDEO = MALFORMED.parent / "video"


def read_all(path):
    """Return the closed source of a file, its frames, and the error at its end or None."""
    source = StreamSource(str(path), network=False)
    pictures, error = [], None
    try:
        while (picture := source.read()) is not None:
            pictures.append(picture)
    except SourceError as end:
        error = end
    finally:
        source.close()
    return source, pictures, error


def brightness(picture):
    """Return the mean of the bottom right corner, where the frames of `write_clip` have their grey value."""
    return float(picture.image[-10:, -10:].mean())


def error_of(source, network=True, **timeouts):
    with pytest.raises(SourceError) as caught:
        StreamSource(source, network=network, **timeouts)
    return caught.value


def test_every_frame_of_a_file_is_read_once_and_in_order(tmp_path):
    source, pictures, error = read_all(write_clip(tmp_path / "clip.mp4", frames=15))
    assert error is None
    assert not source.live
    assert source.size == (64, 48)
    assert source.fps == pytest.approx(10)
    assert [brightness(p) for p in pictures] == pytest.approx([shade(i) for i in range(15)], abs=4)


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("clip.mp4", 12),  # the file declares the number of frames
        ("clip.mkv", 12),  # it declares a duration and a rate
        ("clip.ts", 12),  # FFmpeg computes the duration from the last packets
        ("clip.h264", None),  # it declares nothing
    ],
)
def test_the_length_of_a_file_is_what_it_declares(tmp_path, name, length):
    source = StreamSource(str(write_clip(tmp_path / name, frames=12)), network=False)
    assert source.length == length
    source.close()


def test_timestamps_of_a_clip_with_a_variable_rate_are_its_pts(tmp_path):
    pts_ms = [0, 20, 220, 240, 440, 1440, 1460]
    _, pictures, error = read_all(write_clip(tmp_path / "vfr.mp4", frames=len(pts_ms), pts_ms=pts_ms))
    assert error is None
    assert [p.media_s for p in pictures] == pytest.approx([ms / 1000 for ms in pts_ms], abs=0.001)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("grey.mkv", {"codec": "ffv1", "pix_fmt": "gray"}),
        ("grey16.mkv", {"codec": "ffv1", "pix_fmt": "gray16le"}),
        ("ten_bit.mp4", {"pix_fmt": "yuv420p10le"}),
        ("odd.mp4", {"pix_fmt": "yuv444p", "size": (65, 47)}),  # FFmpeg pads its rows
        ("alpha.mov", {"codec": "png", "pix_fmt": "rgba"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("one.mp4", {"frames": 1}),
        ("clip with späce: and %d.mp4", {}),  # the colon is not a protocol, and %d is not a pattern
    ],
)
def test_any_pixel_format_becomes_bgr_of_the_right_size_and_brightness(tmp_path, name, arguments):
    _, pictures, error = read_all(write_clip(tmp_path / name, **arguments))
    width, height = arguments.get("size", (64, 48))
    assert error is None
    assert len(pictures) == arguments.get("frames", 10)
    for i, picture in enumerate(pictures):
        assert picture.fault is None
        assert picture.image.dtype == np.uint8
        assert picture.image.shape == (height, width, 3)
        assert picture.image.flags.c_contiguous
        # Neighbouring frames differ by 10. Only the coarse quantiser of MPEG-4 is off by up to 6.
        assert brightness(picture) == pytest.approx(shade(i), abs=8 if arguments.get("codec") == "mpeg4" else 4)


def test_a_rotated_file_is_upright_as_opencv_shows_it(tmp_path):
    path = turn(write_clip(tmp_path / "turned.mp4"), 90)
    source, pictures, error = read_all(path)
    shown = cv2.VideoCapture(str(path)).read()[1]
    assert error is None
    assert source.size == (48, 64)
    assert pictures[0].image.shape == shown.shape
    assert np.abs(pictures[0].image.astype(int) - shown).max() <= 2


def test_a_raw_stream_is_read_without_timestamps(tmp_path):
    _, pictures, error = read_all(write_clip(tmp_path / "raw.h264"))
    assert error is None
    assert [p.media_s for p in pictures] == [None] * 10


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.2])
def test_a_truncated_file_returns_its_good_frames_and_then_an_error(tmp_path, kept):
    path = write_noise(tmp_path / "cut.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    _, pictures, error = read_all(path)
    assert isinstance(error, TruncatedError)
    assert "of 4.0 s: the file is truncated" in str(error)
    # Frames of noise have about the same number of bytes, apart from key frames and the index.
    assert len(pictures) == pytest.approx(40 * kept, abs=4)


def test_an_undecodable_frame_is_skipped_and_reported_at_the_end(tmp_path):
    path = write_noise(tmp_path / "hole.mp4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 20] = bytes(len(data) // 20)
    path.write_bytes(data)
    _, pictures, error = read_all(path)
    assert isinstance(error, TruncatedError)
    assert "the file is damaged" in str(error)
    assert len(pictures) >= 35


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", SourceReason.NOT_MEDIA, "the file is empty"),
        (b"just a text\n" * 40, SourceReason.NOT_MEDIA, "not a video or an image"),
        (b"\0\0\0\x20ftypisom" + bytes(20), SourceReason.NOT_MEDIA, "the recording was cut off"),
    ],
)
def test_a_file_that_is_not_a_video_is_refused_with_its_reason(tmp_path, content, reason, says):
    path = tmp_path / "wrong.mp4"
    path.write_bytes(content)
    error = error_of(str(path), network=False)
    assert error.reason is reason
    assert str(error).startswith(f"{path}: ")
    assert says in str(error)
    assert "\n" not in str(error)


def test_a_file_without_a_video_track_is_refused(tmp_path):
    error = error_of(str(write_sound(tmp_path / "music.mp4")), network=False)
    assert error.reason is SourceReason.NO_VIDEO
    assert str(error).endswith("music.mp4: no video track")


def test_a_missing_file_is_refused(tmp_path):
    assert error_of(str(tmp_path / "none.mp4"), network=False).reason is SourceReason.MISSING


@pytest.mark.skipif(not MALFORMED.is_dir(), reason=f"NOT TESTED: {MALFORMED} is missing")
@pytest.mark.parametrize(
    ("name", "frames", "corrupt", "truncated"),
    [
        ("all_black.mp4", 30, 0, False),
        ("corrupt_h264_bitflips.mp4", 40, 13, False),
        ("corrupt_h264_zero_hole.mp4", 40, 1, True),  # two frames can't be decoded; OpenCV stops after 2 frames
        ("good_h264.mp4", 40, 0, False),
        ("gray16.mkv", 10, 0, False),
        ("gray8.mp4", 20, 0, False),
        ("huge_8k.mp4", 5, 0, False),
        ("mpeg4_long_gop.avi", 20, 0, False),
        ("név with späces ünï.mp4", 20, 0, False),
        ("odd_641x359_yuv444.mp4", 20, 0, False),
        ("one_frame.mp4", 1, 0, False),
        ("raw_annexb_no_container.h264", 20, 0, False),
        ("resolution_change_midstream.ts", 60, 0, False),
        ("rgb48.mkv", 10, 0, False),
        ("rgba_alpha.mov", 10, 0, False),
        ("rotated_90_display_matrix.mp4", 40, 0, False),
        ("tall_16x2000.mkv", 10, 0, False),
        ("tiny_1x1.mkv", 20, 0, False),
        ("truncated_faststart.mp4", 21, 0, True),  # the last frame is cut off; OpenCV returns 18 frames and no error
        ("ts_packet_loss_5pct.ts", 29, 8, False),
        ("ts_starts_mid_gop.ts", 20, 0, False),  # packets before the first key frame are not damage
        ("vfr_timestamps.mp4", 16, 0, False),
        ("video_with_audio.mp4", 40, 0, False),
        ("yuv420p10.mp4", 20, 0, False),
        ("../video/vtest.avi", 795, 0, False),
    ],
)
def test_all_frames_of_unusual_and_damaged_files_are_read(name, frames, corrupt, truncated):
    _, pictures, error = read_all(MALFORMED / name)
    assert len(pictures) == frames
    assert sum(p.fault == "corrupt" for p in pictures) == corrupt
    assert isinstance(error, TruncatedError) == truncated


@pytest.mark.skipif(not MALFORMED.is_dir(), reason=f"NOT TESTED: {MALFORMED} is missing")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("audio_only.mp4", SourceReason.NO_VIDEO),
        ("header_only.mp4", SourceReason.NOT_MEDIA),
        ("random_bytes.mp4", SourceReason.NOT_MEDIA),
        ("text_named.mp4", SourceReason.NOT_MEDIA),
        ("truncated_moov_at_end.mp4", SourceReason.NOT_MEDIA),
        ("zero_byte.mp4", SourceReason.NOT_MEDIA),
    ],
)
def test_files_without_video_are_refused(name, reason):
    assert error_of(str(MALFORMED / name), network=False).reason is reason


def test_an_rtsp_camera_delivers_live_frames_with_timestamps():
    with FakeCamera() as camera:
        source = StreamSource(camera.url(), network=True)
        pictures = [source.read() for _ in range(5)]
        source.close()
    assert source.live
    assert source.size == (160, 120)
    stamped = [p.media_s for p in pictures if p.fault is None]
    assert np.diff(stamped) == pytest.approx(1 / 25, abs=0.002)


def test_a_camera_that_closes_the_connection_is_lost():
    with FakeCamera() as camera:
        source = StreamSource(camera.url(), network=True)
        source.read()
        camera.kick()
        with pytest.raises(SourceError) as caught:
            list(iter(source.read, None))
        source.close()
    assert caught.value.reason is SourceReason.LOST


def test_a_camera_that_falls_silent_times_out_without_returning_old_frames():
    with FakeCamera() as camera:
        source = StreamSource(camera.url(), network=True, read_timeout_s=2.0)
        source.read()
        camera.frozen.set()
        with pytest.raises(SourceError) as caught:
            [source.read() for _ in range(5)]
        source.close()
    assert caught.value.reason is SourceReason.TIMEOUT


def test_a_camera_that_answers_and_sends_nothing_cannot_be_opened():
    with FakeCamera() as camera:
        camera.frozen.set()
        error = error_of(camera.url(), open_timeout_s=1.0, read_timeout_s=0.5)
    assert error.reason is SourceReason.TIMEOUT


@pytest.mark.parametrize("userinfo", ["", "admin:wrong@"])
def test_a_failed_login_has_a_reason_of_its_own(userinfo):
    with FakeCamera(login=("admin", "hunter2")) as camera:
        error = error_of(camera.url(userinfo))
    assert error.reason is SourceReason.AUTH
    assert str(error).endswith("login failed: check user and password")


@pytest.mark.parametrize("userinfo", ["admin:pa%40ss%2F1@", "admin:pa@ss%2F1@"])
def test_a_password_may_contain_any_character(userinfo):
    with FakeCamera(login=("admin", "pa@ss/1")) as camera:
        source = StreamSource(camera.url(userinfo), network=True)
        assert source.read() is not None
        source.close()


def test_a_wrong_path_has_a_reason_of_its_own():
    with FakeCamera() as camera:
        assert error_of(camera.url(path="/nope")).reason is SourceReason.NOT_FOUND


def test_a_server_that_never_answers_times_out():
    with FakeCamera(silent=True) as camera:
        assert error_of(camera.url(), open_timeout_s=0.5).reason is SourceReason.TIMEOUT


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("rtsp://127.0.0.1:1/cam", SourceReason.REFUSED),
        ("http://127.0.0.1:1/cam", SourceReason.REFUSED),
        ("rtsp://camera.invalid/cam", SourceReason.DNS),  # a name that never exists, by RFC 6761
        ("nonsense://127.0.0.1/cam", SourceReason.NOT_MEDIA),
    ],
)
def test_an_address_without_a_camera_fails_with_its_reason(url, reason):
    assert error_of(url).reason is reason


@pytest.mark.parametrize("userinfo", ["operator:Tr0ub4dor&3@", "operator:Tr0ub%344dor%263@", "operator:S3cret/S1@"])
@pytest.mark.parametrize("fault", ["login", "path", "silent", "refused"])
def test_no_representation_of_an_error_holds_the_password(userinfo, fault):
    login = ("someone", "else") if fault == "login" else None
    with FakeCamera(login=login, silent=fault == "silent") as camera:
        url = camera.url(userinfo, path="/nope" if fault == "path" else "/cam")
        if fault == "refused":
            url = url.replace(f":{camera.port}/", ":1/")
        error = error_of(url, open_timeout_s=0.3)
    shown = f"{error} {error!r} {error.args} {error.__context__!r} {error.__cause__!r} {vars(error)}"
    for secret in ("operator", "Tr0ub", "dor", "S3cret"):
        assert secret not in shown
    assert error.__context__ is None


def faults_over_udp(*commands, seconds=4.0, **options):
    """Return the faults of the frames that a camera sends over UDP, some time after it is told these commands."""
    with FakeCamera(transport="udp", key_every=24, **options) as camera:
        source = StreamSource(camera.url(), network=True, transport="udp")
        faults = [source.read().fault for _ in range(30)]
        for command in commands:
            camera.command(command)
        faults += [source.read().fault for _ in range(round(seconds * 25))]
        source.close()
    return faults


def test_over_udp_one_lost_datagram_damages_the_frames_up_to_the_next_key_frame():
    faults = faults_over_udp("lose 3", payload=300)
    assert 1 <= faults.count("corrupt") <= 25
    assert faults[-25:] == [None] * 25


def test_over_udp_datagrams_in_the_wrong_order_are_no_loss():
    assert "corrupt" not in faults_over_udp("reorder 0.1", payload=300)


def test_over_udp_datagrams_that_come_twice_are_decoded_once():
    faults = faults_over_udp("double 0.2", seconds=2.0)
    assert set(faults[-50:]) == {None}


def test_over_udp_a_lower_frame_rate_is_no_loss():
    sizes = ((160, 120),) * 2
    assert "corrupt" not in faults_over_udp("clip 1", seconds=2.0, sizes=sizes, codings=["plain", "half-rate"])


def test_over_udp_timestamps_in_decode_order_are_no_loss():
    assert "corrupt" not in faults_over_udp(seconds=1.0, codings=["decode-order"])


def test_a_camera_without_a_key_frame_is_not_silent():
    with FakeCamera(codings=["silent-refresh"], key_every=25) as camera:
        source = StreamSource(camera.url(), network=True)
        faults = {source.read().fault for _ in range(10)}
        source.close()
    assert faults == {"waiting for a key frame"}
