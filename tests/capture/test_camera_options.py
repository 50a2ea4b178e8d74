"""The effect of each camera option, from the configuration to the frames that are put at the door."""

import contextlib
import itertools
import logging
import socket
import threading
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from realtime.capture import connect, hosts
from realtime.capture.stream import StreamSource
from realtime.capture.timeline import EARLY
from realtime.cli import main
from realtime.config import CameraConfig, load, to_yaml
from realtime.errors import ConfigError, SourceError, SourceReason
from tests.faults.fakecam import FakeCamera
from tests.faults.flvcam import FlvCamera
from tests.faults.marks import index_of, mark

from .clips import write_clip
from .rig import GIVE_UP_S, Rig, ScriptedSource, picture


def rig_of(source, enough=None, **options):
    """A camera that stops when it is lost, has enough frames, or its source or script ends."""
    scripted = isinstance(source, ScriptedSource)
    # Over HTTP, timestamps aren't used to measure lag, so a script may use any timestamps.
    sources = ("http://127.0.0.1/cam", source) if scripted else (source,)
    return Rig(*sources, enough=enough, until_lost=True, fail_fast=True, **options)


def run_of(source, enough=None, **options):
    rig = rig_of(source, enough, **options)
    rig.run()
    return rig


def live(stamps_s, **attributes):
    """A live source whose frames have these timestamps."""
    return ScriptedSource(*(picture(s, **attributes) for s in stamps_s), live=True, fps=None)


def stamps_of(run):
    return [frame.media_s for frame in run.frames]


def numbers_of(run, camera):
    """Return the numbers that the fake camera gave to these frames."""
    return [
        camera.clock.number(index_of(frame.image), seen_s)
        for frame, seen_s in zip(run.frames, run.came_mono_s, strict=True)
    ]


# ---- target_fps


def test_target_fps_limits_the_frames_per_second_and_counts_the_others_as_dropped():
    # Measured by the camera's timestamps: a machine under load keeps the same frames, but later.
    with FakeCamera() as camera:
        since_s = []
        run = run_of(
            camera.url(),
            lambda frame: since_s.append(frame.media_s) or frame.media_s - since_s[0] >= 3.0,
            target_fps=10.0,
        )
        numbers = numbers_of(run, camera)
    assert (len(run.frames) - 1) / (stamps_of(run)[-1] - stamps_of(run)[0]) == pytest.approx(10.0, abs=0.5)
    # The camera sends 25 fps, so every second or third frame is kept.
    assert set(np.diff(numbers)) == {2, 3}
    # Between the first and the last frame, every drop has this cause.
    between = run.frames[-1].index - run.frames[0].index + 1
    assert run.status.drops["target_fps"] == between - len(run.frames)
    assert run.status.captured == len(run.frames) + run.status.drops.total()
    assert {frame.epoch for frame in run.frames} == {0}


@pytest.mark.parametrize(
    ("fps", "target_fps"),
    [
        (25, 24),  # every 25th frame is dropped
        (30, 29.97),  # every 1000th frame is dropped
        (30, 25),
        (25, 10),  # every second and every third frame, alternately
        (60, 7),
        (30, 0.5),
        (29.97, 14.985),  # exactly every second frame, apart from rounding
    ],
)
def test_target_fps_is_kept_over_minutes(fps, target_fps):
    seconds = 300
    # The timestamps of a stream have a resolution of 1/90000 s.
    stamps_s = [round(i * 90_000 / fps) / 90_000 for i in range(round(fps * seconds))]
    run = run_of(live(stamps_s), target_fps=target_fps)
    assert len(run.frames) == pytest.approx(seconds * target_fps, abs=1)
    assert run.status.drops["target_fps"] == len(stamps_s) - len(run.frames)
    # Frames are evenly spaced: each gap is the requested interval, rounded to whole frames.
    gaps_s = np.diff(stamps_of(run))
    assert gaps_s.max() < 1 / target_fps + 1 / fps
    assert gaps_s.min() > 1 / target_fps - max(1 / fps, EARLY / target_fps) - 1e-4


@pytest.mark.parametrize("target_fps", [25.0, 25.5, 30.0, 1000.0])
@pytest.mark.parametrize("jitter_s", [0.0, 0.0015])  # cameras whose timestamps have a resolution of milliseconds
def test_a_target_fps_above_the_rate_of_the_camera_drops_no_frame(target_fps, jitter_s):
    stamps_s = np.arange(2000) / 25 + np.random.default_rng(0).uniform(-jitter_s, jitter_s, 2000)
    run = run_of(live(stamps_s.tolist()), target_fps=target_fps)
    assert len(run.frames) == 2000
    assert not run.status.drops


@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=300), st.floats(1.0, 60.0))
def test_target_fps_is_never_exceeded_however_irregularly_frames_arrive(gaps_s, target_fps):
    run = run_of(live(np.cumsum(gaps_s).tolist()), target_fps=target_fps)
    taken_s = stamps_of(run)
    # This holds for any interval, not only on average. After a gap, at most one frame is made up for.
    for first in range(0, len(taken_s), 7):
        for n, s in enumerate(taken_s[first:]):
            assert n <= (s - taken_s[first]) * target_fps + 1.0 + EARLY + 1e-6


def test_target_fps_spaces_frames_after_a_gap_as_before_it():
    stamps_s = np.concatenate((np.arange(50) / 25, 60 + np.arange(50) / 25))
    taken_s = np.array(stamps_of(run_of(live(stamps_s.tolist()), target_fps=5.0)))
    assert taken_s[taken_s < 60] == pytest.approx(np.arange(10) / 5)
    after_s = taken_s[taken_s >= 60]
    assert np.diff(after_s).min() == pytest.approx(0.2)
    assert len(after_s) == 10


def test_target_fps_makes_up_for_at_most_one_frame_after_a_gap():
    stamps_s = np.concatenate((np.arange(50) / 25, 60 + np.arange(50) / 25))
    taken_s = np.array(stamps_of(run_of(live(stamps_s.tolist()), target_fps=5.0)))
    assert 10 <= (taken_s >= 60).sum() <= 11


def test_target_fps_drops_no_frame_when_timestamps_start_over():
    run = run_of(live([1000.0, 1000.1, 1000.2, 0.0, 0.1, 0.2]), target_fps=10.0)
    assert stamps_of(run) == [1000.0, 1000.1, 1000.2, 0.0, 0.1, 0.2]
    assert [frame.epoch for frame in run.frames] == [0, 0, 0, 1, 1, 1]


def test_target_fps_does_not_apply_to_files(tmp_path):
    assert len(run_of(write_clip(tmp_path / "clip.mp4", frames=12), target_fps=1.0).frames) == 12


# ---- rotate, crop_xyxy, resize


@pytest.mark.parametrize(
    ("options", "size", "original"),
    [
        ({"rotate": 90}, (240, 320), lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)),
        # The mark is in the top seventh of the image.
        (
            {"crop_xyxy": (0, 0, 320, 100)},
            (320, 100),
            lambda image: cv2.copyMakeBorder(image, 0, 140, 0, 0, cv2.BORDER_CONSTANT),
        ),
        ({"rotate": 270, "crop_xyxy": (0, 20, 240, 320), "resize": 150}, (120, 150), None),
    ],
)
def test_all_frames_of_a_camera_have_the_configured_view_in_one_epoch(options, size, original):
    with FakeCamera(sizes=[(320, 240)]) as camera:
        run = run_of(camera.url(), 2, **options)
    assert {frame.size for frame in run.frames} == {size}
    assert {frame.epoch for frame in run.frames} == {0}
    assert run.status.size == size
    if original is not None:
        assert None not in {index_of(original(frame.image)) for frame in run.frames}


def test_a_new_camera_size_with_the_same_view_size_continues_the_epoch():
    with FakeCamera(sizes=[(160, 120), (320, 240)]) as camera:
        seen = []

        def enough(frame):
            seen.append(frame)
            if len(seen) == 3:
                camera.clip(1)
            return frame.media_s - seen[0].media_s > 0.4

        run = run_of(camera.url(), enough, resize=160)
    assert {frame.size for frame in run.frames} == {(160, 120)}
    assert {frame.epoch for frame in run.frames} == {0}


def test_the_error_for_a_crop_beyond_a_file_s_image_names_the_camera(tmp_path):
    with pytest.raises(SourceError, match=r"^cam0: crop_xyxy: got \[0, 0, 65, 48\], .* 64x48$") as caught:
        run_of(write_clip(tmp_path / "clip.mp4"), crop_xyxy=(0, 0, 65, 48))
    assert caught.value.reason is SourceReason.MODE


def test_a_crop_beyond_a_camera_s_image_is_logged_and_the_camera_is_retried(caplog):
    with FakeCamera() as camera:
        run = run_of(camera.url(), 1, crop_xyxy=(0, 0, 161, 120))
    assert not run.frames
    assert run.states[-1] == ("reconnecting", "mode not possible")
    [warning] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.message == (
        "cam0: crop_xyxy: got [0, 0, 161, 120], expected a box within the image of 160x120; trying again"
    )
    assert (warning.camera, warning.cause) == ("cam0", "crop_xyxy")


def test_a_file_whose_crop_does_not_fit_has_failed(tmp_path):
    rig = rig_of(write_clip(tmp_path / "clip.mp4"), crop_xyxy=(0, 0, 65, 48))
    with pytest.raises(SourceError):
        rig.run()
    assert rig.status.state == ("failed", "mode not possible")
    assert rig.status.unfinished() == 0


def test_opening_a_resized_source_logs_no_size_change(caplog):
    caplog.set_level(logging.INFO)
    run = run_of(live([0.0, 0.1]), resize=32)
    assert {frame.size for frame in run.frames} == {(32, 24)}
    assert not [r.message for r in caplog.records if "frame size changed" in r.message]


# ---- clock


def test_captured_ns_follows_the_camera_s_clock_if_it_sends_sender_reports():
    with FakeCamera() as camera:
        run = run_of(camera.url(), 3)
        left_unix_s = [camera.clock.left_unix_s(k) for k in numbers_of(run, camera)]
    assert {frame.clock for frame in run.frames} == {"rtcp"}
    assert [frame.captured_unix_ns / 1e9 for frame in run.frames] == pytest.approx(left_unix_s, abs=0.005)


@pytest.mark.parametrize(
    ("options", "reports"),
    [({"clock": "arrival"}, True), ({}, False)],  # reports sent but not wanted; wanted but not sent
)
def test_captured_ns_is_the_arrival_time_without_the_camera_s_clock(caplog, options, reports):
    with FakeCamera() as camera:
        camera.sr(reports)
        run = run_of(camera.url(), 3, **options)
        left_unix_s = [camera.clock.left_unix_s(k) for k in numbers_of(run, camera)]
    assert {frame.clock for frame in run.frames} == {"arrival"}
    for frame, left_s, came_s in zip(run.frames, left_unix_s, run.came_unix_s, strict=True):
        assert left_s - 0.005 <= frame.captured_unix_ns / 1e9 <= came_s + 0.005
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_camera_clock_that_is_far_off_is_logged_once_and_not_used(caplog):
    offset_s = 3600.0
    with FakeCamera(clock_offset_s=offset_s) as camera:
        run = run_of(camera.url(), 3)
    assert {frame.clock for frame in run.frames} == {"arrival"}
    for frame, came_s in zip(run.frames, run.came_unix_s, strict=True):
        assert came_s - GIVE_UP_S < frame.captured_unix_ns / 1e9 <= came_s
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    # Exact to the second, apart from the transmission delay.
    off_s = int(warnings[0].split(" is ")[1].split()[0])
    assert off_s == pytest.approx(offset_s, abs=2)
    assert warnings[0] == (
        f"cam0: the camera's clock is {off_s} s off, using arrival time instead; set the camera's clock"
    )


@pytest.mark.parametrize(
    ("off_s", "clock"), [(-40.0, "rtcp"), (40.0, "arrival"), (-80.0, "arrival"), (80.0, "arrival")]
)
def test_a_camera_clock_is_used_if_it_is_behind_by_less_than_a_minute(off_s, clock):
    told_s = time.time() + off_s
    (frame,) = run_of(live([0.0], wall_s=told_s)).frames
    assert frame.clock == clock
    assert (frame.captured_unix_ns / 1e9 == pytest.approx(told_s, abs=1e-6)) == (clock == "rtcp")


def test_a_camera_clock_that_goes_wrong_again_is_logged_again(caplog):
    now_s = time.time() - 1.0
    right, wrong = {"wall_s": now_s}, {"wall_s": now_s - 3600}
    script = [picture(**wall) for wall in (right, wrong, wrong, right, wrong)]
    run = run_of(ScriptedSource(*script, live=True))
    assert [frame.clock for frame in run.frames] == ["rtcp", "arrival", "arrival", "rtcp", "arrival"]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 2


# ---- late frames


def test_delayed_frames_keep_their_capture_time_and_stored_frames_are_dropped():
    with FakeCamera() as camera:
        camera.backlog(1.0)
        seen = []

        def enough(frame):
            seen.append(frame)
            if len(seen) == 10:
                camera.stall(0.6)
            return frame.media_s - seen[0].media_s > 1.3

        run = run_of(camera.url(), enough)
        left_s = np.array([camera.clock.left_mono_s(k) for k in numbers_of(run, camera)])
    assert run.status.drops["stored before the start"] >= 15
    captured_s = np.array([frame.captured_mono_ns / 1e9 for frame in run.frames])
    came_late_s, dated_late_s = np.array(run.came_mono_s) - left_s, captured_s - left_s
    assert came_late_s.max() > 0.4
    # The first and the last frames weren't held back, apart from delays of a busy machine.
    assert dated_late_s.max() < came_late_s.max() - 0.2
    assert dated_late_s.min() > -0.01


def test_stored_frames_are_dropped_over_http_too_if_the_format_is_a_live_one():
    with FlvCamera(stored_s=2.0) as camera:
        run = run_of(camera.url(), 5)
    assert run.status.drops["stored before the start"] >= 40


def test_a_camera_whose_clock_is_ahead_is_dated_by_its_arrival(caplog):
    with FakeCamera(clock_offset_s=14.0) as camera:
        run = run_of(camera.url(), 5)
    assert {frame.clock for frame in run.frames} == {"arrival"}
    assert all(
        frame.captured_unix_ns / 1e9 <= came_s for frame, came_s in zip(run.frames, run.came_unix_s, strict=True)
    )
    (warning,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "ahead, using arrival time instead" in warning


@pytest.mark.parametrize(
    ("came_s", "wall_s", "clock"),
    [(None, None, "arrival"), (-3.0, None, "arrival"), (-3.0, -4.0, "playlist"), (-3.0, -2.8, "arrival")],
)
def test_a_frame_that_was_held_until_it_was_due_is_dated_by_when_it_came(came_s, wall_s, clock):
    now_mono_s, now_s = time.monotonic(), time.time()
    times = {
        "came_s": None if came_s is None else now_mono_s + came_s,
        "wall_s": None if wall_s is None else now_s + wall_s,
        "clock": "playlist",
    }
    (frame,) = run_of(live([0.0], **times)).frames
    told_s = wall_s if clock == "playlist" else came_s or 0.0
    assert frame.clock == clock
    assert frame.captured_unix_ns / 1e9 - now_s == pytest.approx(told_s, abs=GIVE_UP_S if came_s is None else 0.01)
    assert frame.captured_mono_ns / 1e9 >= now_mono_s  # ages count from its release


# ---- transport, and MPEG-TS over UDP


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames_arrive_over_the_only_transport_of_a_camera(transport):
    with FakeCamera(transport=transport) as camera:
        run = run_of(camera.url(), 8, transport=transport)
        numbers = numbers_of(run, camera)
    # On a busy machine a datagram may be lost, which damages all frames up to the next key frame.
    assert set(np.diff(numbers)) <= ({1} if transport == "tcp" else set(range(1, 12)))
    assert {frame.clock for frame in run.frames} == {"rtcp"}
    assert "SETUP" in camera.requests


@contextlib.contextmanager
def television(port, fps=25):
    """Send marked frames live to this port, as MPEG-TS over UDP, while the `with` block lasts."""
    over = threading.Event()

    def send():
        with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": "5"}
            began_s = time.monotonic()
            for i in itertools.count():
                image = np.full((120, 160, 3), 128, np.uint8)
                mark(image, i)
                frame = av.VideoFrame.from_ndarray(image, "bgr24")
                frame.pts, frame.time_base = i, Fraction(1, fps)
                container.mux(stream.encode(frame))
                if over.wait(max(0.0, began_s + (i + 1) / fps - time.monotonic())):
                    return

    thread = threading.Thread(target=send, name="television")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_frames_of_mpeg_ts_over_udp_arrive():
    port = free_udp_port()
    with television(port):
        run = run_of(f"udp://127.0.0.1:{port}", 10)
    indices = [index_of(frame.image) for frame in run.frames]
    assert len(indices) == 10
    assert None not in indices
    assert set(np.diff(indices)) <= set(range(1, 12))
    assert {frame.epoch for frame in run.frames} == {0}
    assert {frame.clock for frame in run.frames} == {"arrival"}
    assert np.diff(stamps_of(run)) == pytest.approx(np.diff(indices) / 25, abs=0.001)


def test_opening_a_udp_port_without_a_sender_times_out():
    with pytest.raises(SourceError) as caught:
        StreamSource(f"udp://127.0.0.1:{free_udp_port()}", network=True, open_timeout_s=0.3, read_timeout_s=0.3)
    assert caught.value.reason is SourceReason.TIMEOUT


# ---- sources in an environment variable or a file

SECRET_URL = "rtsp://operator:Tr0ub4dor@10.1.2.3:554/stream7"
SECRETS = ("10.1.2.3", "operator", "Tr0ub4dor", "stream7")


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "door.url"
    path.write_text(f"  {SECRET_URL}\n")  # as some editors save it
    return path


@pytest.fixture(params=["env", "secret"])
def hidden(request, secret_file, monkeypatch):
    """A source that refers to SECRET_URL, through an environment variable or a file."""
    if request.param == "secret":
        return f"secret:{secret_file}"
    monkeypatch.setenv("DOOR_URL", f" {SECRET_URL} ")
    return "env:DOOR_URL"


def test_a_source_in_a_variable_or_a_file_becomes_the_camera_s_address(hidden):
    camera = load(flags={"cameras": [{"name": "door", "source": hidden}]}).cameras[0]
    assert camera.address == SECRET_URL
    assert camera.source == hidden


def test_env_sources_are_looked_up_in_the_environment_passed_to_load():
    camera = load(environment={"X": "demo"}, flags={"cameras": [{"name": "door", "source": "env:X"}]}).cameras[0]
    assert camera.address == "demo"


@pytest.mark.parametrize("source", ["rtsp://10.0.0.5/s1", "0", "demo", "clip.mp4", "environment:x", "C:/clip.mp4"])
def test_any_other_source_is_its_own_address(source):
    assert CameraConfig(name="door", source=source).address == source


def test_no_part_of_a_hidden_source_is_printed(hidden, capsys):
    config = load(flags={"cameras": [{"name": "door", "source": hidden}]})
    assert main(["--source", f"door={hidden}", "--print-config"]) == 0
    printed = capsys.readouterr()
    assert hidden in printed.out
    shown = f"{config!r} {config} {config.cameras[0]!r} {config.model_dump()} {to_yaml(config)} {printed}"
    assert not [secret for secret in SECRETS if secret in shown]


def test_a_printed_configuration_with_a_hidden_source_can_be_loaded(hidden, tmp_path):
    config = load(flags={"cameras": [{"name": "door", "source": hidden}]})
    path = tmp_path / "printed.yaml"
    path.write_text(to_yaml(config))
    assert load([path]).cameras[0].address == SECRET_URL


def test_a_changed_secret_changes_the_camera_s_configuration(secret_file):
    def read():
        return CameraConfig(name="door", source=f"secret:{secret_file}")

    before = read()
    assert read() == before
    secret_file.write_text("rtsp://operator:other@10.1.2.3:554/stream7")
    assert read() != before


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("env:NO_SUCH", "the environment variable NO_SUCH is not set"),
        ("env:EMPTY", "the environment variable EMPTY is empty"),
        ("env:BLANK", "the environment variable BLANK is empty"),
        ("env:", "is not set"),
        ("secret:{tmp}/none", "can't read the file {tmp}/none: no such file"),
        ("secret:{tmp}/empty", "the file {tmp}/empty is empty"),
        ("secret:{tmp}/blank", "the file {tmp}/blank is empty"),
        ("secret:{tmp}/binary", "can't read the file {tmp}/binary: not text"),
        ("secret:{tmp}", "can't read the file {tmp}: Is a directory"),
    ],
)
def test_an_empty_or_missing_variable_or_file_is_refused_by_name(tmp_path, source, says):
    (tmp_path / "empty").touch()
    (tmp_path / "blank").write_text(" \n\t\n")
    (tmp_path / "binary").write_bytes(b"\xff" + SECRET_URL.encode())
    cameras = [{"name": "door", "source": source.format(tmp=tmp_path)}]
    with pytest.raises(ConfigError) as caught:
        load(environment={"EMPTY": "", "BLANK": "  "}, flags={"cameras": cameras})
    assert says.format(tmp=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not [secret for secret in SECRETS if secret in f"{caught.value!r} {caught.value.__cause__!r}"]


def test_the_error_for_a_binary_secret_file_does_not_carry_its_content(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff" + SECRET_URL.encode())
    with pytest.raises(ValidationError) as caught:
        CameraConfig(name="door", source=f"secret:{tmp_path / 'binary'}")
    error = caught.value.errors()[0]["ctx"]["error"]
    assert error.__cause__ is None  # a UnicodeDecodeError holds the whole content in `object`
    assert error.__suppress_context__


def test_errors_in_other_options_do_not_show_a_hidden_source(hidden):
    with pytest.raises(ValidationError) as plain:
        CameraConfig(name="door", source=hidden, crop_xyxy=(5, 0, 5, 9))
    with pytest.raises(ConfigError) as caught:
        load(flags={"cameras": [{"name": "door", "source": hidden, "rotate": 45}]})
    assert not [secret for secret in SECRETS if secret in f"{plain.value} {plain.value!r} {caught.value}"]


def test_a_camera_whose_address_is_in_a_file_is_opened(tmp_path):
    with FakeCamera(login=("admin", "hunter2")) as camera:
        path = tmp_path / "url"
        path.write_text(camera.url("admin:hunter2@") + "\n")
        assert numbers_of(run_of(f"secret:{path}", 2), camera)


def test_no_log_line_or_error_holds_the_password_of_a_hidden_source(hidden, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(socket, "getaddrinfo", _not_found)
    with pytest.raises(SourceError) as caught:
        run_of(hidden)
    shown = f"{caplog.text} {caught.value} {caught.value!r} {caught.value.__context__!r}"
    assert "operator" not in shown
    assert "Tr0ub4dor" not in shown


def _not_found(*_):
    raise socket.gaierror


def test_no_error_holds_the_password_of_a_hidden_source_without_a_scheme(monkeypatch):
    monkeypatch.setenv("DOOR_URL", SECRET_URL.removeprefix("rtsp://"))
    with pytest.raises(SourceError) as caught:
        run_of("env:DOOR_URL")
    assert "Tr0ub4dor" not in str(caught.value)


@pytest.mark.parametrize("kind", ["token", "file", "folder", "webcam", "url"])
def test_a_camera_from_a_secret_file_is_called_by_the_name_of_that_file(kind, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", _not_found)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "1.png").write_text("no image")
    (tmp_path / "private.mp4").write_text("no video")
    content, says = {
        "token": ("ghp_16C7e42F", ": contains neither a URL nor the path of a file"),
        "file": (f"{tmp_path}/private.mp4", ": not a video or an image"),
        "folder": (f"{tmp_path}/private", "/1.png: not an image, or a damaged or truncated one"),
        "webcam": ("/dev/video-private", ": no such device"),
        "url": ("rtsp://private/s1", ": host name not found"),
    }[kind]
    path = tmp_path / "door"
    path.write_text(content)
    with pytest.raises(SourceError) as caught:
        run_of(f"secret:{path}")
    assert f"secret:{path}{says}" in str(caught.value)
    assert "private" not in f"{caught.value} {caplog.text}"
    assert "ghp" not in f"{caught.value} {caplog.text}"


def test_a_secret_file_written_on_windows_is_read(tmp_path):
    path = tmp_path / "url.txt"
    path.write_text(SECRET_URL + "\r\n", encoding="utf-8-sig")
    assert CameraConfig(name="door", source=f"secret:{path}").address == SECRET_URL


# ---- host name


@pytest.fixture
def slow_names(monkeypatch):
    """A system whose name look-ups block until the test ends; the value is the list of names looked up."""
    over, asked = threading.Event(), []

    def look_up(host, *_, **__):
        asked.append(host)
        over.wait(GIVE_UP_S)
        asked.append("returned")
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(hosts, "NAME_TIMEOUT_S", 0.2)
    yield asked
    over.set()


@pytest.mark.parametrize("url", ["rtsp://operator:Tr0ub4dor@door.example/s1", "http://door.example/s1"])
def test_a_name_look_up_that_never_returns_fails_after_its_timeout(slow_names, url):
    with pytest.raises(SourceError) as caught:
        StreamSource(url, network=True)
    assert slow_names == ["door.example"]  # and the look-up has not returned
    assert caught.value.reason is SourceReason.DNS
    assert "door.example" in str(caught.value)
    assert "Tr0ub4dor" not in str(caught.value)


def test_a_name_that_is_resolved_within_the_timeout_is_used(monkeypatch):
    found = socket.getaddrinfo

    def look_up(*arguments):
        threading.Event().wait(0.1)
        return found(*arguments)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with FakeCamera() as camera:
        assert run_of(camera.url().replace("127.0.0.1", "localhost"), 1).frames


# ---- hwaccel


@pytest.fixture
def fresh_accelerators():
    """Clear the cached result, so that the driver is probed again."""
    connect._accelerator.cache_clear()
    yield
    connect._accelerator.cache_clear()


@pytest.mark.parametrize("hwaccel", ["cuda", "vaapi", "auto"])
def test_hwaccel_is_logged_once_and_frames_arrive_with_or_without_the_hardware(
    fresh_accelerators, tmp_path, caplog, hwaccel
):
    caplog.set_level(logging.INFO)
    path = write_clip(tmp_path / "clip.mp4", size=(320, 240))
    runs = [run_of(path, hwaccel=hwaccel) for _ in range(2)]
    plain = run_of(path)
    for run in runs:
        assert len(run.frames) == 10
        for frame, expected in zip(run.frames, plain.frames, strict=True):
            # A hardware decoder may convert colours slightly differently.
            assert np.abs(frame.image.astype(int) - expected.image).mean() < 3
    told = [record for record in caplog.records if record.message.startswith("hwaccel ")]
    assert len(told) == 1
    if not _has_hardware(told[0].message):
        assert told[0].message == f"hwaccel {hwaccel}: no usable hardware decoder; decoding video in software"
        assert told[0].levelno == logging.WARNING


def _has_hardware(message):
    return ": decoding video with " in message


def test_frames_of_a_camera_arrive_without_the_requested_hardware(fresh_accelerators):
    with FakeCamera(sizes=[(320, 240)]) as camera:
        run = run_of(camera.url(), 2, hwaccel="cuda")
        assert set(np.diff(numbers_of(run, camera))) == {1}


def test_without_hwaccel_no_driver_is_probed(fresh_accelerators, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(connect, "HWAccel", None)  # calling it fails
    caplog.set_level(logging.INFO)
    assert len(run_of(write_clip(tmp_path / "clip.mp4")).frames) == 10
    assert not [r for r in caplog.records if r.message.startswith("hwaccel")]
