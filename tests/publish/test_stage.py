"""The publish stage and the recorder, observed by real subscribers."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from realtime import wire
from realtime.config import PublishConfig, TrackerConfig
from realtime.errors import OutputError
from realtime.observe.metrics import StageMeter
from realtime.observe.status import CameraStatus
from realtime.publish.audience import Presence
from realtime.publish.record import Recorder
from realtime.publish.socket import PublishSocket
from realtime.publish.stage import PublishStage, StreamInfo
from realtime.recordings.info import read_infos
from realtime.runtime.channel import Channel
from realtime.runtime.loop import run_stage
from realtime.runtime.watch import Unwatched
from realtime.skeleton import COCO17
from realtime.track.stage import TrackStage
from realtime.types import Frame, Poses
from tests.builders import make_detections, make_frame, make_poses
from tests.doubles import FakeDoor
from tests.faults.rawpeer import RawPeer

ANY_PORT = "tcp://127.0.0.1:*"


class Running:
    """A publisher on a thread of its own, as in the pipeline, and the endpoint it is bound to."""

    def __init__(
        self,
        config: PublishConfig,
        cameras: tuple[str, ...] = ("cam0",),
        record: Path | None = None,
        socket: PublishSocket | None = None,
    ) -> None:
        socket = socket or PublishSocket(config)
        [self.endpoint] = socket.endpoints
        self.status = {camera: CameraStatus(camera) for camera in cameras}
        self.inbox: Channel[Poses] = Channel(1000)
        self.door, self.meter = FakeDoor(), StageMeter()
        recorder = Recorder(record) if record else None
        info = StreamInfo("abc", COCO17, "yolov8n", "tiny", "cpu", "none", "0")
        stage = PublishStage(socket, config, info, lambda: self.status, recorder, self.door, self.meter)
        tick = {"tick": stage.tick, "tick_s": 0.01}
        self._threads = [threading.Thread(target=run_stage, args=(stage, self.inbox, None, Unwatched()), kwargs=tick)]
        if recorder:
            self._threads.append(threading.Thread(target=recorder.run))
        for thread in self._threads:
            thread.daemon = True  # a test that fails may leave it running
            thread.start()

    def end(self) -> None:
        self.inbox.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = []  # keeps them open: a socket without a reference is closed

    def make(endpoint: str, *prefixes: bytes) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        for prefix in prefixes:
            socket.subscribe(prefix)
        socket.connect(endpoint)
        sockets.append(socket)
        return socket

    yield make
    context.destroy(linger=0)


def people(frame: Frame, count: int = 2) -> Poses:
    random = np.random.default_rng(frame.index)
    scores = random.uniform(0, 1, (count, 17))
    return make_poses(frame, random.uniform(0, 100, (count, 17, 2)), (10, 20, 50, 90), keypoint_scores=scores)


def wait_until_counted(run: Running, subscriber: zmq.Socket[bytes], camera: str) -> None:
    """Wait until the publisher has counted this subscriber, whose last subscription is to info messages."""
    subscriber.recv_multipart()  # sent when it joined
    run.status[camera].describe((640, 480), 25.0)  # sent only after the subscribers were counted
    while wire.decode(*subscriber.recv_multipart()).size is None:
        pass


def test_two_equal_subscribers_both_receive_every_message_from_the_first(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT], wait_for_subscribers=2))
    first = subscribe(run.endpoint, b"pose/", b"info/")
    wait_until_counted(run, first, "cam0")
    assert not run.door.released.is_set()
    second = subscribe(run.endpoint, b"pose/")
    assert run.door.released.wait(10)
    sent = [people(make_frame(index)) for index in range(5)]
    for poses in sent:
        run.inbox.put(poses)
    for subscriber in (first, second):
        for index, poses in enumerate(sent):
            while not (received := subscriber.recv_multipart())[0].startswith(b"pose/"):
                pass
            topic, payload = received
            message = wire.decode(topic, payload)
            assert (topic, message.seq, message.frame) == (b"pose/cam0/", index, index)
            np.testing.assert_array_equal(message.keypoints_array()[..., :2], poses.keypoints)
            np.testing.assert_array_equal(message.keypoints_array()[..., 2], poses.keypoint_scores)
            assert set(message.timing_ms) == {"wait"}
    run.end()
    assert run.door.left == ["cam0"] * 5


def test_a_subscriber_that_connects_before_the_stage_exists_counts(subscribe: Callable) -> None:
    """The port is bound before models are loaded, so subscribers may connect long before anything is published."""
    config = PublishConfig(bind=[ANY_PORT], wait_for_subscribers=1)
    socket = PublishSocket(config)
    subscriber = subscribe(socket.endpoints[0], b"pose/", b"x")
    while not subscriber.poll(10):
        socket.send(b"x", b"")  # arrives once the subscription to x, which is the last one, does
    run = Running(config, socket=socket)
    assert run.door.released.wait(10)
    run.end()


def test_a_subscriber_with_several_topics_counts_once(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT], wait_for_subscribers=2), cameras=("a", "b"))
    subscriber = subscribe(run.endpoint, b"pose/a/", b"pose/b/", b"info/")
    wait_until_counted(run, subscriber, "a")
    assert not run.door.released.is_set()
    run.end()


def test_info_is_sent_when_a_subscriber_joins_and_when_the_size_is_known(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT]))
    subscriber = subscribe(run.endpoint, b"info/cam0/")
    assert wire.decode(*subscriber.recv_multipart()).keypoint_names == list(COCO17.keypoint_names)
    run.status["cam0"].describe((640, 480), 25.0)
    while (message := wire.decode(*subscriber.recv_multipart())).size is None:
        pass
    assert (message.size, message.source_fps) == ((640, 480), 25.0)
    run.end()


def test_a_tick_sends_at_most_one_info_message_per_camera_for_any_number_of_subscriptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, status = PublishConfig(bind=[ANY_PORT]), {camera: CameraStatus(camera) for camera in ("a", "b")}
    info = StreamInfo("abc", COCO17, "yolov8n", "tiny", "cpu", "none", "0")
    socket = PublishSocket(config)
    stage = PublishStage(socket, config, info, lambda: status, None, FakeDoor(), StageMeter())
    sent: list[bytes] = []
    send = socket.send
    monkeypatch.setattr(socket, "send", lambda topic, payload: (sent.append(topic), send(topic, payload)))
    stage.tick()  # the periodic messages
    with RawPeer(socket.endpoints[0]) as peer:
        for prefix in [b"info/", b"info/a/", b"", b"i", b"info/b/"] * 10:
            peer.send(b"\x01" + prefix)
        most = 0
        while sent.count(b"info/b/") < 3:
            sent_before = len(sent)
            stage.tick()
            infos = [topic for topic in sent[sent_before:] if topic.startswith(b"info/")]
            assert len(infos) == len(set(infos))
            most = max(most, len(infos))
            if not infos:
                peer.send(b"\x01info/")
    stage.close()
    assert most == 2


def test_a_change_of_state_is_published_and_the_last_status_has_the_final_counts(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT]))
    subscriber = subscribe(run.endpoint, b"status/")
    assert wire.decode(*subscriber.recv_multipart()).state == "starting"
    run.status["cam0"].set_state("reconnecting", "timed out")
    while (message := wire.decode(*subscriber.recv_multipart())).state == "starting":
        pass
    assert (message.state, message.reason) == ("reconnecting", "timed out")
    for _ in range(3):
        run.status["cam0"].count_captured()
    run.inbox.put(people(make_frame(0)))
    run.end()
    while (message := wire.decode(*subscriber.recv_multipart())).state != "ended":
        pass
    assert (message.captured, message.dropped, message.published) == (3, 2, 1)


def test_a_change_of_activity_is_published_at_once(subscribe: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.publish.stream._STATUS_EVERY_S", 1e6)
    run = Running(PublishConfig(bind=[ANY_PORT]))
    subscriber = subscribe(run.endpoint, b"status/", b"info/")
    while not subscriber.recv_multipart()[0].startswith(b"info/"):
        pass  # once it gets info messages, it gets every status message too
    for activity in ("active", "empty", "active", None):
        run.status["cam0"].activity = activity
        expected = activity or wire.UNSET
        while getattr(wire.decode(*subscriber.recv_multipart()), "activity", "of an info message") != expected:
            pass
    run.end()


def test_a_status_tells_drops_and_losses_by_their_causes_the_times_of_the_stages_and_what_the_process_uses(
    subscribe: Callable,
) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT]))
    subscriber = subscribe(run.endpoint, b"status/")
    assert wire.decode(*subscriber.recv_multipart()).state == "starting"
    status, began_ns = run.status["cam0"], time.time_ns()
    status.set_state("live")
    for _ in range(4):
        status.count_captured()
    status.count_dropped("newer frame")
    status.set_state("reconnecting", "timed out")
    run.meter.measure("detect", 1, 0.02)
    run.meter.waited("detect", 0.005)
    run.inbox.put(people(make_frame(0)))
    run.end()
    while (message := wire.decode(*subscriber.recv_multipart())).state != "ended":
        pass
    assert message.drops == {"newer frame": 1, "stopping": 2}
    assert sum(message.drops.values()) == message.dropped
    assert message.reconnects == {"timed out": 1}
    assert message.stages["detect"] == pytest.approx({"p50": 20.0, "p95": 20.0, "wait_p95": 5.0}, rel=0.02)
    assert began_ns <= message.since_ns <= time.time_ns()
    assert message.process.cpu_s > 0
    assert message.process.rss_mb > 10


def test_json_payloads_are_plain_json(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT], encoding="json", wait_for_subscribers=1))
    subscriber = subscribe(run.endpoint, b"pose/")
    assert run.door.released.wait(10)
    run.inbox.put(people(make_frame(0)))
    data = msgspec.json.decode(subscriber.recv_multipart()[1])
    assert np.shape(data["keypoints"]) == (2, 17, 3)
    run.end()


def test_the_recording_has_every_message_in_order(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("of an earlier run\n" * 1000)
    run = Running(PublishConfig(bind=[ANY_PORT]), record=path)
    for index in range(300):
        run.inbox.put(people(make_frame(index), count=index % 3))
    run.end()
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert [line["seq"] for line in lines] == list(range(300))
    assert all(len(line["keypoints"]) == line["seq"] % 3 for line in lines)


def test_the_status_says_how_far_the_recording_has_come(tmp_path: Path, subscribe: Callable) -> None:
    path = tmp_path / "x.jsonl"
    for record, told in ((path, wire.Recording(written=5, lost=0, error=None)), (None, None)):
        run = Running(PublishConfig(bind=[ANY_PORT]), record=record)
        subscriber = subscribe(run.endpoint, b"status/")
        subscriber.recv_multipart()
        for index in range(5):
            run.inbox.put(people(make_frame(index)))
        run.end()
        while (message := wire.decode(*subscriber.recv_multipart())).state != "ended":
            pass
        assert message.recording == told


def test_a_device_can_be_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.symlink_to("/dev/null")
    run = Running(PublishConfig(bind=[ANY_PORT]), record=path)
    run.inbox.put(people(make_frame(0), count=1))
    run.end()


def test_a_port_in_use_is_an_error_until_it_is_free_again() -> None:
    socket = PublishSocket(PublishConfig(bind=[ANY_PORT]))
    [endpoint] = socket.endpoints
    with pytest.raises(OutputError, match="already in use"):
        PublishSocket(PublishConfig(bind=[endpoint]))
    socket.close()
    PublishSocket(PublishConfig(bind=[endpoint])).close()  # now it is free again


def test_a_subscriber_that_never_reads_does_not_delay_the_end(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT], wait_for_subscribers=1))
    subscribe(run.endpoint, b"")
    assert run.door.released.wait(10)
    for index in range(900):
        run.inbox.put(people(make_frame(index), count=20))
    run.end()
    assert len(run.door.left) == 900


def test_keypoints_before_smoothing_are_published_only_if_configured(subscribe: Callable) -> None:
    for wanted in (True, False):
        run = Running(PublishConfig(bind=[ANY_PORT], raw_keypoints=wanted, wait_for_subscribers=1))
        subscriber = subscribe(run.endpoint, b"pose/")
        assert run.door.released.wait(10)
        poses = people(make_frame(0))
        raw = poses.keypoints + np.float32(1.0)
        raw[0, 0] = np.nan
        run.inbox.put(replace(poses, raw=raw))
        got = wire.decode(*subscriber.recv_multipart()).raw_array()
        run.end()
        if wanted:
            expected = np.where(np.isfinite(raw), raw, poses.keypoints)
            np.testing.assert_array_equal(got, expected)
        else:
            assert got is None


def test_started_and_ended_tracks_are_reported_once(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT]))
    subscriber = subscribe(run.endpoint, b"status/")
    subscriber.recv_multipart()
    seen = {0: ([1, 2], ()), 1: ([1], ()), 2: ([1], (2,)), 3: ([1, 3], ()), 4: ([1], (9,))}  # frame: (ids, ended)
    for index, (ids, gone) in seen.items():
        poses = people(make_frame(index), len(ids))
        run.inbox.put(replace(poses, track_ids=np.array(ids, np.int64), ended=gone))
    run.inbox.put(people(replace(make_frame(5), epoch=1), 1))
    started, ended = [], []
    while len(ended) < 3 or len(started) < 4:
        status = wire.decode(*subscriber.recv_multipart())
        started += status.tracks_started
        ended += status.tracks_ended
    run.end()
    assert started == [1, 2, 3, 1]  # the last one belongs to the next epoch
    assert ended == [2, 1, 3]


def test_swapped_ids_are_reported_once_and_kept_beside_the_recording(subscribe: Callable, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    run = Running(PublishConfig(bind=[ANY_PORT]), record=path)
    subscriber = subscribe(run.endpoint, b"status/")
    subscriber.recv_multipart()
    for index, swapped in enumerate([(), (), ((1, 2),), (), ((1, 2), (3, 4))]):
        run.inbox.put(replace(people(make_frame(index), 4), swapped=swapped))
    swaps = []
    while len(swaps) < 3:
        swaps += wire.decode(*subscriber.recv_multipart()).tracks_swapped
    assert wire.decode(*subscribe(run.endpoint, b"info/").recv_multipart()).swaps is wire.UNSET
    run.end()
    assert swaps == [(1, 2, 2), (1, 2, 4), (3, 4, 4)]
    assert read_infos(tmp_path / "x.info.json")["cam0"].swaps == swaps


def test_the_final_status_of_a_removed_camera_ends_its_tracks_once(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT]))
    subscriber, camera = subscribe(run.endpoint, b"status/"), run.status["cam0"]
    subscriber.recv_multipart()
    started, ended = [], []

    def until(state: str) -> None:
        while True:
            status = wire.decode(*subscriber.recv_multipart())
            started.extend(status.tracks_started)
            ended.extend(status.tracks_ended)
            if status.state == state:
                return

    camera.set_state("live")
    camera.count_captured()
    run.inbox.put(people(make_frame(0), 2))
    until("live")
    camera.remove()
    until("ended")
    assert (started, ended) == ([1, 2], [1, 2])
    camera.restart()
    camera.set_state("live")
    camera.count_captured()
    run.inbox.put(replace(people(make_frame(1, epoch=1), 2), track_ids=np.array([3, 4])))
    while len(started) < 4:
        until("live")
    run.end()
    until("ended")
    assert (started, ended) == ([1, 2, 3, 4], [1, 2])


@pytest.mark.parametrize("buffer_s", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_track_reported_as_ended_never_comes_back(buffer_s: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    stage, presence, time_s = TrackStage(TrackerConfig(buffer_s=buffer_s)), Presence(), 0.0
    ended: set[int] = set()
    came_back = 0
    away_until_s = np.zeros(4)
    for _ in range(400):
        time_s += random.choice([0.033, 0.1, 0.7], p=[0.8, 0.18, 0.02])
        leaves = (random.random(4) < 0.03) & (away_until_s < time_s)
        away_until_s[leaves] = time_s + random.uniform(0.1, 4.0, leaves.sum())
        there = np.flatnonzero(away_until_s < time_s)
        boxes = [(100.0 * i, 50.0, 100.0 * i + 60, 250.0) for i in there]
        [tracks] = stage.process([make_detections(make_frame(time_s=time_s), boxes)])
        ids = tracks.track_ids.tolist()
        assert not ended & set(ids)
        presence.see(0, ids, tracks.ended)
        started, gone, _ = presence.news()
        ended |= set(gone)
        came_back += len(ids) - len(started)
    assert len(ended) > 5
    assert came_back > 100
