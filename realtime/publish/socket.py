"""The ZeroMQ socket of the stream: bound, encrypted if it has keys, and closed.

Used by publish.stage; realtime.pipeline opens it before the models load, so that a busy port is found immediately.
"""

from __future__ import annotations

import errno
import logging

import zmq
from zmq.auth.thread import ThreadAuthenticator

from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.wire.keys import load_public, load_secret

log = logging.getLogger(__name__)

# Length of the queue of each subscriber, in messages. ZeroMQ drops what doesn't fit; older poses would be of no use.
_SEND_HIGH_WATER = 64
# How long closing waits for the last messages to be sent. 0 loses them; ZeroMQ's default may wait forever.
_LINGER_MS = 200
# Limit for a message from a subscriber, which only sends subscriptions of a few bytes.
_MAX_INCOMING_BYTES = 4096

_WHY_NOT_BOUND = {
    errno.EADDRINUSE: "already in use by another program: choose another port",
    errno.EACCES: "permission denied: choose a port above 1023",
    errno.EADDRNOTAVAIL: "no network interface of this machine has this address",
    errno.ENODEV: "no such network interface",
    errno.ENOENT: "the socket's folder does not exist",
}


class _Context(zmq.Context[zmq.Socket[bytes]]):
    """A ZeroMQ context with the thread that checks the keys of subscribers."""

    authenticator: ThreadAuthenticator | None = None


def open_socket(config: PublishConfig) -> zmq.Socket[bytes]:
    """Bind the XPUB socket. It may be handed to another thread once, before its first use there.

    Raises:
        OutputError: an endpoint can't be bound, or a key can't be read.
    """
    context = _Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # reports every subscription, including repeated ones
    socket.setsockopt(zmq.SNDHWM, _SEND_HIGH_WATER)
    socket.setsockopt(zmq.LINGER, _LINGER_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INCOMING_BYTES)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 1000)
    # The operating system detects dead peers. ZeroMQ's heartbeats would disconnect a subscriber that pauses until its
    # queue is full, and libzmq then aborts that program when it reads again (libzmq issue 3937).
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    socket.setsockopt(zmq.IPV6, int(any("[" in endpoint for endpoint in config.bind)))
    try:
        _use_keys(context, socket, config)
    except ValueError as error:
        socket.close()
        context.term()
        raise OutputError(f"publish.curve_secret: {error}") from None
    # The monitor starts before the first bind, so that subscribers that connect while models load are counted.
    socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
    for endpoint in config.bind:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            close_socket(socket)
            why = _WHY_NOT_BOUND.get(error.errno or 0, str(error))
            raise OutputError(f"publish.bind: can't bind {endpoint}: {why}") from None
        log.info("publishing on %s", socket.get_string(zmq.LAST_ENDPOINT))
    return socket


def _use_keys(context: _Context, socket: zmq.Socket[bytes], config: PublishConfig) -> None:
    """Encrypt the stream, and accept only readers whose public key is in the folder.

    Raises:
        ValueError: a key can't be read, or the folder contains no reader's key.
    """
    if config.curve_secret is None or config.clients is None:
        return
    key = load_secret(config.curve_secret)
    readers = sorted(config.clients.glob("*.key"))
    if not readers:
        raise ValueError(f"no reader's public key (*.key) in {config.clients}: add one, or the stream can't be read")
    for reader in readers:
        load_public(reader)
    context.authenticator = ThreadAuthenticator(context)
    context.authenticator.start()
    context.authenticator.configure_curve(domain="*", location=config.clients)
    socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
    socket.curve_server = True
    log.info("the stream is encrypted, accepted reader keys: %d", len(readers))


def close_socket(socket: zmq.Socket[bytes]) -> None:
    """Close the socket and its context, after at most _LINGER_MS for the last messages."""
    context = socket.context
    monitor = socket.get_monitor_socket()
    socket.disable_monitor()
    monitor.close(linger=0)  # pyzmq leaves it open, and context.term() would wait for it forever
    socket.close(linger=_LINGER_MS)
    if isinstance(context, _Context) and context.authenticator is not None:
        context.authenticator.stop()
    context.term()
