"""The connections to the stream's socket and the count of readers, with peers that speak ZMTP over plain sockets."""

import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from realtime import keys, wire
from realtime.config import PublishConfig
from realtime.publish import peer as module
from realtime.publish.audience import Audience, covers
from realtime.publish.connection import open_connection, received_bytes
from realtime.publish.peer import BURST_BYTES, Peer
from realtime.publish.purpose import PICTURES, POSES, Purpose
from realtime.publish.socket import PublishSocket
from tests.doubles import wait_until
from tests.faults.rawpeer import CANCEL, SUBSCRIBE, RawPeer, command, frame

_marks = itertools.count()
CAMERAS = ["cam0", "yard"]


class Publisher:
    """A bound socket with its audience, used from the thread of the test.

    Attributes:
        topic: a topic that makes its subscriber a reader.
    """

    def __init__(self, endpoint: str, purpose: Purpose = POSES) -> None:
        self.socket = PublishSocket(PublishConfig(), [endpoint], purpose)
        self.topic = purpose.topics(CAMERAS[0])[-1]
        [self.endpoint] = self.socket.endpoints
        self.audience = Audience(self.socket, lambda: CAMERAS)
        self.new: set[bytes] = set()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, over TCP."""
        return "127.0.0.1", int(self.endpoint.rpartition(":")[2])

    def readers(self) -> int:
        """Count the peers that are subscribed to `topic`."""
        return sum(self.topic in peer.topics for peer in self.socket.peers.connected().values())

    def wait_for_bytes(self, size: int) -> None:
        """Wait until a peer has sent this much more than was counted; hold the lock of the peers."""
        peers = self.socket.peers._peers.values()
        wait_until(lambda: any((received_bytes(p.connection) or 0) - p.sent_bytes >= size for p in peers))

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the publisher tick until a condition holds; the test's own timeout ends it if it never does."""
        while not condition():
            self.new |= self.audience.listen()
            self.socket.send(b"tick", b"")

    def until_heard(self, peer: RawPeer) -> None:
        """Let the publisher tick until it has handled all that a peer has sent."""
        mark = b"info/%d" % next(_marks)
        peer.send(SUBSCRIBE + mark)
        self.until(lambda: mark in self.new)


ENDPOINTS = ["tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc"]


def opened(endpoint: str, folder: Path, purpose: Purpose = POSES) -> Iterator[Publisher]:
    publisher = Publisher(f"ipc://{folder}/stream" if endpoint == "ipc" else endpoint, purpose)
    yield publisher
    publisher.socket.close()


@pytest.fixture(params=ENDPOINTS)
def publisher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Publisher]:
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=[*ENDPOINTS, "pictures"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Publisher]:
    """The socket of the poses at each kind of endpoint, and that of the pictures."""
    if request.param == "pictures":
        yield from opened("tcp://127.0.0.1:*", tmp_path, PICTURES)
    else:
        yield from opened(request.param, tmp_path)


@pytest.fixture
def tcp() -> Iterator[Publisher]:
    publisher = Publisher("tcp://127.0.0.1:*")
    yield publisher
    publisher.socket.close()


@pytest.mark.parametrize("minor", [0, 1])
def test_a_peer_counts_as_a_reader_while_it_is_subscribed_to_poses(publisher: Publisher, minor: int) -> None:
    with RawPeer(publisher.endpoint, minor) as peer:
        publisher.until_heard(peer)
        assert publisher.audience.size() == 0
        peer.send(SUBSCRIBE + b"pose/")
        publisher.until_heard(peer)
        assert publisher.audience.size() == 1
        peer.send(CANCEL + b"pose/")
        publisher.until_heard(peer)
        assert publisher.audience.size() == 0
        peer.send(SUBSCRIBE)  # to everything
        publisher.until_heard(peer)
        assert publisher.audience.size() == 1
    publisher.until(lambda: publisher.audience.size() == 0)


def test_subscriptions_as_commands_count_too(publisher: Publisher) -> None:
    with RawPeer(publisher.endpoint) as peer:
        peer.socket.sendall(command(b"SUBSCRIBE", b"pose/yard/"))
        publisher.until_heard(peer)
        assert publisher.audience.size() == 1
        peer.socket.sendall(command(b"CANCEL", b"pose/yard/"))
        publisher.until_heard(peer)
        assert publisher.audience.size() == 0


@pytest.mark.parametrize(
    "messages",
    [
        [b"", b"", b"", b""],
        [b"\x02", b"\xff", b"pose/", b"\x07pose/"],
        [CANCEL + b"pose/", CANCEL, CANCEL + b"pose/cam0/", CANCEL],  # without a subscription
        [SUBSCRIBE + b"pose/cam0/"] * 4 + [CANCEL + b"pose/cam0/"],  # libzmq counts none of the repetitions either
        [SUBSCRIBE + b"pose/nobody/", SUBSCRIBE + b"status/", SUBSCRIBE + b"pose/cam0/x"],
    ],
)
def test_messages_that_leave_no_subscription_to_poses_change_no_count(
    publisher: Publisher, messages: list[bytes]
) -> None:
    with RawPeer(publisher.endpoint) as reader, RawPeer(publisher.endpoint) as stranger:
        reader.send(SUBSCRIBE + b"pose/")
        publisher.until_heard(reader)
        stranger.send(*messages)
        publisher.until_heard(stranger)
        assert publisher.audience.size() == 1


def test_a_port_scan_is_no_reader(either: Publisher) -> None:
    with RawPeer(either.endpoint) as reader:
        for _ in range(50):
            RawPeer(either.endpoint).socket.close()
        reader.send(SUBSCRIBE + b"status/")
        either.until_heard(reader)
        assert either.readers() == 0


def test_every_new_subscription_is_reported_once(publisher: Publisher) -> None:
    with RawPeer(publisher.endpoint) as first, RawPeer(publisher.endpoint) as second:
        for peer in (first, second):
            publisher.new.clear()
            peer.send(*[SUBSCRIBE + b"info/"] * 30)
            publisher.until_heard(peer)
            assert b"info/" in publisher.new


def test_a_peer_that_sends_more_than_its_allowance_is_cut_off_and_the_others_stay(publisher: Publisher) -> None:
    with RawPeer(publisher.endpoint) as reader, RawPeer(publisher.endpoint, minor=0) as flooder:
        reader.send(SUBSCRIBE + publisher.topic)
        publisher.until_heard(reader)
        ended = threading.Event()

        def flood() -> None:
            block = frame(SUBSCRIBE + publisher.topic) * 1000
            try:
                while True:
                    flooder.socket.sendall(block)
            except OSError:
                ended.set()

        thread = threading.Thread(target=flood)
        thread.start()
        publisher.until(ended.is_set)
        thread.join()
        publisher.until(lambda: len(publisher.socket.peers.connected()) == 1)
        assert publisher.readers() == 1


def test_a_message_longer_than_any_subscription_ends_the_connection(either: Publisher) -> None:
    with RawPeer(either.endpoint) as peer:
        peer.send(SUBSCRIBE + b"x" * 128)
        assert peer.is_cut_off()


@pytest.mark.parametrize("purpose", [POSES, PICTURES], ids=["poses", "pictures"])
def test_the_allowance_is_enough_for_the_largest_reader(tmp_path, purpose: Purpose) -> None:
    """All topics of 100 cameras with names of 64 characters, with CURVE, and heartbeats."""
    keys.main([str(tmp_path / "publisher"), str(tmp_path / "clients/reader")])
    config = PublishConfig(bind=["tcp://127.0.0.1:*"], curve_secret=tmp_path / "publisher.key_secret")
    server = PublishSocket(config, purpose=purpose)
    audience, topics = Audience(server, lambda: CAMERAS), set()
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        key = keys.load_secret(tmp_path / "clients/reader.key_secret")
        reader.curve_publickey, reader.curve_secretkey = key.public, key.secret
        reader.curve_serverkey = keys.load_public(tmp_path / "publisher.key").public
        reader.linger = 0
        wanted = {topic for n in range(100) for topic in purpose.topics(f"{n:064d}")}
        for topic in wanted:
            reader.subscribe(topic)
        reader.connect(server.endpoints[0])
        while topics != wanted:
            topics |= audience.listen()
        [peer] = server.peers.connected().values()
        sent_bytes = received_bytes(peer.connection)
    server.close()
    assert sent_bytes is None or 30_000 < sent_bytes < BURST_BYTES * 5 / 6
    heartbeat_bytes = 2 + 33 + 7  # frame, CURVE, PING with its time to live
    assert 2 * heartbeat_bytes < purpose.bytes_per_s


def test_a_page_that_renews_the_stills_of_100_idle_cameras_is_never_cut_off() -> None:
    """It subscribes to one picture of each every 5 s, and cancels that again. With CURVE, names of 64 characters."""
    curve_bytes = 52  # as measured: the name of the command, and what CURVE adds
    per_s = 2 * 100 * (len(wire.picture_topic("x" * 64, "1280")) + curve_bytes) // 5
    allowance = Peer(1, "tcp://127.0.0.1:1", since_s=0.0, bytes_per_s=PICTURES.bytes_per_s).allowance
    assert all(allowance.use(per_s, now_s=float(second)) for second in range(1000))


def test_an_unused_allowance_does_not_add_up() -> None:
    allowance = Peer(1, "tcp://127.0.0.1:1", since_s=0.0, bytes_per_s=POSES.bytes_per_s).allowance
    assert allowance.use(1000, now_s=100_000.0)
    assert not allowance.use(BURST_BYTES, now_s=100_000.0)


@pytest.mark.parametrize(("per_s", "may"), [(POSES.bytes_per_s, True), (2 * POSES.bytes_per_s, False)])
def test_a_steady_rate_within_the_allowance_is_never_cut_off(per_s: int, may: bool) -> None:
    allowance = Peer(1, "tcp://127.0.0.1:1", since_s=0.0, bytes_per_s=POSES.bytes_per_s).allowance
    assert all(allowance.use(per_s, now_s=float(second)) for second in range(1000)) == may


def test_the_peers_with_the_most_topics_are_cut_off_when_all_together_have_too_many(
    either: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.publish.audience._MOST_ODD_BYTES", 1000)
    with RawPeer(either.endpoint) as small, RawPeer(either.endpoint) as large:
        small.send(SUBSCRIBE + either.topic)
        either.until_heard(small)
        large.send(*(SUBSCRIBE + b"%0100d" % number for number in range(11)))
        either.until(lambda: len(either.socket.peers.connected()) == 1 and b"%0100d" % 10 in either.new)
        assert either.readers() == 1


def test_too_many_connections_cost_those_without_a_subscription(
    either: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(either.socket.peers, "_purpose", replace(POSES, most_peers=3))
    with RawPeer(either.endpoint) as reader:
        reader.send(SUBSCRIBE + either.topic)
        either.until_heard(reader)
        others = [RawPeer(either.endpoint) for _ in range(6)]
        either.until_heard(others[-1])
        assert len(either.socket.peers.connected()) <= 3
        assert either.readers() == 1
        for other in others:
            other.socket.close()


def test_the_peers_that_send_the_most_now_are_cut_off_first_when_all_have_sent_too_much(
    tcp: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that has sent a lot and now sends heartbeats stays; those that have just come and flood do not."""
    with RawPeer(tcp.endpoint, minor=0) as reader, RawPeer(tcp.endpoint, minor=0) as flooder:
        reader.send(*(SUBSCRIBE + b"status/%0100d" % number for number in range(50)), SUBSCRIBE + b"pose/")
        flooder.send(SUBSCRIBE + b"pose/cam0/")
        for peer in (reader, flooder):
            tcp.until_heard(peer)
        peers = tcp.socket.peers
        peers.connected()
        with peers._lock:  # one look of the watching thread
            peers._look(time.monotonic())
            peers._allowance.left = 100
            reader.socket.sendall(command(b"PING", bytes(2)))
            flooder.send(*[SUBSCRIBE + b"x" * 100] * 3)
            tcp.wait_for_bytes(3 * 103)
            peers._all_next_s = 0.0
            peers._look(time.monotonic())
        [left] = peers.connected().values()
        assert b"pose/" in left.topics


def test_subscriptions_to_topics_that_exist_do_not_use_up_what_all_may_send(tcp: Publisher) -> None:
    """After a restart, many readers of the same cameras return at once."""
    topics = [b"%s/%s/" % (kind, name.encode()) for kind in (b"info", b"status", b"pose") for name in CAMERAS]
    with RawPeer(tcp.endpoint) as peer, RawPeer(tcp.endpoint) as stranger:
        for sender in (peer, stranger):
            tcp.until_heard(sender)
        charged = []
        tcp.socket.peers._allowance.per_s = 0  # otherwise it grows while a busy machine lets this test wait

        def left() -> float:
            """What is left once all that was sent so far is counted, the greetings too."""
            with tcp.socket.peers._lock:
                tcp.socket.peers._all_next_s = 0.0
                tcp.socket.peers._look(time.monotonic())
                return tcp.socket.peers._allowance.left

        for sender, messages in ((peer, topics), (stranger, [b"odd/%d/" % number for number in range(6)])):
            before = left()
            sender.send(*(SUBSCRIBE + topic for topic in messages))
            tcp.until(lambda messages=messages: tcp.new.issuperset(messages))
            charged.append(before - left())
        assert charged[0] < 0.5 * charged[1]


def test_a_message_of_a_peer_that_has_left_does_not_make_its_successor_a_reader(tcp: Publisher) -> None:
    """The next connection gets the same descriptor, by which libzmq names the sender of a message."""
    with RawPeer(tcp.endpoint) as reader:
        reader.send(SUBSCRIBE + b"pose/")
        wait_until(lambda: any(peer.sent_bytes > 91 + 7 for peer in tcp.socket.peers.connected().values()))
    wait_until(lambda: not tcp.socket.peers.connected())
    with socket.create_connection(tcp.address):
        wait_until(lambda: len(tcp.socket.peers.connected()) == 1)
        tcp.audience.listen()
        tcp.audience.listen()
        assert tcp.audience.size() == 0


def test_topics_that_peers_share_count_once_and_those_of_cameras_do_not_count(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.publish.audience._MOST_ODD_BYTES", 150)
    with RawPeer(publisher.endpoint) as first, RawPeer(publisher.endpoint) as second:
        for peer in (first, second):
            peer.send(SUBSCRIBE + b"%0100d" % 1, SUBSCRIBE + b"pose/cam0/", SUBSCRIBE + b"pose/yard/")
            publisher.until_heard(peer)
        assert publisher.audience.size() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted on Linux only")
def test_no_descriptor_is_left_when_peers_have_left(tcp: Publisher) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    tcp.socket.peers.connected()  # the listening socket is known now
    before = descriptors()
    for _ in range(20):
        with RawPeer(tcp.endpoint) as peer:
            tcp.until_heard(peer)
    wait_until(lambda: not tcp.socket.peers._peers)
    assert descriptors() == before


def test_a_file_that_took_the_descriptor_is_left_open_and_nothing_else_is(tmp_path) -> None:
    file = (tmp_path / "file").open("w")
    with file:
        next_free = os.dup(file.fileno())
        os.close(next_free)
        with pytest.raises(OSError, match="non-socket"):
            open_connection(file.fileno(), "tcp://127.0.0.1:1")
        assert os.dup(file.fileno()) == next_free
        os.close(next_free)
        file.write("still open")


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names exist on Linux only")
def test_peers_at_an_abstract_ipc_endpoint_are_limited_too() -> None:
    publisher = Publisher(f"ipc://@realtime-test-{os.getpid()}")
    try:
        with RawPeer(publisher.endpoint) as peer:
            publisher.until_heard(peer)
            [known] = publisher.socket.peers.connected().values()
            publisher.socket.peers.cut_off(known)
            assert peer.is_cut_off()
    finally:
        publisher.socket.close()


def test_a_system_whose_count_stays_0_limits_by_what_was_read(tcp: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "received_bytes", lambda _: 0)
    monkeypatch.setattr(module, "BURST_BYTES", 1000)
    with RawPeer(tcp.endpoint) as peer:
        peer.send(*[SUBSCRIBE + b"pose/"] * 300)
        tcp.until(lambda: b"pose/" in tcp.new)
        tcp.until(lambda: not tcp.socket.peers.connected())


def test_a_descriptor_that_belongs_to_another_connection_now_is_left_alone() -> None:
    """A camera may get the descriptor of a peer that libzmq has closed."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as camera:
        with pytest.raises(OSError, match="another connection"):
            open_connection(camera.fileno(), "tcp://127.0.0.1:1")
        camera.sendall(b"still open")


def test_the_system_counts_what_a_peer_has_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        with receiver:
            sender.sendall(bytes(1234))
            left = 1234
            while left:
                left -= len(receiver.recv(left))
            assert received_bytes(receiver) in (1234, None)
    left_, right = socket.socketpair()
    with left_, right:
        assert received_bytes(left_) is None


def test_the_socket_can_be_closed_after_more_connections_than_the_monitor_holds() -> None:
    """Unread, its events would stop libzmq's thread, and closing would never end (libzmq issue 3575)."""
    server = PublishSocket(PublishConfig(bind=["tcp://127.0.0.1:*"]))
    port = int(server.endpoints[0].rpartition(":")[2])
    with ThreadPoolExecutor(20) as pool:  # at once, because some have to wait for a place in the backlog
        list(pool.map(lambda _: socket.create_connection(("127.0.0.1", port)).close(), range(1100)))
    closing = threading.Thread(target=server.close, daemon=True)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    assert "peers" not in {thread.name for thread in threading.enumerate()}


def test_covers_is_the_rule_of_zeromq() -> None:
    assert covers({b""}, b"pose/a/")
    assert covers({b"x", b"pose/a/"}, b"pose/a/")
    assert not covers({b"pose/a/b", b"ose"}, b"pose/a/")
    assert not covers(set(), b"pose/a/")
