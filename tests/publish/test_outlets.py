"""The publish stage with pictures and with private endpoints, observed by real subscribers."""

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq

from realtime import keys, wire
from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.observe.metrics import StageMeter
from realtime.observe.status import CameraStatus
from realtime.publish.draw import colour_of
from realtime.publish.outlets import open_outlets
from realtime.publish.purpose import PrivateEndpoints
from realtime.publish.stage import PublishStage, StreamInfo
from realtime.runtime.channel import Channel
from realtime.runtime.loop import run_stage
from realtime.runtime.watch import Unwatched
from realtime.skeleton import COCO17
from realtime.types import Poses
from tests.builders import make_frame, make_poses
from tests.doubles import FakeDoor, wait_until

ROOT = Path(__file__).parents[2]
ANY_PORT = "tcp://127.0.0.1:*"


class Running:
    """A publisher with all its outlets, as in the pipeline."""

    def __init__(self, config: PublishConfig, private: PrivateEndpoints | None = None) -> None:
        status = {"cam0": CameraStatus("cam0")}
        self.outlets = outlets = open_outlets(config, private, "abc", lambda: status)
        self.endpoint, self.pictures = outlets.sockets[0].endpoints[0], outlets.pictures
        self.inbox: Channel[Poses] = Channel(1000)
        self.door = FakeDoor()
        info = StreamInfo(
            "abc", COCO17, "d", "p", "cpu", "none", "0", pictures=self.pictures.endpoint if self.pictures else None
        )
        stage = PublishStage(
            outlets.sockets[0],
            config,
            info,
            lambda: status,
            None,
            self.door,
            StageMeter(),
            [self.pictures] if self.pictures else [],
            outlets.sockets[1:],
        )
        tick = {"tick": stage.tick, "tick_s": 0.01}
        self._threads = [threading.Thread(target=run_stage, args=(stage, self.inbox, None, Unwatched()), kwargs=tick)]
        if self.pictures:
            self._threads.append(threading.Thread(target=self.pictures.run))
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

    def make(endpoint: str | None, *prefixes: bytes) -> zmq.Socket[bytes]:
        socket = context.socket(zmq.SUB)
        socket.linger, socket.rcvtimeo = 0, 10_000
        for prefix in prefixes:
            socket.subscribe(prefix)
        socket.connect(endpoint)
        sockets.append(socket)
        return socket

    yield make
    context.destroy(linger=0)


def private_in(folder: Path) -> PrivateEndpoints:
    return PrivateEndpoints(f"ipc://{folder}/poses", f"ipc://{folder}/pictures")


def test_the_picture_has_the_seq_of_the_pose_of_its_frame(subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT], pictures=ANY_PORT, pictures_fps=60))
    poses = subscribe(run.endpoint, b"pose/", b"info/")
    info = wire.decode(*poses.recv_multipart())
    assert info.pictures == run.pictures.endpoint
    pictures = subscribe(info.pictures, b"picture/cam0/full/")
    shades: dict[int, int] = {}  # frame: grey level

    def publish() -> bool:
        number = len(shades)
        shades[number] = 20 * number % 256
        image = np.full((20, 40, 3), shades[number], np.uint8)
        run.inbox.put(Poses.empty(make_frame(number, image=image, epoch=1), 17))
        return bool(pictures.poll(1))

    wait_until(publish)
    picture = wire.decode(*pictures.recv_multipart())
    while (pose := wire.decode(*poses.recv_multipart())).schema != "pose/1" or pose.seq != picture.seq:
        pass
    run.end()
    assert (picture.session, picture.epoch, picture.frame) == (pose.session, pose.epoch, pose.frame)
    assert picture.captured_ns == pose.captured_ns
    shown = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert abs(int(shown[10, 20, 0]) - shades[pose.frame]) < 8


def test_a_private_reader_gets_every_message_without_a_key_and_is_not_waited_for(
    tmp_path: Path, subscribe: Callable
) -> None:
    keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader")])
    config = PublishConfig(
        bind=[ANY_PORT], curve_secret=tmp_path / "publisher.key_secret", wait_for_subscribers=1, encoding="json"
    )
    run = Running(config, private_in(tmp_path))
    reader = subscribe(f"ipc://{tmp_path}/poses", b"")
    assert reader.recv_multipart()[0] == b"info/cam0/"  # it has just joined
    run.inbox.put(Poses.empty(make_frame(0), 17))
    while not (message := reader.recv_multipart())[0].startswith(b"pose/"):
        pass
    assert wire.decode(*message).seq == 0
    assert not run.door.released.is_set()
    run.end()
    while not (
        (message := reader.recv_multipart())[0].startswith(b"status/") and wire.decode(*message).state == "ended"
    ):
        pass


def test_the_private_endpoint_of_pictures_is_not_announced(tmp_path: Path, subscribe: Callable) -> None:
    run = Running(PublishConfig(bind=[ANY_PORT], pictures_fps=60), private_in(tmp_path))
    assert wire.decode(*subscribe(run.endpoint, b"info/").recv_multipart()).pictures is None
    pictures = subscribe(f"ipc://{tmp_path}/pictures", b"picture/cam0/320/")
    wait_until(lambda: (run.inbox.put(Poses.empty(make_frame(0), 17)), pictures.poll(1))[1])
    run.end()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["poses", "pictures"])
def test_nothing_stays_bound_if_one_endpoint_is_taken(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("worth keeping")
    config = PublishConfig(bind=[f"ipc://{tmp_path}/stream"], pictures=f"ipc://{tmp_path}/public")
    with pytest.raises(OutputError, match=rf"^web: can't bind ipc:.*/{taken}: the path is not that of a socket"):
        open_outlets(config, private_in(tmp_path), "abc", list)
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    (tmp_path / taken).unlink()
    open_outlets(config, private_in(tmp_path), "abc", list).close()


def test_the_example_draws_poses_over_the_picture_of_their_frame(tmp_path: Path) -> None:
    keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader")])
    publisher, reader = tmp_path / "publisher.key_secret", tmp_path / "clients/reader.key_secret"
    run = Running(
        PublishConfig(bind=[ANY_PORT], pictures=ANY_PORT, curve_secret=publisher, curve_clients=tmp_path / "clients")
    )
    saved, number = tmp_path / "drawn.png", itertools.count()
    command = [sys.executable, "examples/draw_pictures.py", "--connect", run.endpoint, "--save", str(saved)]
    command += ["--curve-secret", str(reader), "--curve-server", str(tmp_path / "publisher.key")]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}) as example:

        def publish() -> bool:
            frame = make_frame(next(number), image=np.full((720, 1280, 3), 100, np.uint8))
            run.inbox.put(make_poses(frame, np.zeros((1, 17, 2)), boxes=(200, 100, 600, 700), keypoint_scores=0))
            time.sleep(0.01)  # a camera's pace: the example reads each pose
            return example.poll() is not None

        wait_until(publish)
    run.end()
    assert example.returncode == 0
    shown = cv2.imread(str(saved))
    assert shown.shape == (360, 640, 3)
    box, grey = colour_of(1), (100, 100, 100)  # the corners of a person without visible keypoints
    np.testing.assert_allclose(shown[[60, 60, 200], [100, 300, 200]], [box, box, grey], atol=8)


def test_a_local_reader_needs_no_key_and_is_waited_for(tmp_path: Path, subscribe: Callable) -> None:
    keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader")])
    config = PublishConfig(
        bind=[ANY_PORT],
        local_bind=[f"ipc://{tmp_path}/local", ANY_PORT],
        curve_secret=tmp_path / "publisher.key_secret",
        wait_for_subscribers=2,
    )
    run = Running(config, private_in(tmp_path))
    private, first = subscribe(f"ipc://{tmp_path}/poses", b""), subscribe(f"ipc://{tmp_path}/local", b"pose/")
    assert private.recv_multipart()[0] == b"info/cam0/"
    assert not run.door.released.wait(0)
    second = subscribe(run.outlets.sockets[1].endpoints[1], b"pose/")
    assert run.door.released.wait(10)
    run.inbox.put(Poses.empty(make_frame(0), 17))
    assert [wire.decode(*reader.recv_multipart()).seq for reader in (first, second)] == [0, 0]
    run.end()
    assert not (tmp_path / "local").exists()


def test_the_log_tells_who_can_read_each_endpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader"), str(tmp_path / "clients/other")])
    before = os.umask(0o002)
    try:
        with caplog.at_level("DEBUG", "realtime.publish.socket"):
            local, secret = [f"ipc://{tmp_path}/local"], tmp_path / "publisher.key_secret"
            config = PublishConfig(bind=["tcp://*:*"], local_bind=local, pictures=ANY_PORT, curve_secret=secret)
            open_outlets(config, private_in(tmp_path), "abc", list).close()
            open_outlets(PublishConfig(bind=["tcp://*:*", ANY_PORT], allow_insecure=True), None, "abc", list).close()
    finally:
        os.umask(before)
    with_keys = f"readable with one of 2 keys in {tmp_path}/clients"
    by_mode = "readable by the users who may open the file (mode 775)"
    assert [re.sub(r":\d+,", ":PORT,", message) for message in caplog.messages] == [
        f"publishing on tcp://0.0.0.0:PORT, {with_keys}",
        f"publishing on ipc://{tmp_path}/local, {by_mode}",
        f"publishing on ipc://{tmp_path}/poses, {by_mode}",
        f"sending pictures on tcp://127.0.0.1:PORT, {with_keys}",
        f"sending pictures on ipc://{tmp_path}/pictures, {by_mode}",
        "publishing on tcp://0.0.0.0:PORT, readable by anyone on the network (not encrypted)",
        "publishing on tcp://127.0.0.1:PORT, readable by every program on this machine",
    ]
    assert [record.levelname for record in caplog.records][2::2] == ["DEBUG", "DEBUG", "INFO"]
