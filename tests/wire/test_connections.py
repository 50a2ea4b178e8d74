"""The sockets of a reader, and what it knows about their connections."""

import contextlib
import socket
import threading
import time

import pytest
import zmq
from zmq.auth.thread import ThreadAuthenticator

from realtime.wire import connections as module
from realtime.wire.connections import Connections
from realtime.wire.keys import Key
from realtime.wire.reading import wait_ms
from tests.wire.publisher import WAIT_S


def opened(*endpoints, keys=None, news=None):
    news = [] if news is None else news
    return contextlib.closing(Connections(endpoints, [b""], keys, lambda *change: news.append(change)))


def wait_until(reader, condition):
    end_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end_s
        reader.wait(end_s)


def received(reader):
    end_s = time.monotonic() + WAIT_S
    while (taken := reader.take()) is None:
        assert time.monotonic() < end_s
        reader.wait(end_s)
    return taken


def test_it_tells_which_endpoint_was_connected_and_lost_and_sent_a_message(publish):
    publishers, news = [publish(), publish()], []
    with opened(*(each.endpoint for each in publishers), news=news) as reader:
        wait_until(reader, lambda: sorted(news) == [(0, True), (1, True)])
        assert reader.trouble(1).startswith(f"{publishers[1].endpoint}: connected, but nothing was sent yet")
        for each in publishers:
            each.wait_for(b"")
            each.socket.send_multipart([b"x", each.endpoint.encode()])
        assert dict(received(reader) for _ in range(2)) == {
            position: [b"x", each.endpoint.encode()] for position, each in enumerate(publishers)
        }
        publishers[0].close()
        wait_until(reader, lambda: news[-1] == (0, False))
        assert reader.is_connected
        publishers[1].close()
        wait_until(reader, lambda: news[-1] == (1, False))
        assert not reader.is_connected


def test_endpoints_whose_messages_wait_take_turns(publish):
    publishers = [publish(), publish()]
    with opened(*(each.endpoint for each in publishers)) as reader:
        for each in publishers:
            each.wait_for(b"")
            for _ in range(3):
                each.socket.send_multipart([b"x", b"y"])
        for each in reader._all:
            assert each.socket.poll(WAIT_S * 1e3)
        assert {received(reader)[0] for _ in range(2)} == {0, 1}


def test_a_reader_whose_key_is_accepted_later_is_let_in(monkeypatch):
    monkeypatch.setattr(module, "_AFTER_REFUSAL_S", 0.02)
    public, secret = zmq.curve_keypair()
    accepted = []

    class Readers:
        def callback(self, domain, key):
            return key in accepted

    context = zmq.Context()
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    try:
        authenticator.configure_curve_callback("*", Readers())
        publisher = context.socket(zmq.XPUB)
        publisher.curve_server = True
        server, publisher.curve_secretkey = zmq.curve_keypair()
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        keys = Key(public, secret), Key(server, None)
        news = []
        with opened(f"tcp://127.0.0.1:{port}", keys=keys, news=news) as reader:
            wait_until(reader, lambda: "does not accept this reader's key" in reader.trouble(0))
            accepted.append(public)
            wait_until(reader, lambda: news == [(0, True)])
            assert publisher.poll(WAIT_S * 1e3)  # its subscription
            publisher.send_multipart([b"x", b"y"])
            assert received(reader) == (0, [b"x", b"y"])
    finally:
        authenticator.stop()
        context.destroy(linger=0)


def test_a_publisher_that_breaks_the_protocol_is_tried_again(publisher, monkeypatch):
    monkeypatch.setattr(module, "_AFTER_LOSS_S", 0.05)
    news = []
    with opened(publisher.endpoint, news=news) as reader:
        publisher.wait_for(b"")
        publisher.socket.send_multipart([b"x", b"long" * 3_000_000])  # libzmq gives it up for good
        wait_until(reader, lambda: news[-3:] == [(0, True), (0, False), (0, True)])


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100])
def test_something_else_than_a_publisher_is_told(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as peer:
                        peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with opened(f"tcp://127.0.0.1:{server.getsockname()[1]}") as reader:
            wait_until(reader, lambda: "is it a pose stream?" in reader.trouble(0))
        server.shutdown(socket.SHUT_RDWR)


def test_waiting_ends_at_its_time():
    with opened("tcp://127.0.0.1:1") as reader:
        reader.wait(time.monotonic() + 0.01)
        assert reader.take() is None
        assert reader.trouble(0) == "no connection: is the publisher running?"


@pytest.mark.parametrize(
    ("in_s", "ms"), [(-1.0, 0), (0.0, 0), (1e9, 3_600_000), (float("inf"), 3_600_000), (None, None)]
)
def test_a_wait_is_never_negative_or_infinite(in_s, ms):
    assert wait_ms(None if in_s is None else time.monotonic() + in_s) == ms


def test_no_socket_is_left_if_an_endpoint_is_refused(monkeypatch):
    contexts = []
    monkeypatch.setattr(module.zmq, "Context", lambda make=zmq.Context: contexts.append(make()) or contexts[-1])
    with pytest.raises(ValueError, match="connect: got 'tcp://nowhere'"):
        Connections(["tcp://127.0.0.1:1", "tcp://nowhere"], [b""], None)
    assert [context.closed for context in contexts] == [True]
