"""The fault cases of peers that no reader would be: floods, short connections, port scans: `make faults`.

The numbers in the test names are the cases of the table in docs/reliability.md.
"""

from __future__ import annotations

import itertools
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from realtime import keys
from realtime.client import PoseSubscriber
from realtime.config import PublishConfig
from realtime.observe.metrics import StageMeter
from realtime.observe.status import CameraStatus
from realtime.publish.audience import Audience
from realtime.publish.purpose import PICTURES, POSES, Purpose
from realtime.publish.socket import PublishSocket
from realtime.publish.stage import PublishStage, StreamInfo
from realtime.runtime.channel import Channel
from realtime.runtime.loop import run_stage
from realtime.runtime.watch import Unwatched
from realtime.skeleton import COCO17
from realtime.types import Poses
from realtime.wire import reading
from tests.builders import make_frame
from tests.doubles import FakeDoor

from . import rawpeer
from .rig import Program

pytestmark = pytest.mark.faults

DEMO = "--source", "demo", "--realtime", "--loop"
NO_KEYS = {"curve_secret": None, "curve_server": None}
# Each flood lasts this long; all kinds take a minute.
FLOOD_S = 4.0


class Reader:
    """A healthy reader: notes when each message of a topic arrives, for the duration of a `with` block."""

    def __init__(self, endpoint: str, topic: bytes, **key_files: Path) -> None:
        self.at_s: list[float] = []
        keys = reading.load_keys(**NO_KEYS | key_files)
        self._context = zmq.Context()
        self._socket = reading.open_socket(self._context, endpoint, [topic], keys)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._context.destroy(linger=0)

    def _read(self) -> None:
        while not self._over.is_set():
            if self._socket.poll(200):
                self._socket.recv_multipart()
                self.at_s.append(time.monotonic())

    def longest_gap_s(self, since_s: float) -> float:
        times = [since_s, *(at_s for at_s in self.at_s.copy() if at_s > since_s), time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(times))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("yolov8n")
@pytest.mark.parametrize("stream", ["poses", "pictures"])
@pytest.mark.parametrize("flooder", ["no keys", "keys, flooder without a key", "keys, flooder with a key"])
def test_42_floods_of_all_kinds_disturb_no_reader(flooder, stream, tmp_path, figure):
    arguments, reader_keys, folder = [], {}, None
    if flooder != "no keys":
        keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader")])
        arguments = ["--publish.curve-secret", str(tmp_path / "publisher.key_secret")]
        secret = tmp_path / "clients/reader.key_secret"
        reader_keys = {"curve_secret": secret, "curve_server": tmp_path / "publisher.key"}
        if flooder == "keys, flooder with a key":
            folder = tmp_path
            secret.rename(tmp_path / "reader.key_secret")
            reader_keys["curve_secret"] = tmp_path / "reader.key_secret"
    kinds = [*rawpeer.FLOODS, *([] if folder else rawpeer.OTHERS)]
    poses, pictures = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    flooded = pictures if stream == "pictures" else poses
    arguments += ["--publish.pictures", pictures]
    with (
        Program(*DEMO, *arguments, folder=tmp_path, endpoint=poses, keeps_bodies=False) as program,
        Reader(poses, b"pose/", **reader_keys) as reader,
        Reader(pictures, b"picture/cam0/320/", **reader_keys) as viewer,
    ):
        program.until(lambda: min(len(reader.at_s), len(viewer.at_s)) > 100, what="100 poses and 100 pictures")
        memory_mb, most_mb, gaps_s = program.resident_mb(), 0.0, {}
        for kind in kinds:
            began_s = time.monotonic()
            flood = rawpeer.start(kind, flooded, FLOOD_S, folder)
            try:
                while time.monotonic() < began_s + FLOOD_S + 1:
                    program.run_for(0.1)
                    most_mb = max(most_mb, program.resident_mb())
                assert flood.poll() in (None, 0), f"the flood {kind!r} failed"
            finally:
                flood.kill()
                flood.wait()
            gaps_s[kind] = max(reader.longest_gap_s(began_s), viewer.longest_gap_s(began_s))
            print(f"{stream}, {flooder}, {kind}: gap {gaps_s[kind]:.3f} s, memory +{most_mb - memory_mb:.1f} MB so far")
        floods = f"{len(kinds)} floods" + (" of pictures" if stream == "pictures" else "")
        worst = max(gaps_s, key=gaps_s.__getitem__)
        figure("42", f"{floods}, {flooder}: longest gap of a reader", gaps_s[worst], "s", at_most=1)
        figure("42", f"{floods}, {flooder}: memory growth", most_mb - memory_mb, "MB", at_most=50)
        code, took_s = program.end()
        figure("42", f"{floods}, {flooder}: program exits after", took_s, "s", at_most=3)
        assert code == 0
        assert not any("Traceback" in line for line in program.log)


class Publisher:
    """A socket and its audience, without the program."""

    def __init__(self, cameras: list[str], purpose: Purpose = POSES) -> None:
        self.socket = PublishSocket(PublishConfig(), ["tcp://127.0.0.1:*"], purpose)
        self.audience = Audience(self.socket, lambda: cameras)
        [self.endpoint] = self.socket.endpoints

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def run_until(self, condition: Callable[[], bool], most_s: float) -> float:
        """Publish 25 messages per second until a condition holds. Return how long (s) it took, or `most_s`."""
        began_s = time.monotonic()
        while not condition() and time.monotonic() < began_s + most_s:
            self.audience.listen()
            self.socket.send(b"pose/cam0/", b"x" * 200)
            time.sleep(0.04)
        return time.monotonic() - began_s


def test_42_a_reader_with_heartbeats_stays_while_many_short_subscribers_come_and_go(figure):
    arrived_s: list[float] = []
    with Publisher(["cam0"]) as publisher, zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.linger, reader.heartbeat_ivl, reader.heartbeat_timeout = 0, 100, 30_000
        for topic in (b"pose/", *(b"pose/camera-%03d/" % number + b"x" * 40 for number in range(60))):
            reader.subscribe(topic)
        reader.connect(publisher.endpoint)

        def receive() -> bool:
            while reader.poll(0):
                reader.recv_multipart()
                arrived_s.append(time.monotonic())
            return False

        publisher.run_until(receive, 1.5)
        flood = rawpeer.start("many short subscribers", publisher.endpoint, 8)
        publisher.run_until(receive, 10)
        flood.wait()
    gap_s = max(after - before for before, after in itertools.pairwise(arrived_s))
    figure("42", "120 short subscribers at a time: longest gap of a reader with heartbeats", gap_s, "s", at_most=1)


@pytest.mark.parametrize("purpose", [POSES, PICTURES], ids=["poses", "pictures"])
def test_42_twenty_readers_of_a_hundred_cameras_return_at_once(purpose, figure):
    cameras = [f"{number:064d}" for number in range(100)]
    topics = [topic for camera in cameras for topic in purpose.topics(camera)]
    with Publisher(cameras, purpose) as publisher, zmq.Context() as context:
        readers = [context.socket(zmq.SUB) for _ in range(20)]
        for reader in readers:
            reader.linger = 0
            for topic in topics:
                reader.subscribe(topic)
            reader.connect(publisher.endpoint)

        def are_all_subscribed() -> bool:
            for reader in readers:
                reader.poll(0)
            peers = publisher.socket.peers.connected().values()
            return sum(len(peer.topics) == len(topics) for peer in peers) == len(readers)

        took_s = publisher.run_until(are_all_subscribed, 20)
        for reader in readers:
            reader.close()
    what = f"20 readers of {'pictures' if purpose is PICTURES else '100 cameras'} return at once"
    figure("42", f"{what}: until all are subscribed", took_s, "s", at_most=5)


@pytest.mark.usefixtures("yolov8n")
def test_43_short_connections_while_the_models_load_do_not_hold_up_the_end(tmp_path, figure):
    port = free_port()
    with Program(*DEMO, folder=tmp_path, endpoint=f"tcp://127.0.0.1:{port}") as program:
        program.until_logged("publishing on")
        with ThreadPoolExecutor(20) as pool:  # at once, because some have to wait for a place in the backlog
            list(pool.map(lambda _: socket.create_connection(("127.0.0.1", port), timeout=5).close(), range(1100)))
        code, took_s = program.end(signal.SIGTERM)
        figure("43", "1,100 short connections while the models load: program exits after", took_s, "s", at_most=3)
        assert code == 0, program.log


def test_44_the_first_message_reaches_the_subscriber_that_was_waited_for(figure):
    """The stage alone, because 200 starts of the program would take a quarter of an hour."""
    arrived = 0
    for _ in range(200):
        config = PublishConfig(bind=["tcp://127.0.0.1:*"], wait_for_subscribers=1)
        server, status, door = PublishSocket(config), {"cam0": CameraStatus("cam0")}, FakeDoor()
        inbox: Channel[Poses] = Channel(10)
        info = StreamInfo("s", COCO17, "d", "p", "cpu", "none", "0")
        stage = PublishStage(server, config, info, lambda status=status: status, None, door, StageMeter())
        loop = {"tick": stage.tick, "tick_s": 0.05}
        thread = threading.Thread(target=run_stage, args=(stage, inbox, None, Unwatched()), kwargs=loop, daemon=True)
        for _ in range(5):
            socket.create_connection(("127.0.0.1", int(server.endpoints[0].rpartition(":")[2]))).close()
        thread.start()
        with PoseSubscriber(server.endpoints[0], timeout_s=10) as client:
            assert door.released.wait(10)
            inbox.put(Poses.empty(make_frame(0), 17))
            arrived += client.next_message().seq == 0
        inbox.close()
        thread.join(10)
        assert not thread.is_alive()
    figure("44", "200 starts with wait-for-subscribers 1: first messages that arrived", arrived, "", at_least=200)
