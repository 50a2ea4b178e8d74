"""The connections to the stream's socket. A peer that sends more than a reader needs is disconnected ("cut off").

Used by publish.socket, and by publish.audience, which counts the readers among the peers.

A reader sends a handshake, some subscriptions and perhaps heartbeats. Each message that libzmq reads costs memory and
time of the publisher, so floods must be stopped early: the system's count of received bytes shows who sends too much,
and a small buffer (RCVBUF) limits what arrives before that is seen.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field

import zmq

from realtime.runtime.memory import give_back_memory

log = logging.getLogger(__name__)

# A peer may send this much at once, and this much more per second. The largest reader that we allow for subscribes to
# three topics of up to 72 bytes for each of 100 cameras: 37 kB with CURVE. Heartbeats every 0.5 s take 90 bytes/s with
# CURVE.
BURST_BYTES = 65_536
BYTES_PER_S = 256
# The same for all peers together. When it is used up, those that have sent the most are cut off first. libzmq walks
# through all topics when a peer leaves, and hundreds of connections within their allowance would stop the publisher.
ALL_BURST_BYTES = 131_072
ALL_BYTES_PER_S = 32_768
# At most this many connections at a time. Each takes a file descriptor, and 1024 per process is a common limit.
MOST_PEERS = 256
# If all peers together send more than this, new connections are delayed: libzmq reads about 10 kB from each before it
# can be cut off. TCP repeats a connection request after a second.
FLOOD_BURST_BYTES = 131_072
FLOOD_BYTES_PER_S = 65_536
# Intervals (s) at which the received bytes are counted: the shorter one for _BUSY_S after a new connection, and after a
# count of more than _BUSY_BYTES. libzmq reads all that a flood sends between two counts.
_LOOK_S, _BUSY_LOOK_S, _BUSY_S, _BUSY_BYTES = 0.02, 0.001, 0.2, 1000
# Read at most this many events at once. The monitor's queue holds no more: 1000 messages at each end, libzmq's default.
_MOST_EVENTS = 2000
_WARN_EVERY_S = 60.0
# Read at most this many buffers of 64 kB at once from a peer that is cut off.
_MOST_DISCARDED = 64

_WATCHED = zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
_EVENT = struct.Struct("=HI")  # type and value, the first part of the monitor's messages
_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _BPF_RETURN = 26, 27, 6  # Linux: a socket's packet filter
# The system's count of the bytes received on a TCP connection: socket option, size of its struct, offset of a uint64.
_COUNTS = {
    "linux": (11, 136, 128),  # TCP_INFO, struct tcp_info, tcpi_bytes_received (Linux 4.1)
    "darwin": (0x106, 112, 88),  # TCP_CONNECTION_INFO, struct tcp_connection_info, tcpi_rxbytes; not tested
}
COUNTS_BYTES = sys.platform in _COUNTS


def received_bytes(connection: socket.socket) -> int | None:
    """Return how many bytes have been received on a TCP connection; None if the system does not count them."""
    option, size, offset = _COUNTS.get(sys.platform, (0, 0, 0))
    if not option:
        return None
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, option, size)
        return int(struct.unpack_from("<Q", told, offset)[0])
    except (OSError, struct.error):  # not TCP, or an older system
        return None


@dataclass(slots=True)
class Allowance:
    """A limit on usage: how much may be used at once, and how much more per second.

    Attributes:
        burst: how much may be used at once.
        per_s: how much more may be used per second.
        since_s: when it was last used; monotonic seconds.
        left: how much may be used now; negative if too much was used.

    >>> allowance = Allowance(burst=1000, per_s=10, since_s=100.0)
    >>> allowance.use(800, now_s=100.0), allowance.use(300, now_s=101.0), allowance.use(0, now_s=120.0)
    (True, False, True)
    """

    burst: int
    per_s: int
    since_s: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.burst

    def use(self, count: int, now_s: float) -> bool:
        """Use some of it. Return False if more was used than was left."""
        self.left = min(self.burst, self.left + self.per_s * (now_s - self.since_s)) - count
        self.since_s = now_s
        return self.left >= 0


@dataclass(slots=True, eq=False)
class Peer:
    """One connection to the socket.

    Attributes:
        descriptor: libzmq's file descriptor of this connection. Another connection may have it later.
        endpoint: our endpoint that it connected to.
        since_s: monotonic time (s) at which it connected.
        topics: the topic prefixes that it is subscribed to. Used by the publisher's thread only.
        heard_bytes: total size of the messages that the publisher has received from it.
        sent_bytes: how many bytes it had sent at the last count.
        is_cut_off: whether it was disconnected because it sent too much, or there were too many peers.
        allowance: how many bytes it may send.
    """

    descriptor: int
    endpoint: str
    since_s: float
    topics: set[bytes] = field(default_factory=set)
    heard_bytes: int = 0
    sent_bytes: int = 0
    is_cut_off: bool = False
    allowance: Allowance = field(init=False)

    def __post_init__(self) -> None:
        self.allowance = Allowance(BURST_BYTES, BYTES_PER_S, self.since_s)


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
        self._allowance = Allowance(ALL_BURST_BYTES, ALL_BYTES_PER_S, time.monotonic())
        self._traffic = Allowance(FLOOD_BURST_BYTES, FLOOD_BYTES_PER_S, time.monotonic())
        self._listeners: list[Peer] = []
        self._is_barred = False
        self._busy_until_s = 0.0
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

        They include the sender of every message that was received before the call, unless it has disconnected.
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
        events = zmq.Poller()
        events.register(self._monitor.fileno(), zmq.POLLIN)  # not the socket itself: other threads read it too
        while is_open:
            if time.monotonic() < self._busy_until_s:
                time.sleep(_BUSY_LOOK_S)
            else:
                events.poll(round(_LOOK_S * 1000))
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
                peer = Peer(descriptor, endpoint.decode(errors="replace"), time.monotonic())
                if event == zmq.EVENT_ACCEPTED:
                    self._accept(peer)
                    self._busy_until_s = peer.since_s + _BUSY_S
                elif event == zmq.EVENT_LISTENING:
                    self._listeners.append(peer)
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
        """Cut off the peers that have used up their own allowance, or the largest ones if the common one is used up."""
        active: dict[Peer, int] = {}
        all_bytes = 0
        for peer in self._peers.values():
            with contextlib.suppress(OSError), _connection(peer) as connection:
                if peer.is_cut_off:
                    self._discard(connection)
                    continue
                # Over ipc, and on systems that do not count: the bytes that the publisher has read, which are fewer.
                sent_bytes = received_bytes(connection)
                sent_bytes = peer.heard_bytes if sent_bytes is None else sent_bytes
                used_bytes, peer.sent_bytes = sent_bytes - peer.sent_bytes, sent_bytes
                all_bytes += used_bytes
                if not peer.allowance.use(used_bytes, now_s):
                    self._shut(peer)
                elif used_bytes:
                    active[peer] = used_bytes
        self._allowance.use(sum(active.values()), now_s)
        for peer in sorted(active, key=lambda peer: peer.sent_bytes, reverse=True):
            if self._allowance.left >= 0:
                break
            self._shut(peer)
            self._allowance.left += active[peer]
        if all_bytes > _BUSY_BYTES:
            self._busy_until_s = now_s + _BUSY_S
        self._bar(not self._traffic.use(all_bytes, now_s))
        self._traffic.left = max(self._traffic.left, -FLOOD_BYTES_PER_S)  # for at most a second at a time
        if self._cut_off and now_s >= self._warn_from_s:
            log.warning(
                "publish: disconnected peers: %d; there were too many, or they sent more than readers do",
                self._cut_off,
            )
            self._cut_off, self._warn_from_s = 0, now_s + _WARN_EVERY_S
            give_back_memory()

    def _bar(self, is_barred: bool) -> None:
        """Delay new TCP connections, or accept them again. Linux only; existing connections are not affected.

        A filter on the listening socket drops their packets, and the other side repeats them.
        """
        if is_barred == self._is_barred or sys.platform != "linux":
            return
        self._is_barred = is_barred
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        for listener in self._listeners:
            with contextlib.suppress(OSError), _connection(listener) as connection:
                if is_barred:
                    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
                else:
                    connection.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def _shut(self, peer: Peer) -> None:
        """End the connection for libzmq, which then drops the peer with its subscriptions.

        TCP refuses everything that the peer sends from now on. If libzmq may have paused reading, only the reading half
        is shut down. With both halves shut down while it holds a ping of the peer, libzmq would abort the program
        (libzmq issue 4364).
        """
        with contextlib.suppress(OSError), _connection(peer) as connection:
            connection.shutdown(socket.SHUT_RD if received_bytes(connection) is None else socket.SHUT_RDWR)
            peer.is_cut_off = True
            self._cut_off += 1
            self._discard(connection)

    def _discard(self, connection: socket.socket) -> None:
        """Read and discard the data that the peer has sent. Otherwise libzmq would read all of it before the end."""
        for _ in range(_MOST_DISCARDED):
            if not connection.recv_into(self._discarded):
                return


def _connection(peer: Peer) -> socket.socket:
    """Duplicate the descriptor of this peer's connection, so that it can't become another connection while it is used.

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
