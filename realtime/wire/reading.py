# SPDX-License-Identifier: MIT
"""What every reader of the stream needs: its socket and keys, the two parts of a message, deadlines, bounded memory.

Used by wire.connections, wire.subscriber and wire.command, and by dashboard.feed.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import zmq

from realtime import wire
from realtime.home import at_home
from realtime.wire.endpoints import endpoint_at_home, parse_endpoint
from realtime.wire.keys import Key, load_public, load_secret

_K = TypeVar("_K")
_T = TypeVar("_T")
DEFAULT_ENDPOINT = "tcp://127.0.0.1:5555"
# Length of the receive queue in messages: two seconds of one camera. A longer queue only adds latency to a slow reader.
RECEIVE_QUEUE = 64
# TCP keep-alive detects that the publisher's machine is gone. The system probes a silent connection every KEEPALIVE_S
# seconds and drops it after KEEPALIVE_PROBES unanswered probes; then ZeroMQ reconnects. ZeroMQ's own heartbeats don't
# work here: with them, libzmq aborts a reader that pauses until its queue is full (libzmq issue 3937).
KEEPALIVE_S = 1
KEEPALIVE_PROBES = 3
# Limits on the memory that a publisher can make its readers use. The longest message of our publisher has about 2 MB:
# 300 people with 133 keypoints each, before and after smoothing, as JSON.
LONGEST_MESSAGE = 8 * 2**20
# Longest wait at once, because libzmq takes no longer or infinite one.
LONGEST_WAIT_MS = 3_600_000
# Cameras per endpoint whose last messages are remembered: as many as our publisher accepts.
MOST_CAMERAS = 1000


def load_keys(curve_secret: str | Path | None, curve_server: str | Path | None) -> tuple[Key, Key] | None:
    """Load this reader's key pair and the publisher's public key; None if the stream needs no keys.

    Raises:
        ValueError: only one of the files is given, or one can't be read.
    """
    if curve_secret is None and curve_server is None:
        return None
    if curve_secret is None or curve_server is None:
        raise ValueError("PoseSubscriber: got only one of curve_secret and curve_server, expected both or neither")
    return load_secret(Path(at_home(str(curve_secret)))), load_public(Path(at_home(str(curve_server))))


def open_socket(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    topics: Sequence[bytes],
    keys: tuple[Key, Key] | None,
    longest: int = LONGEST_MESSAGE,
    events: int = 0,
) -> zmq.Socket[bytes]:
    """Create a SUB socket and connect it.

    Args:
        context: the context for the socket.
        endpoint: tcp://HOST:PORT or ipc://PATH.
        topics: subscriptions.
        keys: this reader's key pair and the publisher's public key, as `load_keys` returns them.
        longest: longest part of a message in bytes. A publisher that sends a longer one is disconnected.
        events: the events that its `get_monitor_socket` reports, from its first connection on.

    Raises:
        ValueError: the endpoint is not one of ours, or can't be connected to.
    """
    parsed = parse_endpoint(endpoint)
    if parsed is None or not parsed.can_connect:
        raise ValueError(f"connect: got {endpoint!r}, expected tcp://HOST:PORT (port 1..65535) or ipc://PATH")
    try:
        socket = context.socket(zmq.SUB)
        if events:
            socket.get_monitor_socket(events)
        socket.rcvhwm = RECEIVE_QUEUE
        socket.maxmsgsize = longest
        socket.linger = 0
        socket.tcp_keepalive = 1
        socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = KEEPALIVE_S
        socket.tcp_keepalive_cnt = KEEPALIVE_PROBES
        # Only for IPv6 addresses: otherwise "localhost" would become ::1 and miss a publisher on 127.0.0.1.
        socket.ipv6 = endpoint.startswith("tcp://[")
        if keys is not None:
            socket.curve_publickey, socket.curve_secretkey = keys[0].public, keys[0].secret
            socket.curve_serverkey = keys[1].public
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(os.fsencode(endpoint_at_home(endpoint)))  # type: ignore[arg-type] # a path need not be UTF-8
    except zmq.ZMQError as error:
        raise ValueError(f"connect: got {endpoint!r}: {error.strerror}") from None
    return socket


def two_parts(parts: list[bytes]) -> tuple[bytes, bytes]:
    """Return topic and payload of a message.

    Raises:
        WireError: it doesn't have two parts.
    """
    if len(parts) != 2:
        raise wire.WireError(f"message parts: got {len(parts)}, expected two: topic and payload")
    return parts[0], parts[1]


def deadline(timeout_s: float | None) -> float | None:
    """Return the monotonic time (s) at which a timeout (s) that begins now will be over; None: never."""
    return None if timeout_s is None else time.monotonic() + timeout_s


def wait_ms(deadline_s: float | None) -> int | None:
    """Milliseconds until the deadline, at most LONGEST_WAIT_MS; None: no deadline.

    Rounded up, because a wait of 0 would spin through the last millisecond.
    """
    if deadline_s is None:
        return None
    return math.ceil(min(max(0.0, (deadline_s - time.monotonic()) * 1000), LONGEST_WAIT_MS))


def remember(by_key: dict[_K, _T], key: _K, what: _T, most: int) -> None:
    """Set the value of a key. Forget the one that was set least recently if there are more than `most`."""
    by_key.pop(key, None)
    by_key[key] = what
    if len(by_key) > most:
        del by_key[next(iter(by_key))]
