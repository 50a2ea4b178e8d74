"""Hints about refused readers, from real readers of every wrong kind, and from programs that are no readers."""

import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from realtime import keys
from realtime.config import PublishConfig
from realtime.publish.purpose import LOCAL_POSES
from realtime.publish.refusals import Refusals
from realtime.publish.socket import PublishSocket
from realtime.wire.keys import load_secret
from tests.doubles import wait_until

HINT = "a reader without a valid key was refused: at "
UNKNOWN_KEY = zmq.EVENT_HANDSHAKE_FAILED_AUTH, 400, "tcp://127.0.0.1:5555"
LEFT = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, 32, "tcp://127.0.0.1:5555"  # EPIPE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    keys.main([str(made / name) for name in ("publisher", "clients/alice", "stranger", "other")])
    return made


@pytest.fixture(params=["tcp", "ipc"])
def publisher(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Iterator[PublishSocket]:
    endpoint = "tcp://127.0.0.1:*" if request.param == "tcp" else f"ipc://{tmp_path}/stream"
    config = PublishConfig(bind=[endpoint], curve_secret=folder / "publisher.key_secret")
    publisher = PublishSocket(config)
    yield publisher
    publisher.close()


def connect(endpoint: str, own: Path | None = None, server: Path | None = None) -> None:
    """Let a subscriber connect, and wait until its handshake has failed."""
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.linger, reader.reconnect_ivl = 0, 10
        if own is not None and server is not None:
            key = load_secret(own)
            reader.curve_publickey, reader.curve_secretkey = key.public, key.secret
            reader.curve_serverkey = load_secret(server).public
        failed = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        monitor = reader.get_monitor_socket(failed | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED)
        reader.connect(endpoint)
        assert monitor.poll(5000)
        reader.disable_monitor()
        monitor.close()


@pytest.mark.parametrize(
    ("own", "server", "hint"),
    [
        ("stranger", "publisher", "its key is not in .*/clients: put its .key file there"),
        (
            "clients/alice",
            "other",
            "it expects another publisher: its --curve-server must be the .key file of this one",
        ),
        (None, None, "it needs a key pair .*, or publish.local_bind if it runs on this machine"),
    ],
)
def test_a_refused_reader_is_told_about_with_the_remedy(publisher, folder, own, server, hint, caplog):
    [endpoint] = publisher.endpoints
    files = [folder / f"{name}.key_secret" if name else None for name in (own, server)]

    def is_told() -> bool:
        connect(endpoint, *files)  # again, because who notices first is a matter of chance
        return HINT in caplog.text

    with caplog.at_level(logging.WARNING):
        wait_until(is_told)
    assert re.search(f"^publish.bind: {HINT}{re.escape(endpoint)}, {hint}", caplog.messages[0])
    assert len(caplog.messages) == 1
    assert load_secret(files[0] or folder / "other.key_secret").public.decode() not in caplog.text


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02" + bytes(range(100)), b"\x8a\x03\xc1\x7f\x00"],
    ids=["nothing", "http", "tls", "garbage"],
)
def test_a_program_that_is_no_reader_is_not_called_one(folder, sent, caplog):
    config = PublishConfig(bind=["tcp://127.0.0.1:*"], curve_secret=folder / "publisher.key_secret")
    publisher = PublishSocket(config)
    port = int(publisher.endpoints[0].rpartition(":")[2])
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as peer:
            wait_until(publisher.peers.connected)
            with suppress(OSError):  # the publisher may hang up first
                peer.sendall(sent)
                peer.shutdown(socket.SHUT_WR)
        wait_until(lambda: not publisher.peers.connected())
    publisher.close()
    assert HINT not in caplog.text


def test_a_reader_with_keys_is_told_about_where_none_are_wanted(folder, caplog):
    config = PublishConfig(curve_secret=folder / "publisher.key_secret")
    publisher = PublishSocket(config, ["tcp://127.0.0.1:*"], LOCAL_POSES)
    files = folder / "clients/alice.key_secret", folder / "publisher.key_secret"
    wait_until(lambda: (connect(publisher.endpoints[0], *files), "which takes no keys" in caplog.text)[1])
    publisher.close()
    refused = next(message for message in caplog.messages if "refused" in message)
    assert refused.startswith("publish.local_bind: a reader with keys was refused: at tcp://127.0.0.1:")


def test_there_is_one_line_a_minute_with_all_kinds(caplog):
    refusals = Refusals("publish.bind", Path("clients"))

    def refuse(*failure: object) -> Callable[[float], list[str]]:
        refusals.begin(*failure)
        refusals.end(None)

        def tell(now_s: float) -> list[str]:
            caplog.clear()
            refusals.tell(now_s)
            return list(caplog.messages)

        return tell

    began_s = time.monotonic()
    assert len(refuse(*UNKNOWN_KEY)(began_s)) == 1
    for _ in range(1000):
        assert refuse(*UNKNOWN_KEY)(began_s + 59) == []
    other = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC, UNKNOWN_KEY[2]
    [line] = refuse(*other)(began_s + 60)
    assert re.search(r"not in clients: .* \(1000 times\); at tcp:.*, it expects another publisher: [^(]*$", line)
    assert refuse(zmq.EVENT_HANDSHAKE_FAILED_AUTH, 500, UNKNOWN_KEY[2])(began_s + 200) == []


def test_a_program_that_may_be_a_reader_is_told_about_once_a_day(caplog):
    refusals = Refusals("publish.bind", Path("clients"))
    caplog.set_level(logging.INFO)
    for now_s in (0.0, 10.0, 3600.0):
        refusals.begin(*LEFT)
        refusals.end(None)
        refusals.tell(now_s)
    [line] = caplog.messages
    assert line.startswith("publish.bind: a program connected to tcp://127.0.0.1:5555 and left")


def test_without_keys_a_program_that_leaves_is_nothing_to_tell(caplog):
    refusals = Refusals("publish.bind", None)
    caplog.set_level(logging.INFO)
    refusals.begin(*LEFT)
    refusals.end(None)
    refusals.tell(0.0)
    assert not caplog.messages
