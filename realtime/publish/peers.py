"""The connections to a socket of the stream. A peer that sends more than a reader needs is disconnected ("cut off").

Used by publish.socket, and by publish.audience, which follows their subscriptions.

A reader sends a handshake, some subscriptions and perhaps heartbeats. Each message that libzmq reads costs memory and
time of the publisher, so floods must be stopped early: the system's count of received bytes shows who sends too much,
and a small buffer (RCVBUF) limits what arrives before that is seen.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time

import zmq

from realtime.publish.allowance import Allowance
from realtime.publish.connection import discard, open_connection, received_bytes, set_barred, shut
from realtime.publish.peer import BUSY_S, Peer
from realtime.publish.purpose import Purpose
from realtime.publish.refusals import FAILURES, Refusals
from realtime.runtime.memory import give_back_memory

log = logging.getLogger(__name__)

# All peers together may send this much at once, and this much more per second (each of them: publish.peer). When it is
# used up, those that are sending the most at this moment are cut off first, and a reader that sends nothing but
# heartbeats stays. libzmq walks through all topics when a peer leaves, and hundreds of connections within their
# allowance would stop the publisher.
ALL_BURST_BYTES = 262_144
ALL_BYTES_PER_S = 32_768
# If all peers together send more than this, new connections are delayed: libzmq reads about 10 kB from each before it
# can be cut off. TCP repeats a connection request after a second.
FLOOD_BURST_BYTES = 262_144
FLOOD_BYTES_PER_S = 65_536
# Subscriptions to topics that exist do not count for the last two limits, because they add hardly anything to libzmq's
# topics: after a restart, 20 of the largest readers return at once. But reading them takes time, so they have these
# limits of their own.
KNOWN_BURST_BYTES = 786_432
KNOWN_BYTES_PER_S = 32_768
# Intervals (s) at which the received bytes are counted. The shorter one is for new connections and those that have sent
# something, for BUSY_S; libzmq reads all that a flood sends between two counts. Without peers, nothing is counted.
_IDLE_LOOK_S, _LOOK_S, _BUSY_LOOK_S = 1.0, 0.02, 0.001
_BUSY_BYTES = 1000  # if more was received between two counts, there is a flood, and the next count follows soon
# Read at most this many events at once. The monitor's queue holds no more: 1000 messages at each end, libzmq's default.
_MOST_EVENTS = 2000
_WARN_EVERY_S = 60.0

_WATCHED = zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED | sum(FAILURES)
_EVENT = struct.Struct("=HI")  # type and value, the first part of the monitor's messages


class Peers:
    """Follows the connections of a socket on a thread of its own, and cuts off those that send too much.

    If the events of a socket's monitor are not read, libzmq's thread waits, and the socket can't be closed (libzmq
    issue 3575). Therefore this thread reads them from before the first bind until the socket is closed.
    """

    def __init__(self, publisher: zmq.Socket[bytes], purpose: Purpose, refusals: Refusals) -> None:
        """Start the thread. It ends when the socket is closed or its context terminated.

        Args:
            publisher: the socket, not bound yet.
            purpose: tells how many peers may connect, and how much they may send.
            refusals: notified of each handshake that fails.
        """
        self._purpose, self._refusals = purpose, refusals
        self._peers: dict[int, Peer] = {}
        self._allowance = Allowance(ALL_BURST_BYTES, ALL_BYTES_PER_S, time.monotonic())
        self._traffic = Allowance(FLOOD_BURST_BYTES, FLOOD_BYTES_PER_S, time.monotonic())
        self._known = Allowance(KNOWN_BURST_BYTES, KNOWN_BYTES_PER_S, time.monotonic())
        self._excused_bytes = 0
        self._listeners: list[socket.socket] = []
        self._is_barred = False
        self._has_counted = False  # some systems have the count, but it stays 0
        self._busy_until_s = self._all_next_s = 0.0
        self._cut_off = 0
        self._warn_from_s = 0.0
        self._lock = threading.Lock()
        address = f"inproc://peers-{id(self)}"
        publisher.monitor(address, _WATCHED)
        self._monitor = publisher.context.socket(zmq.PAIR)
        self._monitor.linger = 0
        self._monitor.connect(address)
        self._wake, self._woken = socket.socketpair()  # for when another thread reads the event of the first peer
        self._wake.setblocking(False)
        self._events = zmq.Poller()
        self._events.register(self._monitor.fileno(), zmq.POLLIN)  # not the socket itself: other threads read it too
        self._events.register(self._woken, zmq.POLLIN)
        self._read_events()  # libzmq signals an event only if an earlier read has found none
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
        self._thread.start()

    def connected(self) -> dict[int, Peer]:
        """Return the peers that are connected now, by descriptor. Any thread may call this.

        They include the sender of every message that was received before the call, unless it has disconnected.
        """
        with self._lock:
            is_first = not self._peers
            self._read_events()
            if is_first and self._peers:
                with contextlib.suppress(OSError):  # the thread has ended, or is woken up already
                    self._wake.send(b"x")
            return {number: peer for number, peer in self._peers.items() if not peer.is_cut_off}

    def cut_off(self, peer: Peer) -> None:
        """End this connection. Any thread may call this."""
        with self._lock:
            self._shut(peer)

    def excuse(self, size: int) -> None:
        """Don't count these bytes, which were subscriptions to topics that exist, towards the limits of all peers.

        Any thread may call this.
        """
        with self._lock:
            self._known.use(0, time.monotonic())
            size = min(size, int(self._known.left))
            self._known.left -= size
            self._excused_bytes += size

    def can_have_sent(self, peer: Peer, size: int) -> bool:
        """Whether a message of this size can be from this peer. Any thread may call this.

        libzmq names the sender by a descriptor, which another connection may have by now. A peer that has sent less
        than the message takes is not its sender.
        """
        with self._lock:
            if peer.sent_bytes >= size or peer.connection is None or not self._has_counted:
                return True
            counted = received_bytes(peer.connection)
            return counted is None or counted >= size

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread, after the socket was closed."""
        self._thread.join(timeout_s)

    def _watch(self) -> None:
        is_open = True
        while is_open:
            if time.monotonic() < self._busy_until_s:
                time.sleep(_BUSY_LOOK_S)
            elif self._woken.fileno() in dict(self._events.poll(self._wait_ms())):
                self._woken.recv(64)
            with self._lock:
                is_open = self._read_events()
                self._look(time.monotonic())
        with self._lock:
            self._monitor.close()
            for peer in self._peers.values():
                peer.close()
            for opened in (*self._listeners, self._wake, self._woken):
                opened.close()

    def _wait_ms(self) -> int:
        """How long to wait for events, while no peer sends."""
        return round(1000 * (_LOOK_S if self._peers or self._is_barred or self._cut_off else _IDLE_LOOK_S))

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
                    self._accept(Peer(descriptor, os.fsdecode(endpoint), time.monotonic(), self._purpose.bytes_per_s))
                elif event == zmq.EVENT_LISTENING and endpoint.startswith(b"tcp:"):
                    with contextlib.suppress(OSError):
                        self._listeners.append(open_connection(descriptor, os.fsdecode(endpoint)))
                elif event == zmq.EVENT_DISCONNECTED:
                    self._refusals.end(self._peers.get(descriptor))
                    self._remove(descriptor)
                elif event in FAILURES:
                    self._refusals.begin(event, descriptor, os.fsdecode(endpoint))
                elif event == zmq.EVENT_MONITOR_STOPPED:
                    return False
        return True

    def _accept(self, peer: Peer) -> None:
        """Add a peer. If there are too many, cut off the oldest one without a subscription, or else the new one."""
        self._remove(peer.descriptor)
        with contextlib.suppress(OSError):
            peer.connection = open_connection(peer.descriptor, peer.endpoint)
        if len(self._peers) >= self._purpose.most_peers:
            others = [other for other in self._peers.values() if not other.is_cut_off]
            if len(others) >= self._purpose.most_peers:
                silent = [other for other in others if not other.topics]
                self._shut(min(silent, key=lambda other: other.since_s, default=peer))
        self._peers[peer.descriptor] = peer
        self._busy_until_s = peer.busy_until_s

    def _remove(self, descriptor: int) -> None:
        if (peer := self._peers.pop(descriptor, None)) is not None:
            peer.close()

    def _look(self, now_s: float) -> None:
        """Cut off peers that have used up their allowance; if the common one is used up, those that send the most."""
        active: dict[Peer, int] = {}
        all_bytes = 0
        due, excused_bytes = self._due(now_s)
        for peer in due:
            if peer.is_cut_off:
                if peer.connection is not None:
                    discard(peer.connection)
            elif used_bytes := peer.count():
                self._has_counted = True
                peer.busy_until_s = now_s + BUSY_S
                all_bytes += used_bytes
                if peer.allowance.use(used_bytes, now_s):
                    active[peer] = used_bytes
                else:
                    self._shut(peer)
        self._allowance.use(sum(active.values()) - excused_bytes, now_s)
        for peer in sorted(active, key=active.__getitem__, reverse=True):
            if self._allowance.left >= 0:
                break
            self._shut(peer)
            self._allowance.left += active[peer]
        if all_bytes > _BUSY_BYTES:
            self._busy_until_s = now_s + BUSY_S
        self._bar(not self._traffic.use(all_bytes - excused_bytes, now_s))
        self._traffic.left = max(self._traffic.left, -FLOOD_BYTES_PER_S)  # for at most a second at a time
        if self._cut_off and now_s >= self._warn_from_s:
            why = "there were too many, or they sent more than readers do"
            log.warning("%s: disconnected peers: %d; %s", self._purpose.key, self._cut_off, why)
            self._cut_off, self._warn_from_s = 0, now_s + _WARN_EVERY_S
            give_back_memory()
        self._refusals.tell(now_s)

    def _due(self, now_s: float) -> tuple[list[Peer], int]:
        """Return the peers whose bytes are to be counted now, and how many bytes to excuse.

        All peers are due at the longer interval, and only the busy ones in between. Bytes are excused when all peers
        are counted, because then they have been counted too.
        """
        if now_s < self._all_next_s:
            return [peer for peer in self._peers.values() if now_s < peer.busy_until_s], 0
        self._all_next_s = now_s + _LOOK_S
        excused_bytes, self._excused_bytes = self._excused_bytes, 0
        return list(self._peers.values()), excused_bytes

    def _bar(self, is_barred: bool) -> None:
        """Delay new TCP connections, or accept them again."""
        if is_barred != self._is_barred:
            self._is_barred = is_barred
            for listener in self._listeners:
                set_barred(listener, is_barred)

    def _shut(self, peer: Peer) -> None:
        """End the connection, unless it has ended already."""
        if peer.connection is None or peer.is_cut_off:
            return
        with contextlib.suppress(OSError):
            shut(peer.connection)
            peer.is_cut_off = True
            self._cut_off += 1
            discard(peer.connection)
