"""Tests of the fake camera on which the fault tests rely."""

import contextlib
import itertools
import re
import socket
import struct
import threading
import time
from collections import Counter

import av
import cv2
import numpy as np
import pytest

from tests.capture.clips import write_clip

from .fakecam import COMMANDS, CameraProcess, FakeCamera, backlog_full_listener, encode
from .marks import index_of, mark

pytestmark = pytest.mark.faults

# The options with which capture opens cameras. Without them, each test would take a second longer.
FAST = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "0", "probesize": "32", "max_delay": "0"}


class Viewer:
    """A client that decodes the camera's video with PyAV."""

    def __init__(self, url, transport="tcp", **options):
        self.container = av.open(url, timeout=(5, 5), options={**FAST, "rtsp_transport": transport, **options})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.container.close()

    def frames(self, count):
        """Yield (index in the mark, frame, time of receipt) for the next frames."""
        for frame in itertools.islice(self.container.decode(video=0), count):
            yield index_of(frame.to_ndarray(format="bgr24")), frame, time.monotonic()

    def numbers(self, camera, count):
        return [camera.clock.number(index, seen_s) for index, _, seen_s in self.frames(count)]


class RawClient:
    """An RTSP client on a plain socket, with media over the same connection."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(5)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")
        self.url, self.sent, self.session = f"rtsp://127.0.0.1:{port}/cam", 0, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def ask(self, method, path="", **fields):
        """Send a request, skip media packets, and return the answer's first line, fields and body."""
        self.sent += 1
        lines = [f"{method} {self.url}{path} RTSP/1.0", f"CSeq: {self.sent}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        while (first := self.stream.read(1)) == b"$":
            self.packet(first)
        status = (first + self.stream.readline()).decode().strip()
        got = {}
        while line := self.stream.readline().decode().strip():
            name, _, value = line.partition(": ")
            got[name] = value
        assert got["CSeq"] == str(self.sent)
        return status, got, self.stream.read(int(got.get("Content-Length", 0))).decode()

    def play(self):
        self.ask("SETUP", "/track0", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        self.ask("PLAY", Session=self.session)

    def packet(self, first=None):
        """Return the channel and the content of the next media packet."""
        assert (first or self.stream.read(1)) == b"$"
        channel, length = struct.unpack(">BH", self.stream.read(3))
        return channel, self.stream.read(length)

    def packets(self, count):
        """Return the next RTP packets."""
        return list(itertools.islice((data for channel, data in iter(self.packet, None) if channel == 0), count))


def gaps(packets):
    """Return the differences between the RTP sequence numbers of consecutive packets."""
    sequence = [struct.unpack(">H", packet[2:4])[0] for packet in packets]
    return [(b - a) % 65536 for a, b in itertools.pairwise(sequence)]


@pytest.mark.parametrize("index", [0, 1, 0x5555, 0xAAAA, 0xFFFF])
@pytest.mark.parametrize("shown", [(160, 120), (161, 121), (640, 480), (1920, 1080), (320, 640)])
def test_a_mark_can_be_read_after_scaling_the_frame(index, shown):
    for size in ((160, 120), (640, 480)):
        image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        mark(image, index)
        assert index_of(cv2.resize(image, shown)) == index


def test_a_frame_without_a_mark_has_no_index():
    assert index_of(np.full((120, 160, 3), 128, np.uint8)) is None


def test_a_background_video_is_scaled_and_looped(tmp_path):
    # The background has another size and length than the clip.
    file = write_clip(tmp_path / "people.mp4", frames=3, size=(64, 48))
    with FakeCamera(background=file, loop_s=1) as camera, Viewer(camera.url()) as viewer:
        index, frame, _ = next(viewer.frames(1))
        lower = frame.to_ndarray(format="bgr24")[60:, 80:]
        assert (index, frame.width, frame.height) == (index % 25, 160, 120)
        assert lower.mean() == pytest.approx(20 + 10 * (index % 3), abs=8)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_each_frame_arrives_once_and_in_order_with_a_readable_number(transport):
    with FakeCamera() as camera, Viewer(camera.url(), transport) as viewer:
        seen = [(camera.clock.number(index, seen_s), frame, seen_s) for index, frame, seen_s in viewer.frames(12)]
        assert np.diff([k for k, _, _ in seen]).tolist() == [1] * 11
        assert seen[0][1].key_frame
        assert all(seen_s >= camera.clock.left_mono_s(k) for k, _, seen_s in seen)
        assert camera.stat()["clients"] == 1


def test_all_clients_receive_the_same_frames():
    with FakeCamera() as camera, Viewer(camera.url()) as one, Viewer(camera.url(), "udp") as other:
        assert set(one.numbers(camera, 15)) & set(other.numbers(camera, 15))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("offset_s", [0.0, -3600.0])
def test_sender_reports_carry_the_camera_s_wall_clock(transport, offset_s):
    with FakeCamera(clock_offset_s=offset_s) as camera, Viewer(camera.url(), transport) as viewer:
        for index, frame, seen_s in list(viewer.frames(6))[1:]:  # the first has no timestamp
            told_unix_s = viewer.container.start_time_realtime / 1e6 + frame.time
            left_unix_s = camera.clock.left_unix_s(camera.clock.number(index, seen_s))
            assert told_unix_s - left_unix_s == pytest.approx(offset_s, abs=0.005)


def test_a_camera_without_sender_reports_sends_no_wall_clock():
    with FakeCamera() as camera:
        camera.sr(False)
        with Viewer(camera.url()) as viewer:
            list(viewer.frames(3))
            assert not viewer.container.start_time_realtime


def test_a_clip_change_starts_at_a_key_frame_and_loses_no_frame():
    with FakeCamera(sizes=[(160, 120), (640, 480)]) as camera, Viewer(camera.url()) as viewer:
        first = viewer.numbers(camera, 3)
        camera.clip(1)
        seen = []
        for index, frame, seen_s in viewer.frames(50):
            seen.append((camera.clock.number(index, seen_s), frame.width, frame.key_frame))
            if frame.width == 640:
                break
        assert seen[-1][1:] == (640, True)
        numbers = first + [k for k, _, _ in seen]
        assert np.diff(numbers).tolist() == [1] * (len(numbers) - 1)


def test_a_kick_resets_connections_but_new_ones_are_accepted():
    with FakeCamera() as camera, RawClient(camera.port) as client:
        client.play()
        camera.kick()
        with pytest.raises(ConnectionResetError):
            client.packets(10**6)
        with Viewer(camera.url()) as viewer:
            assert viewer.numbers(camera, 1)
        assert camera.kicks == 1
        assert len(camera.connections) == 2
        assert camera.connections == sorted(camera.connections)
        assert Counter(camera.requests)["PLAY"] == 2


def test_frames_held_back_by_a_stall_arrive_afterwards():
    with FakeCamera() as camera, Viewer(camera.url()) as viewer:
        first = viewer.numbers(camera, 3)
        camera.stall(0.5)
        late_s, numbers = [], first
        for index, _, seen_s in viewer.frames(20):
            numbers.append(camera.clock.number(index, seen_s))
            late_s.append(seen_s - camera.clock.left_mono_s(numbers[-1]))
        assert np.diff(numbers).tolist() == [1] * 22
        assert max(late_s) > 0.4
        # They arrive in one burst: each one is less late than the one before, by the duration of a frame.
        burst = late_s.index(max(late_s))
        assert late_s[burst + 8] < late_s[burst] - 0.2


def test_frames_skipped_by_a_freeze_never_arrive():
    with FakeCamera() as camera, Viewer(camera.url()) as viewer:
        viewer.numbers(camera, 3)
        camera.freeze(0.5)
        numbers = viewer.numbers(camera, 10)
        steps = np.diff(numbers)
        assert steps.max() >= 8
        assert numbers[steps.argmax() + 1] % 5 == 0  # a key frame
        camera.freeze()
        assert camera.frozen.is_set()
        camera.resume()
        assert viewer.numbers(camera, 1)


def test_a_backlog_is_sent_first():
    with FakeCamera() as camera:
        camera.backlog(2)
        with Viewer(camera.url()) as viewer:
            seen = [(camera.clock.number(index, seen_s), seen_s) for index, _, seen_s in viewer.frames(60)]
    numbers = [k for k, _ in seen]
    assert np.diff(numbers).tolist() == [1] * 59
    assert seen[0][1] - camera.clock.left_mono_s(numbers[0]) > 1.5
    assert seen[-1][1] - seen[0][1] < 1.5  # 60 frames would take 2.4 s


def test_lost_packets_leave_gaps_in_the_sequence():
    with FakeCamera() as camera, RawClient(camera.port) as client:
        camera.loss(0.3)
        client.play()
        lossy = gaps(client.packets(60))
        assert max(lossy) > 1
        assert 60 / sum(lossy) == pytest.approx(0.7, abs=0.2)


def test_garbage_is_sent_to_playing_clients():
    with FakeCamera() as camera, RawClient(camera.port) as client:
        client.play()
        client.packets(1)
        camera.garbage()
        packets = client.packets(60)
        assert sum(len(packet) == 600 for packet in packets) == 50


def test_audio_continues_while_the_video_is_off():
    with FakeCamera(audio=True) as camera, Viewer(camera.url()) as viewer:
        packets = viewer.container.demux()
        kinds = {next(packets).stream.type for _ in range(20)}
        assert kinds == {"video", "audio"}
        camera.video(False)
        after = [next(packets).stream.type for _ in range(40)]
        assert set(after[20:]) == {"audio"}
        camera.video(True)
        assert "video" in (packet.stream.type for packet in packets)


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_only_the_right_login_is_accepted(scheme):
    with FakeCamera(login=("admin", "hunter2"), scheme=scheme) as camera:
        for userinfo in ("", "admin:wrong@"):
            with pytest.raises(av.error.HTTPUnauthorizedError):
                Viewer(camera.url(userinfo))
        with Viewer(camera.url("admin:hunter2@")) as viewer:
            assert viewer.numbers(camera, 1)


def test_a_wrong_path_is_not_found():
    with FakeCamera() as camera:
        for path in ("/nope", "/camera"):
            with pytest.raises(av.error.HTTPNotFoundError):
                Viewer(camera.url(path=path))


@pytest.mark.parametrize(
    ("served", "asked", "answer"),
    [
        ("tcp", "RTP/AVP/TCP;unicast;interleaved=0-1", "200"),
        ("tcp", "RTP/AVP;unicast;client_port=5000-5001", "461"),
        ("udp", "RTP/AVP/TCP;unicast;interleaved=0-1", "461"),
        ("udp", "RTP/AVP;unicast;client_port=5000-5001", "200"),
        ("both", "RTP/AVP;multicast", "461"),
    ],
)
def test_a_transport_that_the_camera_does_not_support_is_refused(served, asked, answer):
    with FakeCamera(transport=served) as camera, RawClient(camera.port) as client:
        assert client.ask("SETUP", "/track0", Transport=asked)[0].split()[1] == answer


def test_while_playing_keep_alives_are_answered_and_receiver_reports_ignored():
    with FakeCamera() as camera, RawClient(camera.port) as client:
        client.play()
        client.socket.sendall(b"$\x01\x00\x08" + bytes(8))
        for method in ("OPTIONS", "GET_PARAMETER"):
            assert client.ask(method)[0] == "RTSP/1.0 200 OK"
            assert client.packets(3)
        assert client.ask("TEARDOWN")[0] == "RTSP/1.0 200 OK"
        assert client.stream.read() == b""
        assert camera.requests == ["SETUP", "PLAY", "OPTIONS", "GET_PARAMETER", "TEARDOWN"]


def test_a_client_that_does_not_read_loses_frames_and_delays_no_other_client():
    camera = FakeCamera(sizes=[(640, 480)], loop_s=1, send_buffer=4096)
    with camera, RawClient(camera.port, receive_buffer=4096) as idle, Viewer(camera.url()) as viewer:
        idle.play()
        numbers = []
        while camera.dropped < 10:
            numbers += viewer.numbers(camera, 1)
        assert np.diff(numbers[1:]).tolist() == [1] * (len(numbers) - 2)
        # The timestamps that it reads afterwards have a gap.
        timestamps = [struct.unpack(">I", packet[4:8])[0] for packet in idle.packets(200)]
        steps = np.diff(timestamps) // 3600
        assert steps.max() > 1


def test_connections_can_be_refused_or_ignored():
    with FakeCamera() as camera:
        camera.refuse(True)
        with contextlib.suppress(ConnectionResetError), RawClient(camera.port) as client:
            assert client.stream.read() == b""
        camera.refuse(False)
        camera.silence(True)
        with RawClient(camera.port) as client:
            client.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.ask("OPTIONS")
        assert len(camera.connections) == 2
        assert camera.requests == ["OPTIONS"]


def test_the_answer_to_describe_can_be_delayed():
    with FakeCamera() as camera, RawClient(camera.port) as client:
        camera.describe_delay(0.2)
        began_s = time.monotonic()
        client.ask("DESCRIBE")
        assert time.monotonic() - began_s >= 0.2


def test_large_frames_are_sent_in_fragments():
    with FakeCamera(sizes=[(640, 480)], loop_s=1) as camera, RawClient(camera.port) as client:
        client.play()
        packets = client.packets(20)
        assert any(packet[12] & 31 == 28 for packet in packets)
        assert max(map(len, packets)) <= 1212


def test_key_frames_are_regular_and_come_with_their_parameter_sets():
    kinds = [[unit[0] & 31 for unit in units] for units in encode((160, 120), 20)]
    assert kinds == [[7, 8, 5], *[[1]] * 4] * 4


def test_closing_leaves_no_thread_and_frees_the_port():
    before = set(threading.enumerate())
    with FakeCamera() as camera:
        viewer = Viewer(camera.url())
        silent = socket.create_connection(("127.0.0.1", camera.port))
    assert set(threading.enumerate()) <= before | {t for t in threading.enumerate() if t.name != "fakecam"}
    viewer.container.close()
    silent.close()
    with FakeCamera(port=camera.port) as again, Viewer(again.url()) as viewer:
        assert viewer.numbers(again, 1)


def test_a_dead_host_does_not_answer_connection_attempts():
    with backlog_full_listener() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.3)


@pytest.fixture(scope="module")
def process():
    with CameraProcess("--size=160x120", "--size=320x240", "--loop=4", "--key-every=5", "--audio") as camera:
        yield camera


def test_a_killed_process_restarts_on_the_same_port(process):
    with Viewer(process.url()) as viewer:
        assert viewer.numbers(process, 5)
        process.kill()
        with contextlib.suppress(av.FFmpegError):
            list(viewer.container.decode(video=0))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", process.port))
    port = process.port
    process.restart()
    assert process.port == port
    with Viewer(process.url()) as viewer:
        assert viewer.numbers(process, 1)


def test_a_stopped_process_sends_nothing_until_it_resumes(process):
    with RawClient(process.port) as client:
        client.play()
        client.packets(5)
        process.stop()
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.packets(10**6)
        process.cont()
    assert process.command("stat")["clients"] >= 0


def test_a_process_runs_commands_and_rejects_wrong_ones(process):
    process.command("clip 1")
    with Viewer(process.url()) as viewer:
        next(viewer.frames(1))
        assert viewer.container.streams.video[0].codec_context.width == 320
        stat = process.command("stat")
        assert stat["clients"] == 1
        assert stat["kicks"] == 0
        assert process.command("kick")["kicks"] == 1
        with contextlib.suppress(av.FFmpegError):
            list(viewer.container.decode(video=0))
    (at_s, what), *_ = process.command("log")["log"]
    assert what == "connect"
    assert process.clock.began_mono_s < at_s < time.monotonic()
    for line, error in [("clip 7", "range"), ("dance", "unknown command"), ("loss", "missing"), ("loss x", "float")]:
        with pytest.raises(ValueError, match=error):
            process.command(line)


def test_a_process_ends_with_its_parent():
    with CameraProcess("--size=160x120", "--loop=1") as camera:
        camera._process.stdin.close()
        assert camera._process.wait(10) == 0


def test_a_process_that_cannot_start_raises_an_error():
    with pytest.raises(RuntimeError, match="did not start"):
        CameraProcess("--size=nonsense").start()


def test_every_command_is_a_method():
    assert all(callable(getattr(FakeCamera, re.sub("^log$", "stat", name))) for name in COMMANDS)
