"""A recording that is replayed is the stream that was recorded: message for message, and in its time."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import msgspec
import numpy as np
import pytest
import zmq

from realtime import wire
from realtime.client import PoseSubscriber
from realtime.config import PublishConfig
from realtime.errors import ConfigError
from realtime.recordings import replay as module
from realtime.recordings.info import encode_infos
from realtime.recordings.reading import open_recording
from realtime.recordings.replay import Pace, Replay
from tests.clock import Clock
from tests.doubles import wait_until
from tests.recordings.recorded import lines, of_camera, record
from tests.wire.examples import INFO

ANY_PORT = PublishConfig(bind=["tcp://127.0.0.1:*"])
START_S = 1_800_000_000.0


class Sleeper(Clock):
    """A clock that a sleep sets forward, at once."""

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Sent:
    """Stands in for the stream: keeps the messages, each with the moment at which it was sent."""

    def __init__(self, clock: Sleeper) -> None:
        self.clock = clock
        self.messages: list[tuple[float, wire.PoseMessage]] = []
        self.then: Callable[[], object] = lambda: None  # called after each message
        self.restarted: list[str] = []
        self.swapped: list[tuple[int, int, int]] = []

    def send(self, topic: bytes, message: wire.PoseMessage) -> bool:
        assert topic == wire.pose_topic(message.camera)
        self.messages.append((self.clock.now_s - START_S, message))
        self.then()
        return True

    def readers(self) -> int:
        return 1

    def begin_again(self, camera: str) -> None:
        self.restarted.append(camera)

    def see(self, message: wire.PoseMessage, swapped: Iterable[tuple[int, int, int]] = ()) -> None:
        self.swapped += swapped

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    clock = Sleeper(START_S)
    sent = Sent(clock)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "Stream", lambda *arguments: sent)
    return sent


def replay(path: Path, **pace: object) -> Replay:
    return Replay(open_recording(path), ANY_PORT, Pace(**pace))


def plain(message: wire.PoseMessage) -> wire.PoseMessage:
    """The message without the fields that a replay changes."""
    return msgspec.structs.replace(message, session="", published_ns=0)


def unlike(messages: list[wire.PoseMessage]) -> list[wire.PoseMessage]:
    """The same messages as a file was processed: ten times as fast as it plays."""
    return [msgspec.structs.replace(each, captured_ns=10**18 + round(each.media_s * 1e8)) for each in messages]


@pytest.mark.parametrize("speed", [1.0, 10.0, 0.5])
@pytest.mark.parametrize("is_live", [True, False])
def test_each_message_is_sent_as_it_was_when_it_is_due(tmp_path: Path, sent: Sent, speed: float, is_live: bool) -> None:
    recorded = of_camera(30) if is_live else unlike(of_camera(30))
    replay(record(tmp_path / "x.jsonl", *recorded), speed=speed).run()
    assert [plain(message) for _, message in sent.messages] == [plain(message) for message in recorded]
    assert [at_s for at_s, _ in sent.messages] == pytest.approx([seq / 10 / speed for seq in range(30)], abs=1e-6)
    (session,) = {message.session for _, message in sent.messages}
    assert session != "s1"
    for at_s, message in sent.messages:
        assert message.published_ns == pytest.approx((START_S + at_s) * 1e9)


def test_the_info_tells_that_a_camera_is_a_file(tmp_path: Path, sent: Sent) -> None:
    """Even if it was processed as fast as it plays, so that the messages don't tell it."""
    recorded = of_camera(20)
    jittery = [msgspec.structs.replace(m, captured_ns=m.captured_ns + m.seq % 3 * 10**7) for m in recorded]
    path = record(tmp_path / "x.jsonl", *jittery)
    for live, late_s in ((False, 0.0), (True, 0.02)):
        path.with_name("x.info.json").write_bytes(encode_infos([msgspec.structs.replace(INFO, live=live)]))
        sent.messages.clear()
        begun_s = sent.clock.now_s - START_S
        replay(path).run()
        assert sent.messages[2][0] - begun_s == pytest.approx(0.2 + late_s, abs=1e-6)


def test_swaps_are_published_again_with_their_message(tmp_path: Path, sent: Sent) -> None:
    path = record(tmp_path / "x.jsonl", *of_camera(20))
    swaps = [(1, 2, 5), (1, 3, 12), (2, 3, 12)]
    path.with_name("x.info.json").write_bytes(encode_infos([msgspec.structs.replace(INFO, swaps=swaps)]))
    again = replay(path, from_s=1.0)
    again.run()
    assert sent.swapped == swaps[1:]
    assert again._describe("cam0").swaps is wire.UNSET


def test_a_part_begins_at_once_and_ends_before_its_end(tmp_path: Path, sent: Sent) -> None:
    replay(record(tmp_path / "x.jsonl", *of_camera(30)), from_s=1.0, to_s=1.5, speed=2.0).run()
    assert [message.seq for _, message in sent.messages] == [10, 11, 12, 13, 14]
    assert [at_s for at_s, _ in sent.messages] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2], abs=1e-6)


def test_a_part_without_messages_is_an_error_that_tells_the_length(tmp_path: Path, sent: Sent) -> None:
    with pytest.raises(ConfigError, match=r"x\.jsonl: nothing between --from 5 and --to inf: it ends after 3\.0 s"):
        replay(record(tmp_path / "x.jsonl", *of_camera(30)), from_s=5.0, loops=True).run()


def test_each_round_is_a_new_session_that_follows_at_once(tmp_path: Path, sent: Sent) -> None:
    running = replay(record(tmp_path / "x.jsonl", *of_camera(3)), loops=True)
    sent.then = lambda: running.stop() if len(sent.messages) == 8 else None
    running.run()
    assert [message.seq for _, message in sent.messages] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [at_s for at_s, _ in sent.messages] == pytest.approx([seq / 10 for seq in range(8)], abs=1e-6)
    sessions = [message.session for _, message in sent.messages]
    assert len(set(sessions)) == 3
    assert sessions[:3] == [sessions[0]] * 3
    assert len({message.captured_ns for _, message in sent.messages}) == 3  # as recorded


def test_a_recording_of_one_message_loops_without_spinning(tmp_path: Path, sent: Sent) -> None:
    running = replay(record(tmp_path / "x.jsonl", *of_camera(1)), loops=True)
    sent.then = lambda: running.stop() if len(sent.messages) == 5 else None
    running.run()
    assert sent.messages[-1][0] == pytest.approx(0.16)


def test_two_sessions_in_a_recording_stay_two(tmp_path: Path, sent: Sent) -> None:
    recorded = [*of_camera(2), *of_camera(2, session="s2")]
    replay(record(tmp_path / "x.jsonl", *recorded)).run()
    sessions = [message.session for _, message in sent.messages]
    assert sessions[0] == sessions[1] != sessions[2] == sessions[3]
    assert sent.restarted == ["cam0"]


@pytest.mark.parametrize(("is_live", "speed"), [(True, 1.0), (False, 1.0), (True, 4.0)])
def test_restamped_messages_were_captured_when_they_are_due(
    tmp_path: Path, sent: Sent, is_live: bool, speed: float
) -> None:
    recorded = of_camera(20) if is_live else unlike(of_camera(20))
    replay(record(tmp_path / "x.jsonl", *recorded), restamps=True, speed=speed).run()
    for at_s, message in sent.messages:
        assert message.captured_ns / 1e9 == pytest.approx(START_S + at_s, abs=1e-3)
    if is_live and speed == 1.0:
        assert len({m.captured_ns - r.captured_ns for (_, m), r in zip(sent.messages, recorded, strict=True)}) == 1


def test_a_long_pause_is_said(tmp_path: Path, sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    first, second = of_camera(2, fps=1 / 600)
    with caplog.at_level("INFO"):
        replay(record(tmp_path / "x.jsonl", first, second)).run()
    assert "the next message is due in 600 s" in caplog.text


def test_a_camera_that_cannot_be_read_is_left_out(tmp_path: Path, sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    newer = lines(*of_camera(5, "cam9")).replace(b"pose/1", b"pose/2")
    broken = lines(*of_camera(5, "cam8")).replace(b'"measured":[true,true]', b'"measured":[]')
    path = record(tmp_path / "x.jsonl", *of_camera(3), rest=newer + broken)
    with caplog.at_level("INFO"):
        running = replay(path)
        assert f"{path}: looking for its cameras in the whole file, because x.info.json does not" in caplog.text
        running.run()
    assert list(running._status) == ["cam0"]
    assert len(sent.messages) == 3
    assert "left out, as were 9 more lines" in caplog.text


def test_a_pipe_cannot_loop_and_an_empty_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "null.jsonl").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="a pipe, which can't be read again"):
        replay(tmp_path / "null.jsonl", loops=True)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ConfigError, match="empty"):
        replay(tmp_path / "empty.jsonl")


# ---- with real sockets


@pytest.fixture
def subscriber() -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.rcvtimeo = 10_000
        socket.rcvhwm = 10  # it holds little
        yield socket


def started(path: Path, config: dict[str, object] | None = None, **pace: object) -> tuple[Replay, threading.Thread]:
    # Over ipc, the system holds 200 kB for a reader; over TCP it may be megabytes.
    keys = {"bind": [f"ipc://{path.parent}/stream"], "wait_for_subscribers": 1} | (config or {})
    running = Replay(open_recording(path), PublishConfig(**keys), Pace(**pace))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    return running, thread


def test_a_plain_subscriber_reads_the_recording_without_a_loss(tmp_path: Path, subscriber: zmq.Socket[bytes]) -> None:
    """As fast as possible: more messages than all queues hold, of which none is lost."""
    recorded = [*of_camera(1500, n=8, k=17), *of_camera(3, "door", k=0)]
    path = record(tmp_path / "x.jsonl", *recorded)
    running, thread = started(path, speed=math.inf)
    subscriber.connect(running.endpoints[0])
    subscriber.subscribe(b"")
    poses, others = [], []
    while sum(message.get("state") == "ended" for message in others) < 2:
        topic, payload = subscriber.recv_multipart()
        message = msgpack.unpackb(payload)
        (poses if topic.startswith(b"pose/") else others).append(message)
    assert [message["camera"] for message in poses] == [message.camera for message in recorded]
    for got, message in zip(poses, recorded, strict=True):
        assert got | {"session": "s1", "published_ns": message.published_ns} == msgspec.to_builtins(
            message, builtin_types=(bytes,)
        ) | {"size": list(message.size)}
    assert np.frombuffer(poses[0]["keypoints"], "<f4").size == 8 * 17 * 3
    said = [(message["camera"], message.get("state", "info")) for message in others]
    for camera in ("cam0", "door"):
        states = [state for name, state in said if name == camera]
        assert {"info", "live", "ended"} <= set(states)
        assert states.index("info") < states.index("ended")
    assert {message["session"] for message in others} == {poses[0]["session"]}
    [info] = [m for m in others if m["schema"] == "info/1" and m["camera"] == "cam0"][:1]
    assert len(info["keypoint_names"]) == 17
    thread.join(10)
    assert not thread.is_alive()


def test_a_subscriber_that_stops_reading_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subscriber: zmq.Socket[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(module, "_PATIENT", replace(module._PATIENT, linger_ms=100))
    running, thread = started(record(tmp_path / "x.jsonl", *of_camera(400, n=50, k=17)), speed=math.inf)
    subscriber.connect(running.endpoints[0])
    subscriber.subscribe(b"")
    thread.join(20)
    assert not thread.is_alive()
    assert "a subscriber has read nothing for 0.1 s" in caplog.text


def test_our_subscriber_reads_it_and_a_stop_says_so(tmp_path: Path) -> None:
    path = record(tmp_path / "x.jsonl", *of_camera(50))
    path.with_name("x.info.json").write_bytes(encode_infos([INFO, msgspec.structs.replace(INFO, camera="other")]))
    running, thread = started(path, {"encoding": "json"}, speed=0.01)
    with PoseSubscriber(running.endpoints[0], timeout_s=10.0) as poses:
        pose = next(iter(poses))
        assert (pose.camera, pose.seq, len(pose)) == ("cam0", 0, 2)
        wait_until(lambda: poses.statuses(0.05) or poses.info("cam0"))
        running.stop()
        thread.join(10)
        assert not thread.is_alive()
    assert {camera: status.state for camera, status in running._status.items()} == {
        "cam0": ("ended", "stopped"), "other": ("ended", "stopped"),
    }  # fmt: skip
