import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from realtime import client, wire
from realtime.client import PoseSubscriber, main
from realtime.wire import subscriber as client_module
from tests.wire import examples

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0  # far longer than anything here takes: a test that waits this long fails


def pose(camera="cam0", seq=0, session="s1", n=2, **changes):
    arrays = {
        "boxes": np.full((n, 4), 1.5, np.float32),
        "keypoints": np.full((n, 17, 2), 2.5, np.float32),
        "keypoint_scores": np.full((n, 17), 0.25, np.float32),
    }
    now = {"captured_ns": time.time_ns(), "published_ns": time.time_ns()}
    fields = {"session": session, "camera": camera, "seq": seq, "frame": seq, "scores": [0.5] * n}
    return examples.pose(n, 17, **arrays | now | fields | changes)


def info(camera="cam0", version="0.1.0"):
    return wire.InfoMessage(
        session="s1",
        camera=camera,
        keypoint_names=["nose"],
        edges=[],
        detector="d",
        pose="p",
        device="cpu",
        smoothing="none",
        source_fps=30.0,
        size=(640, 480),
        version=version,
    )


def status(camera="cam0", state="live", **changes):
    fields = {
        "session": "s1", "camera": camera, "state": state, "reason": None, "captured": 3, "dropped": 1, "published": 2,
        "fps": 10.0, "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0}, "uptime_s": 1.0, "tracks_ended": [4],
    }  # fmt: skip
    return wire.decode(wire.status_topic(camera), json.dumps({"schema": "status/1", **fields, **changes}).encode())


class Publisher:
    """A real XPUB socket on a free port. XPUB reports subscriptions, so no test needs to sleep."""

    def __init__(self):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.linger = 0
        self.socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self.socket.last_endpoint.decode()
        self.topics = set()

    def wait_for(self, *topics):
        while not self.topics.issuperset(topics):
            assert self.socket.poll(WAIT_S * 1000), f"no subscription to {topics}"
            event = self.socket.recv()
            if event[:1] == b"\x01":
                self.topics.add(event[1:])

    def send(self, message, encoding="msgpack"):
        kinds = {
            wire.PoseMessage: wire.pose_topic,
            wire.InfoMessage: wire.info_topic,
            wire.StatusMessage: wire.status_topic,
        }
        topic = kinds[type(message)](message.camera)
        self.socket.send_multipart([topic, wire.encode(message, encoding)])


@pytest.fixture
def publisher():
    publisher = Publisher()
    yield publisher
    publisher.context.destroy(linger=0)


@pytest.fixture
def subscribe(publisher):
    """Returns a function that creates subscribers and waits until they have joined. They are closed at the end."""
    opened = []

    def _subscribe(**options):
        subscriber = PoseSubscriber(publisher.endpoint, **{"timeout_s": WAIT_S, **options})
        opened.append(subscriber)
        names = options.get("cameras")
        publisher.wait_for(*[wire.pose_topic(name) for name in names] if names else [b"pose/"])
        return subscriber

    yield _subscribe
    for subscriber in opened:
        subscriber.close()


# ---- PoseSubscriber


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_a_pose_arrives_with_arrays_in_both_encodings(publisher, subscribe, encoding):
    subscriber = subscribe()
    sent = pose(seq=3)
    publisher.send(sent, encoding)
    got = next(subscriber)
    assert (got.camera, got.session, got.seq, got.size, got.missed) == ("cam0", "s1", 3, (640, 480), 0)
    assert got.track_ids.tolist() == [1, 2]
    assert len(got) == 2
    shapes = {key: (getattr(got, key).dtype, getattr(got, key).shape) for key in ("scores", "boxes", "keypoints")}
    assert shapes == {
        "scores": (np.float32, (2,)),
        "boxes": (np.float32, (2, 4)),
        "keypoints": (np.float32, (2, 17, 3)),
    }
    assert got.measured.dtype == np.bool_
    np.testing.assert_array_equal(got.keypoints[0, 0], [2.5, 2.5, 0.25])
    assert 0 <= got.age_s() < WAIT_S


def test_iteration_returns_the_poses_of_all_cameras_in_order(publisher, subscribe):
    subscriber = subscribe()
    for seq in range(3):
        for camera in ("a", "b"):
            publisher.send(pose(camera, seq))
    got = [(p.camera, p.seq) for p in itertools.islice(subscriber, 6)]
    assert got == [(camera, seq) for seq in range(3) for camera in ("a", "b")]


def test_gaps_in_seq_are_counted_per_camera(publisher, subscribe):
    subscriber = subscribe()
    # camera, seq, missed: joining late counts as no loss, and each camera is counted separately
    table = [("a", 7, 0), ("b", 0, 0), ("a", 8, 0), ("b", 4, 3), ("a", 11, 2), ("b", 5, 0)]
    for camera, seq, _ in table:
        publisher.send(pose(camera, seq))
    assert [(p.camera, p.seq, p.missed) for p in itertools.islice(subscriber, len(table))] == table


def test_a_restart_of_the_publisher_does_not_count_as_a_gap(publisher, subscribe):
    subscriber = subscribe()
    for session, seq in (("s1", 100), ("s2", 0), ("s2", 1)):
        publisher.send(pose(seq=seq, session=session))
    assert [next(subscriber).missed for _ in range(3)] == [0, 0, 0]


def test_a_camera_filter_excludes_cameras_whose_names_start_with_the_same_letters(publisher, subscribe):
    subscriber = subscribe(cameras=["cam1"])
    for seq in range(3):
        publisher.send(pose("cam10", seq))
    publisher.send(pose("cam1", 9))
    assert next(subscriber).camera == "cam1"


def test_latest_skips_to_the_newest_of_each_camera(publisher, subscribe):
    subscriber = subscribe()
    for seq in range(20):
        publisher.send(pose("a", seq))
        publisher.send(pose("b", 100 + seq))
    seen = []
    while not {("a", 19), ("b", 119)} <= {(p.camera, p.seq) for p in seen}:
        newest = subscriber.latest()
        assert all(camera == p.camera for camera, p in newest.items())
        seen += newest.values()
    for camera in "ab":
        mine = [p for p in seen if p.camera == camera]
        # Messages that had not arrived at one call belong to a later one. Each is returned or counted as missed, once.
        # Those skipped before the first pose can't be counted.
        assert sum(1 + p.missed for p in mine) == mine[-1].seq - mine[0].seq + 1


def test_latest_returns_an_empty_dict_after_its_timeout(subscribe):
    assert subscribe().latest(timeout_s=0.01) == {}


def test_a_timeout_error_names_the_endpoint_and_reading_can_continue(publisher, subscribe):
    subscriber = subscribe(timeout_s=0.01)
    with pytest.raises(TimeoutError, match=f"no poses from {re.escape(publisher.endpoint)} for 0.01 s"):
        next(subscriber)
    publisher.send(pose())
    assert subscriber.latest(timeout_s=WAIT_S)["cam0"].seq == 0


def test_a_timeout_holds_while_messages_of_other_kinds_keep_arriving(publisher, subscribe, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_LATE", 50)
    subscriber = subscribe(timeout_s=0.01)
    receive, received = subscriber._receive, 0

    def receive_a_status(deadline_s):
        nonlocal received
        received += 1
        publisher.send(status())
        return receive(None)

    monkeypatch.setattr(subscriber, "_receive", receive_a_status)
    with pytest.raises(TimeoutError):
        next(subscriber)
    assert received > 50


def test_a_publisher_can_not_make_the_client_remember_any_number_of_cameras(publisher, subscribe, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_CAMERAS", 3)
    subscriber = subscribe()
    for number in range(6):
        publisher.send(info(f"c{number}"))
        publisher.send(pose(f"c{number}"))
    assert [next(subscriber).camera for _ in range(6)] == [f"c{number}" for number in range(6)]
    assert len(subscriber._infos) == len(subscriber._last) == 3
    assert subscriber.info("c5").camera == "c5"


def test_cameras_that_still_send_are_remembered_longer_than_those_that_do_not(publisher, subscribe, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_CAMERAS", 3)
    subscriber = subscribe()
    for name, seq in (("gone", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("new", 0), ("newer", 0), ("b", 5)):
        publisher.send(pose(name, seq=seq))
    assert [next(subscriber).missed for _ in range(8)][-1] == 3
    assert list(subscriber._last) == ["new", "newer", "b"]


def test_a_client_of_several_publishers_remembers_the_cameras_of_all(publisher, monkeypatch):
    monkeypatch.setattr(client_module, "MOST_CAMERAS", 2)
    with PoseSubscriber([publisher.endpoint, "tcp://127.0.0.1:1"], timeout_s=WAIT_S) as subscriber:
        publisher.wait_for(b"pose/")
        for seq in (0, 3):
            for name in "abcd":
                publisher.send(pose(name, seq=seq))
        assert [next(subscriber).missed for _ in range(8)] == [0, 0, 0, 0, 2, 2, 2, 2]


def test_reading_poses_keeps_info_and_waiting_for_info_keeps_poses(publisher, subscribe):
    subscriber = subscribe()
    publisher.wait_for(b"info/")
    publisher.send(pose(seq=0))
    publisher.send(info("cam0"))
    publisher.send(pose(seq=1))
    assert subscriber.info("cam0", timeout_s=WAIT_S) == info("cam0")
    assert [next(subscriber).seq for _ in range(2)] == [0, 1]
    publisher.send(info("cam0", version="0.2.0"))
    publisher.send(pose(seq=2))
    next(subscriber)
    assert subscriber.info("cam0", timeout_s=0.0).version == "0.2.0"


def test_reading_poses_keeps_statuses_and_waiting_for_statuses_keeps_poses(publisher, subscribe):
    subscriber = subscribe()
    assert subscriber.statuses() == []
    for message in (status(), pose(), status("cam1", "reconnecting", reason="timed out"), pose(seq=1)):
        publisher.send(message)
    assert [said.tracks_ended for said in subscriber.statuses(WAIT_S)] == [[4]]
    assert [next(subscriber).seq for _ in range(2)] == [0, 1]
    assert [(said.camera, said.state, said.reason) for said in subscriber.statuses()] == [
        ("cam1", "reconnecting", "timed out")
    ]


def test_the_timeout_error_of_info_names_the_camera(subscribe):
    with pytest.raises(TimeoutError, match="no info about camera 'nowhere'"):
        subscribe().info("nowhere", timeout_s=0.01)


def test_one_subscriber_reads_several_publishers(publisher):
    other = Publisher()
    with PoseSubscriber([publisher.endpoint, other.endpoint], timeout_s=WAIT_S) as subscriber:
        for camera, each in (("a", publisher), ("b", other)):
            each.wait_for(b"pose/")
            each.send(pose(camera))
        assert {next(subscriber).camera for _ in range(2)} == {"a", "b"}
    other.context.destroy(linger=0)


def test_a_message_of_another_schema_version_raises_a_wire_error(publisher, subscribe):
    subscriber = subscribe()
    publisher.socket.send_multipart([b"pose/cam0/", msgspec.msgpack.encode({"schema": "pose/2"})])
    with pytest.raises(wire.WireError, match="got 'pose/2', expected 'pose/1'"):
        next(subscriber)


def test_a_message_without_two_parts_raises_a_wire_error(publisher, subscribe):
    subscriber = subscribe()
    publisher.socket.send(b"pose/cam0/")
    with pytest.raises(wire.WireError, match="got 1, expected two"):
        next(subscriber)


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:5555",  # no transport
        "tcp://127.0.0.1",  # no port
        "tcp://127.0.0.1:99999",  # ZeroMQ accepts it and wraps it to another port
        "tcp://127.0.0.1:0",
        "tcp://*:5555",
        "http://127.0.0.1:5555",
        "ipc://",
        "",
    ],
)
def test_an_invalid_endpoint_raises_a_value_error_of_one_line(endpoint):
    with pytest.raises(ValueError, match=r"connect: got ") as caught:
        PoseSubscriber(endpoint)
    assert "\n" not in str(caught.value)


def test_an_empty_list_of_endpoints_or_cameras_is_rejected():
    for options in ({"connect": []}, {"cameras": []}):
        with pytest.raises(ValueError, match="got an empty list"):
            PoseSubscriber(**options)


def test_closing_twice_is_safe_and_reading_afterwards_raises(subscribe):
    subscriber = subscribe()
    subscriber.close()
    subscriber.close()
    with pytest.raises(ValueError, match="closed"):
        next(subscriber)


def test_the_client_imports_none_of_the_pipelines_libraries():
    program = """
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        package = name.split(".")[0]
        if package not in {"realtime", "zmq", "msgspec", "numpy"} | sys.stdlib_module_names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled())
import realtime.client
ours = {name.split(".")[1] for name in sys.modules if name.startswith("realtime.")}
assert ours == {"client", "printable", "stdio", "wire"}, ours
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=WAIT_S)


# ---- python -m realtime.client


def start(*arguments):
    command = [sys.executable, "-m", "realtime.client", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_json_prints_the_json_form_and_stops_after_count_lines(publisher):
    program = start("--connect", publisher.endpoint, "--json", "--count", "2", "--timeout", str(WAIT_S))
    publisher.wait_for(b"pose/")
    sent = [pose(seq=seq) for seq in range(4)]
    for message in sent:
        publisher.send(message)
    out, errors = program.communicate(timeout=WAIT_S)
    assert (program.returncode, errors) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [json.loads(wire.encode(m, "json")) for m in sent[:2]]


def test_without_json_it_prints_readable_lines(publisher):
    program = start("--connect", publisher.endpoint, "--camera", "cam0", "--count", "2")
    publisher.wait_for(b"pose/cam0/")
    publisher.send(pose(seq=4))
    publisher.send(pose(seq=5, n=0))
    out, _ = program.communicate(timeout=WAIT_S)
    first, second = out.splitlines()
    assert re.fullmatch(r"cam0 frame 4: id 1 \(0\.50\), id 2 \(0\.50\), -?\d+ ms old", first)
    assert re.fullmatch(r"cam0 frame 5: no people, -?\d+ ms old", second)


def test_status_prints_the_state_and_counters_of_the_cameras(publisher):
    for mode in ([], ["--json"]):
        program = start("--connect", publisher.endpoint, "--status", "--count", "1", *mode)
        publisher.wait_for(b"pose/")
        publisher.topics.clear()
        publisher.send(pose())
        recording = {"written": 1, "lost": 7, "error": "No space left on device"}
        publisher.send(status(state="failed", reason="login failed", recording=recording))
        out, errors = program.communicate(timeout=WAIT_S)
        assert (program.returncode, errors) == (0, "")
        if mode:
            assert json.loads(out)["reason"] == "login failed"
        else:
            counts = "3 captured, 1 dropped, 2 published, recording: 7 lines lost (No space left on device)"
            assert out == f"cam0 failed (login failed): 10.0 fps, {counts}\n"


FORGED = "cam0\nforged \x1b[31m\x9b\u2028\u202e"
SEEN = r"cam0\nforged \x1b[31m\x9b\u2028\u202e"


@pytest.mark.parametrize(
    ("mode", "message", "printed"),
    [
        ([], pose(camera=FORGED, n=0), f"{SEEN} frame "),
        (["--status"], status(camera="a", reason=FORGED), f"a live ({SEEN})"),
        (["--topics"], pose(camera=FORGED), f"pose/{SEEN}/\n"),
        (["--json"], pose(camera=FORGED), json.dumps(FORGED)),
        (["--json", "--status"], status(reason=FORGED), json.dumps(FORGED)),
        (["--json"], pose(camera="Tür"), "Tür"),  # letters stay
    ],
)
def test_what_a_strange_publisher_says_stays_on_one_line(publisher, capfdbinary, mode, message, printed):
    topic = b"" if "--topics" in mode else b"pose/"
    sender = threading.Thread(target=lambda: (publisher.wait_for(topic), publisher.send(message)))
    sender.start()
    assert main(["--connect", publisher.endpoint, "--count", "1", "--timeout", str(WAIT_S), *mode]) == 0
    sender.join()
    out = capfdbinary.readouterr().out.decode()
    assert printed in out
    assert out.removesuffix("\n").isprintable()


def test_an_error_about_what_a_strange_publisher_says_is_one_line(capfd, monkeypatch):
    def fail(*given):
        raise wire.WireError(f"topic: got {FORGED}")

    monkeypatch.setattr("realtime.wire.subscriber._messages", fail)
    assert main([]) == 1
    assert capfd.readouterr().err == f"topic: got {SEEN}\n"
    with pytest.raises(SystemExit):
        main([f"--{FORGED}"])
    assert capfd.readouterr().err.endswith(f"error: unrecognized arguments: --{SEEN}\n")


@pytest.mark.parametrize("seconds", ["nan", "-1", "0", "1e30", "soon"])
def test_an_invalid_timeout_is_rejected(seconds, capfd):
    with pytest.raises(SystemExit) as left:
        main(["--timeout", seconds])
    assert left.value.code == 2
    assert f"got '{seconds}', expected seconds" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_prints_one_line_and_exits_with_1(publisher):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        program = subprocess.Popen(
            [sys.executable, "-m", "realtime.client", "--connect", publisher.endpoint], cwd=ROOT, stdout=full,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    publisher.wait_for(b"pose/")
    publisher.send(pose())
    _, errors = program.communicate(timeout=WAIT_S)
    assert (program.returncode, errors) == (1, "standard output can't be written: No space left on device\n")


def test_topics_prints_each_topic_once(publisher):
    program = start("--connect", publisher.endpoint, "--topics", "--count", "2")
    publisher.wait_for(b"")
    for message in (pose(seq=0), pose(seq=1), info()):
        publisher.send(message)
    out, _ = program.communicate(timeout=WAIT_S)
    assert out.splitlines() == ["pose/cam0/", "info/cam0/"]


@pytest.mark.parametrize("mode", ["--json", "--topics"])
def test_a_timeout_prints_one_line_and_exits_with_1(publisher, capfd, mode):
    assert main(["--connect", publisher.endpoint, "--timeout", "0.01", mode]) == 1
    out, errors = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"no.* from tcp://.* for 0\.01 s.*\n", errors)


def test_an_invalid_endpoint_prints_one_line_and_exits_with_2(capfd):
    assert main(["--connect", "tcp://nowhere"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_ctrl_c_exits_with_0_and_prints_nothing(publisher):
    program = start("--connect", publisher.endpoint, "--json")
    publisher.wait_for(b"pose/")
    publisher.send(pose())
    program.stdout.readline()
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=WAIT_S)
    assert (program.returncode, errors) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe behaves differently on Windows")
def test_a_closed_pipe_ends_the_program_without_an_error(publisher):
    program = start("--connect", publisher.endpoint, "--json")
    publisher.wait_for(b"pose/")
    publisher.send(pose())
    program.stdout.readline()
    program.stdout.close()
    publisher.send(pose(seq=1))
    assert program.wait(WAIT_S) == 0
    assert program.stderr.read() == ""
    program.stderr.close()


def test_the_example_script_prints_the_stream(publisher):
    code = (ROOT / "examples" / "print_stream.py").read_text(encoding="utf-8")
    assert "tcp://127.0.0.1:5555" in code
    command = [sys.executable, "-u", "-c", code.replace("tcp://127.0.0.1:5555", publisher.endpoint)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        publisher.wait_for(b"pose/")
        publisher.send(pose())
        line = program.stdout.readline()
        program.kill()
    assert line == "cam0 [1 2] (2, 17, 3)\n"


@pytest.mark.parametrize(
    ("documented", "topic", "expected"),
    [
        (client, b"pose/", "cam0 [1 2] (2, 17, 3)\n"),
        (PoseSubscriber, b"pose/cam0/", "person 1: nose at (2.5, 2.5), score 0.25\n"),
    ],
    ids=["of_the_module", "of_PoseSubscriber"],
)
def test_the_code_in_the_docstring_reads_the_stream(publisher, documented, topic, expected):
    # The docstring ends with the code.
    code = re.search(r"^ *from realtime\.client import .*", documented.__doc__, re.MULTILINE | re.DOTALL)[0]
    assert "tcp://127.0.0.1:5555" in code
    code = textwrap.dedent(code).replace("tcp://127.0.0.1:5555", publisher.endpoint)
    with subprocess.Popen([sys.executable, "-u", "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        publisher.wait_for(topic)
        publisher.send(info())
        publisher.send(pose())
        line = program.stdout.readline()
        program.kill()
    assert line == expected
