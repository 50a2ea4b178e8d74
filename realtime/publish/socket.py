"""A ZeroMQ socket of the stream: bound, encrypted if it has keys, and closed.

Used by publish.stream and publish.pictures; realtime.pipeline opens the sockets before the models load, so that a busy
port is found immediately.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Sequence

import zmq
from zmq.auth.thread import ThreadAuthenticator

from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.publish.connection import COUNTS_BYTES
from realtime.publish.ipc import IpcListener, is_ours_to_bind
from realtime.publish.peers import Peers
from realtime.publish.purpose import POSES, Purpose
from realtime.publish.readable import readable
from realtime.publish.reader_keys import ReaderKeys, reader_keys
from realtime.publish.refusals import Refusals

log = logging.getLogger(__name__)

# How many messages of each peer libzmq reads ahead; 0: no limit. A limit makes libzmq pause, and libzmq 4.3.5 aborts
# the program (`Assertion failed: !_io_error`, issue 4364) if a connection breaks while it has paused and holds a ping.
# If the system counts a peer's bytes, these are limited instead (publish.peers). Otherwise the limit is 16 messages,
# and in effect 15 with keys, because libzmq queues the peer's user id and never counts it as taken.
_RECEIVE_HIGH_WATER_COUNTED, _RECEIVE_HIGH_WATER = 0, 16
# Size of the system's buffer for each connection. A small one slows a flood down, and a reader sends little.
_RECEIVE_BUFFER_BYTES = 2048
# Limit for one message of a peer. Our longest subscription takes 87 bytes: a topic of 77 with the name of the command.
_MAX_INCOMING_BYTES = 128
# The same with CURVE, whose handshake has a message of about 300 bytes.
_MAX_INCOMING_CURVE_BYTES = 512
# Bytes that a subscription takes in addition to its topic, without and with CURVE.
_OVERHEAD_BYTES, _OVERHEAD_CURVE_BYTES = 12, 52
# How long the handshake of a peer may take: four round trips with CURVE, each up to 0.7 s by satellite.
_HANDSHAKE_MS = 5000
# How long closing waits for the thread of the peers, which ends by itself when the socket is closed.
_JOIN_S = 1.0

_WHY_NOT_BOUND = {
    errno.EADDRINUSE: "already in use by another program: choose another port",
    errno.EACCES: "permission denied: choose a port above 1023",
    errno.EADDRNOTAVAIL: "no network interface of this machine has this address",
    errno.ENODEV: "no such network interface",
}


class PublishSocket:
    """The bound XPUB socket. It may be passed to another thread once, which then is the only one to use it.

    >>> socket = PublishSocket(PublishConfig(bind=["tcp://127.0.0.1:*"]))
    >>> socket.send(b"pose/cam0/", b"...")
    True
    >>> socket.close()

    Attributes:
        purpose: what it is for.
        endpoints: the endpoints it is bound to, with the ports that were chosen for *.
        peers: the connections.
        overhead_bytes: how many bytes a subscription takes in addition to its topic.
    """

    def __init__(
        self,
        config: PublishConfig,
        endpoints: Sequence[str] | None = None,
        purpose: Purpose = POSES,
        keys: ReaderKeys | None = None,
    ) -> None:
        """Bind all endpoints.

        Args:
            config: the section `publish` of the configuration, with the keys.
            endpoints: where to listen; None: `publish.bind`.
            purpose: what the socket is for.
            keys: the keys, if another socket of the run has them too; None: they are loaded if the stream is encrypted.

        Raises:
            OutputError: an endpoint can't be bound, or a key can't be read.
        """
        self.purpose = purpose
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        self._listeners: list[IpcListener] = []
        self._socket = self._context.socket(zmq.XPUB)
        self._keys: ReaderKeys | None = None
        folder = None if purpose.is_open else config.clients
        # Before the first bind, so that readers that connect while the models load are known.
        self.peers = Peers(self._socket, purpose, Refusals(purpose.key, folder, has_local=purpose.key == POSES.key))
        self.endpoints: list[str] = []
        try:
            endpoints = config.bind if endpoints is None else endpoints
            self._set_options(folder is not None, has_ipv6=any("[" in endpoint for endpoint in endpoints))
            if folder is not None:
                self._use_keys(keys or reader_keys(config))
            for endpoint in endpoints:
                self._bind(endpoint)
        except BaseException:
            self.close()
            raise

    def send(self, topic: bytes, payload: bytes) -> bool:
        """Send a message to its subscribers. A subscriber whose queue is full loses it, and this never blocks.

        Returns:
            Whether it was sent. False only after `wait_for_readers`.
        """
        try:
            self._socket.send_multipart((topic, payload))
        except zmq.Again:
            return False
        return True

    def wait_for_readers(self, patience_s: float) -> None:
        """Let `send` wait up to `patience_s` until the queue of each subscriber has room. 0: it never blocks again."""
        self._socket.setsockopt(zmq.SNDTIMEO, round(patience_s * 1e3))
        self._socket.setsockopt(zmq.XPUB_NODROP, int(patience_s > 0))

    def receive(self, most: int) -> list[tuple[int, bytes]]:
        """Return the messages that peers have sent, at most `most`, each with the descriptor of its peer.

        The descriptor is -1 if the peer has disconnected: libzmq then cancels its subscriptions in its name.
        """
        received = []
        with contextlib.suppress(zmq.Again):
            for _ in range(most):
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
                try:
                    descriptor = int(frame.get(zmq.SRCFD))
                except zmq.ZMQError:
                    descriptor = -1
                received.append((descriptor, frame.bytes))
        return received

    def register(self, poller: zmq.Poller) -> None:
        """Let a poller wait for messages of peers."""
        poller.register(self._socket, zmq.POLLIN)

    def end(self) -> None:
        """Remove our socket files, and send nothing more. Messages that were sent are still delivered until `close`."""
        for listener in self._listeners:
            listener.remove()
        self._socket.close(linger=self.purpose.linger_ms)

    def close(self) -> None:
        """Close the socket and its context, after at most `purpose.linger_ms` for the messages."""
        self.end()
        if self._authenticator is not None:
            self._authenticator.stop()
        if self._keys is not None:
            self._keys.close()
            self._keys = None
        self._context.term()
        self.peers.join(_JOIN_S)

    def _set_options(self, has_keys: bool, has_ipv6: bool) -> None:
        self.overhead_bytes = _OVERHEAD_CURVE_BYTES if has_keys else _OVERHEAD_BYTES
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # reports every subscription, including repeated ones
        self._socket.setsockopt(zmq.SNDHWM, self.purpose.queue)
        if self.purpose.send_bytes is not None:
            self._socket.setsockopt(zmq.SNDBUF, self.purpose.send_bytes)
        self._socket.setsockopt(zmq.RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._socket.setsockopt(zmq.LINGER, self.purpose.linger_ms)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INCOMING_CURVE_BYTES if has_keys else _MAX_INCOMING_BYTES)
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        # The operating system detects dead peers. ZeroMQ's heartbeats would disconnect a subscriber that pauses until
        # its queue is full, and libzmq then aborts that program when it reads again (libzmq issue 3937).
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 5)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
        self._socket.setsockopt(zmq.IPV6, int(has_ipv6))

    def _use_keys(self, keys: ReaderKeys | None) -> None:
        """Encrypt the stream, and accept only readers with one of the keys."""
        assert keys is not None  # the stream is encrypted
        keys.open()
        self._keys = keys
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        # pyzmq can read the folder too, but once, and without our checks.
        self._authenticator.configure_curve_callback("*", keys)
        self._socket.curve_publickey, self._socket.curve_secretkey = keys.own.public, keys.own.secret
        self._socket.curve_server = True

    def _bind(self, endpoint: str) -> None:
        is_counted = COUNTS_BYTES and endpoint.startswith("tcp:")
        self._socket.setsockopt(zmq.RCVHWM, _RECEIVE_HIGH_WATER_COUNTED if is_counted else _RECEIVE_HIGH_WATER)
        listener = IpcListener(endpoint, self.purpose.key) if is_ours_to_bind(endpoint) else None
        if listener is not None:
            self._listeners.append(listener)
        self._socket.setsockopt(zmq.USE_FD, -1 if listener is None else listener.descriptor)
        try:
            self._socket.bind(os.fsencode(endpoint))  # type: ignore[arg-type]  # bytes: a path need not be UTF-8
        except zmq.ZMQError as error:
            why = _WHY_NOT_BOUND.get(error.errno or 0, str(error))
            raise OutputError(f"{self.purpose.key}: can't bind {endpoint}: {why}") from None
        if listener is not None:
            listener.hand_over()
        bound = self._socket.last_endpoint
        assert isinstance(bound, bytes)
        self.endpoints.append(os.fsdecode(bound))
        level = logging.DEBUG if self.purpose.is_private else logging.INFO
        who = self._keys.who() if self._keys else readable(endpoint, self.endpoints[-1])
        log.log(level, "%s on %s, %s", self.purpose.does, self.endpoints[-1], who)
