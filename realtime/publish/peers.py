"""The connections to the stream's socket. A peer that sends more than a reader needs is cut off.

Used by publish.socket, and by publish.audience, which counts the readers among the peers.

A reader sends a handshake, some subscriptions and perhaps heartbeats. Each message that libzmq reads costs memory and
time of the publisher, so floods must be stopped before they are read: libzmq reads little ahead (RCVHWM 1), the rest
waits in the system's buffers, and the system's count of received bytes shows who sends too much.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field

import zmq

log = logging.getLogger(__name__)

# What a peer may send: this much at once, and this much more per second. The largest reader of ours subscribes to three
# topics of up to 72 bytes for each of 100 cameras: 37 kB with CURVE. Heartbeats every 0.5 s take 90 bytes/s with CURVE.
BURST_BYTES = 65_536
BYTES_PER_S = 256
# Connections at the same time. Each takes a file descriptor, and 1024 per process is a common limit.
MOST_PEERS = 256
# How often the bytes are counted. In this time, a flood takes what libzmq reads ahead, and what it costs to connect.
_LOOK_S = 0.02
# Most events read at once. It is all that the monitor's queue holds: 1000 messages at each end, libzmq's default.
_MOST_EVENTS = 2000
_WARN_EVERY_S = 60.0
# Most that is read at once from a peer that is cut off, in buffers of 64 kB.
_MOST_DISCARDED = 64

_WATCHED = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
_EVENT = struct.Struct("=HI")  # type and value, the first part of the monitor's messages
# The system's count of the bytes received on a TCP connection: socket option, size of its struct, offset of a uint64.
_COUNTS = {
    "linux": (11, 136, 128),  # TCP_INFO, struct tcp_info, tcpi_bytes_received (Linux 4.1)
    "darwin": (0x106, 112, 88),  # TCP_CONNECTION_INFO, struct tcp_connection_info, tcpi_rxbytes; not tested
}


def received_bytes(connection: socket.socket) -> int | None:
    """Count the bytes that the other side of a TCP connection has sent. None if the system does not count them."""
    option, size, offset = _COUNTS.get(sys.platform, (0, 0, 0))
    if not option:
        return None
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, option, size)
        return int(struct.unpack_from("<Q", told, offset)[0])
    except (OSError, struct.error):  # not TCP, or an older system
        return None


@dataclass(slots=True, eq=False)
class Peer:
    """One connection to the socket.

    >>> peer = Peer(descriptor=7, endpoint="tcp://127.0.0.1:5555", since_s=100.0)
    >>> peer.may_go_on(60_000, now_s=100.0), peer.may_go_on(70_000, now_s=101.0)
    (True, False)

    Attributes:
        descriptor: libzmq's file descriptor of this connection. Another connection may have it later.
        endpoint: the endpoint of ours that it connected to.
        since_s: monotonic time at which it connected.
        topics: the topic prefixes that it is subscribed to. Used by the publisher's thread only.
        heard_bytes: size of all messages that the publisher has received from it.
    """

    descriptor: int
    endpoint: str
    since_s: float
    topics: set[bytes] = field(default_factory=set)
    heard_bytes: int = 0
    is_cut_off: bool = False
    _sent_bytes: int = 0
    _left_bytes: float = BURST_BYTES
    _at_s: float = 0.0

    def may_go_on(self, sent_bytes: int, now_s: float) -> bool:
        """Update the allowance. False if it is used up.

        Args:
            sent_bytes: all that the peer has sent since it connected.
            now_s: monotonic time in seconds.
        """
        gained_bytes = BYTES_PER_S * (now_s - max(self._at_s, self.since_s))
        self._left_bytes = min(BURST_BYTES, self._left_bytes + gained_bytes) - (sent_bytes - self._sent_bytes)
        self._sent_bytes, self._at_s = sent_bytes, now_s
        return self._left_bytes >= 0


class Peers:
    """Follows the connections of a socket on a thread of its own, and cuts off those that send too much.

    If the events of a socket's monitor are not read, libzmq's thread waits, and the socket can't be closed (libzmq
    issue 3575). Therefore this thread reads them from before the first bind until the socket is closed.
    """

    def __init__(self, publisher: zmq.Socket[bytes]) -> None:
        """Start the thread. It ends when the socket is closed or its context terminated.

        Args:
            publisher: the socket, not bound yet.
        """
        self._peers: dict[int, Peer] = {}
        self._cut_off = 0
        self._warn_from_s = 0.0
        self._discarded = bytearray(65_536)
        self._lock = threading.Lock()
        address = f"inproc://peers-{id(self)}"
        publisher.monitor(address, _WATCHED)
        self._monitor = publisher.context.socket(zmq.PAIR)
        self._monitor.linger = 0
        self._monitor.connect(address)
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
        self._thread.start()

    def connected(self) -> dict[int, Peer]:
        """Return the peers that are connected now, by descriptor. Any thread may call this.

        The peer of any message that was received before the call is among them, unless it has disconnected.
        """
        with self._lock:
            self._read_events()
            return {number: peer for number, peer in self._peers.items() if not peer.is_cut_off}

    def cut_off(self, peer: Peer) -> None:
        """End this connection. Any thread may call this."""
        with self._lock:
            self._shut(peer)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread, after the socket was closed."""
        self._thread.join(timeout_s)

    def _watch(self) -> None:
        is_open = True
        while is_open:
            time.sleep(_LOOK_S)
            with self._lock:
                is_open = self._read_events()
                self._look(time.monotonic())
        with self._lock:
            self._monitor.close()

    def _read_events(self) -> bool:
        """Handle the waiting events. False if no more will come."""
        if self._monitor.closed:
            return False
        with contextlib.suppress(zmq.Again):
            for _ in range(_MOST_EVENTS):
                try:
                    told, endpoint = self._monitor.recv_multipart(zmq.NOBLOCK)
                except zmq.ContextTerminated:
                    return False
                event, descriptor = _EVENT.unpack(told)
                if event == zmq.EVENT_ACCEPTED:
                    self._accept(Peer(descriptor, endpoint.decode(errors="replace"), time.monotonic()))
                elif event == zmq.EVENT_DISCONNECTED:
                    self._peers.pop(descriptor, None)
                elif event == zmq.EVENT_MONITOR_STOPPED:
                    return False
        return True

    def _accept(self, peer: Peer) -> None:
        """Add a peer. If there are too many, cut off the oldest one without a subscription, or else the new one."""
        if len(self._peers) >= MOST_PEERS:
            others = [other for other in self._peers.values() if not other.is_cut_off]
            if len(others) >= MOST_PEERS:
                silent = [other for other in others if not other.topics]
                self._shut(min(silent, key=lambda other: other.since_s, default=peer))
        self._peers[peer.descriptor] = peer

    def _look(self, now_s: float) -> None:
        """Cut off the peers that have used up their allowance, and warn."""
        for peer in self._peers.values():
            with contextlib.suppress(OSError), _connection(peer) as connection:
                if peer.is_cut_off:
                    self._discard(connection)
                    continue
                sent_bytes = received_bytes(connection)
                # ipc, and systems that do not count: what the publisher has heard, which is less.
                if not peer.may_go_on(peer.heard_bytes if sent_bytes is None else sent_bytes, now_s):
                    self._shut(peer)
        if self._cut_off and now_s >= self._warn_from_s:
            log.warning(
                "publish: connections cut off: %d; there were too many, or they sent more than readers do",
                self._cut_off,
            )
            self._cut_off, self._warn_from_s = 0, now_s + _WARN_EVERY_S

    def _shut(self, peer: Peer) -> None:
        """Let the connection end for libzmq, which then drops the peer with its subscriptions.

        Only its reading half is shut: if both are while libzmq has a ping of the peer in its buffer and waits for the
        publisher, libzmq aborts the program (`Assertion failed: !_io_error`, libzmq issue 4364).
        """
        with contextlib.suppress(OSError), _connection(peer) as connection:
            connection.shutdown(socket.SHUT_RD)
            peer.is_cut_off = True
            self._cut_off += 1
            self._discard(connection)

    def _discard(self, connection: socket.socket) -> None:
        """Take what the peer has sent, because libzmq reads all of it before it finds the end."""
        for _ in range(_MOST_DISCARDED):
            if not connection.recv_into(self._discarded):
                return


def _connection(peer: Peer) -> socket.socket:
    """Open this peer's connection a second time: the copy can't become another connection while it is used.

    Raises:
        OSError: libzmq has closed it. Its descriptor may already belong to something else, a camera for example.
    """
    family = socket.AF_INET6 if peer.endpoint.startswith("tcp://[") else socket.AF_INET
    if peer.endpoint.startswith("ipc://"):
        family = socket.AF_UNIX
    copy = socket.socket(family, socket.SOCK_STREAM, 0, fileno=os.dup(peer.descriptor))
    try:
        name = copy.getsockname()
        if peer.endpoint != f"ipc://{name}" and not (isinstance(name, tuple) and peer.endpoint.endswith(f":{name[1]}")):
            raise OSError("the descriptor belongs to another connection")
    except BaseException:
        copy.close()
        raise
    return copy
