import itertools
import re
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from realtime import wire
from realtime.client import PoseSubscriber
from realtime.wire import subscriber as client_module
from tests.wire.publisher import ROOT, WAIT_S, Publisher, info, pose, status


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

    def receive_a_status():
        nonlocal received
        received += 1
        publisher.send(status())
        while not receive():
            subscriber._connections.wait(None)
        return True

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


# ---- the end of the stream


def ended(reason=None, **changes):
    return status(state="ended", reason=reason, **changes)


def test_iteration_ends_with_the_stream_after_all_poses_that_were_received(publisher, subscribe):
    subscriber = subscribe()
    for message in (pose(seq=0), pose(seq=1), status(), ended()):
        publisher.send(message)
    publisher.close()
    assert [said.state for said in subscriber.statuses(WAIT_S)] == ["live"]  # receives the poses too
    assert [p.seq for p in subscriber] == [0, 1]
    assert subscriber.ended
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(subscriber)
    assert subscriber.latest(timeout_s=0.0) == {}
    assert [said.state for said in subscriber.statuses()] == ["ended"]


@pytest.mark.parametrize("method", ["latest", "statuses", "info"])
def test_a_call_that_waits_forever_returns_at_the_end(publisher, subscribe, method, monkeypatch):
    subscriber = subscribe()
    publisher.send(ended())
    publisher.close()
    if method == "info":
        with pytest.raises(TimeoutError, match=r"no info about camera 'cam0' .*: the run is over"):
            subscriber.info("cam0", timeout_s=WAIT_S)
    else:
        while not subscriber.ended:
            getattr(subscriber, method)(timeout_s=None)
        rests = []
        monkeypatch.setattr(client_module.time, "sleep", rests.append)
        getattr(subscriber, method)(timeout_s=None)
        assert rests[0] > 0  # a loop that doesn't ask `ended` doesn't spin


def test_a_reader_that_joins_late_hears_of_an_end_from_the_repeated_status(publisher, subscribe):
    subscriber = subscribe()
    for _ in range(3):
        publisher.send(ended())
    assert list(subscriber) == []


def test_a_connection_that_is_lost_before_the_end_raises_a_timeout_error_and_reading_can_continue(
    publish, publisher, subscribe
):
    subscriber = subscribe(lost_s=0.05)
    publisher.send(status())
    publisher.send(pose())
    publisher.close()
    assert next(subscriber).seq == 0
    for _ in range(2):
        with pytest.raises(TimeoutError, match="the connection was lost before the stream ended"):
            next(subscriber)
    again = publish(publisher.endpoint)
    again.wait_for(b"pose/")
    again.send(pose(seq=7, session="s2"))
    assert next(subscriber).seq == 7


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ({}, ended("stopped")),  # Ctrl-C
        ({}, ended("removed")),
        ({"until_end": False}, ended()),
        ({"until_end": False}, status()),  # kill -9
    ],
)
def test_a_reader_waits_for_the_next_run(publish, publisher, subscribe, options, last):
    subscriber = subscribe(lost_s=0.0, **options)
    publisher.send(pose())
    publisher.send(last)
    publisher.close()
    assert next(subscriber).session == "s1"
    subscriber._timeout_s = 0.05
    with pytest.raises(TimeoutError, match=r"for 0\.05 s"):
        next(subscriber)
    again = publish(publisher.endpoint)
    again.wait_for(b"pose/")
    subscriber._timeout_s = WAIT_S
    again.send(pose(session="s2"))
    assert next(subscriber).session == "s2"


def test_a_reader_that_is_slower_than_the_stream_loses_the_last_status_and_is_told(publisher, subscribe):
    publisher.socket.sndhwm = 16
    subscriber = subscribe(lost_s=0.05)
    publisher.send(status())
    large = wire.encode(pose(n=200), "msgpack")
    for _ in range(1500):  # 60 MB: more than fits into the queues and the buffers of the system
        publisher.socket.send_multipart([b"pose/cam0/", large])
    publisher.send(ended())
    publisher.close()
    with pytest.raises(TimeoutError, match="this reader was too slow and missed the last messages"):
        list(subscriber)


def test_an_endpoint_without_a_publisher_is_waited_for_after_the_end_of_another(publisher):
    with PoseSubscriber([publisher.endpoint, "tcp://127.0.0.1:1"], timeout_s=0.2) as subscriber:
        publisher.wait_for(b"pose/")
        for _ in range(3):
            publisher.send(ended())
        with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:1: no connection: is the publisher running"):
            next(subscriber)


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
assert ours == {"client", "home", "printable", "stdio", "track", "wire"}, ours  # track: an empty __init__.py
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=WAIT_S)
