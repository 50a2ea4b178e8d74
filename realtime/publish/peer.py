"""One connection to a socket of the stream, and how much the peer at its other end has sent.

Used by publish.peers and publish.audience.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

from realtime.publish.allowance import Allowance
from realtime.publish.connection import received_bytes

# A peer may send this much at once, and more per second (publish.purpose). The largest reader that we allow for
# subscribes to three topics of up to 72 bytes for each of 100 cameras: 37 kB with CURVE.
BURST_BYTES = 65_536
# For this long (s), the bytes of a new peer, or of one that has sent something, are counted at the shorter interval.
BUSY_S = 0.2


@dataclass(slots=True, eq=False)
class Peer:
    """One connection to the socket.

    Attributes:
        descriptor: libzmq's file descriptor of this connection. Another connection may have it later.
        endpoint: our endpoint that it connected to.
        since_s: monotonic time (s) at which it connected.
        bytes_per_s: how many bytes it may send per second, after those that it may send at once.
        connection: our own duplicate of the descriptor, which belongs to this connection until it is closed; None if
            it had ended before it could be duplicated, or no descriptors are left.
        topics: the topic prefixes that it is subscribed to. Used by the socket's thread only.
        heard_bytes: total size of the messages that the publisher has received from it.
        sent_bytes: how many bytes it had sent at the last count.
        busy_until_s: until then, its bytes are counted at the shorter interval; monotonic time (s).
        is_cut_off: whether it was disconnected because it sent too much, or there were too many peers.
        allowance: how many bytes it may send.
    """

    descriptor: int
    endpoint: str
    since_s: float
    bytes_per_s: int
    connection: socket.socket | None = None
    topics: set[bytes] = field(default_factory=set)
    heard_bytes: int = 0
    sent_bytes: int = 0
    busy_until_s: float = field(init=False)
    is_cut_off: bool = False
    allowance: Allowance = field(init=False)

    def __post_init__(self) -> None:
        self.allowance = Allowance(BURST_BYTES, self.bytes_per_s, self.since_s)
        self.busy_until_s = self.since_s + BUSY_S

    def count(self) -> int:
        """Update `sent_bytes`, and return how many bytes have been added."""
        # Over ipc, and on systems that do not count: the bytes that the publisher has read, which are fewer.
        counted = received_bytes(self.connection) if self.connection is not None else None
        before, self.sent_bytes = self.sent_bytes, max(self.sent_bytes, counted or 0, self.heard_bytes)
        return self.sent_bytes - before

    def close(self) -> None:
        """Close our duplicate of the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
