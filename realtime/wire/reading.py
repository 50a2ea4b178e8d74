# SPDX-License-Identifier: MIT
"""What every reader of the stream needs: its socket and keys, the two parts of a message, deadlines, bounded memory.

Used by wire.subscriber and wire.command.
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
    endpoints: Sequence[str],
    topics: Sequence[bytes],
    keys: tuple[Key, Key] | None,
    context: zmq.Context[zmq.Socket[bytes]] | None = None,
    longest: int = LONGEST_MESSAGE,
) -> tuple[zmq.Context[zmq.Socket[bytes]], zmq.Socket[bytes]]:
    """Create a SUB socket that connects to all endpoints. Return it with the context that owns it.

    Args:
        endpoints: tcp://HOST:PORT or ipc://PATH.
        topics: subscriptions.
        keys: this reader's key pair and the publisher's public key, as `load_keys` returns them.
        context: the context for the socket; None creates one, which is destroyed if this function fails.
        longest: longest part of a message in bytes. A publisher that sends a longer one is disconnected.

    Raises:
        ValueError: an endpoint is not one of ours, or can't be connected to.
    """
    for endpoint in endpoints:
        parsed = parse_endpoint(endpoint)
        if parsed is None or not parsed.can_connect:
            raise ValueError(f"connect: got {endpoint!r}, expected tcp://HOST:PORT (port 1..65535) or ipc://PATH")
    is_ours, context = context is None, context or zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = RECEIVE_QUEUE
    socket.maxmsgsize = longest
    socket.linger = 0
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = KEEPALIVE_S
    socket.tcp_keepalive_cnt = KEEPALIVE_PROBES
    if keys is not None:
        socket.curve_publickey, socket.curve_secretkey = keys[0].public, keys[0].secret
        socket.curve_serverkey = keys[1].public
    for topic in topics:
        socket.subscribe(topic)
    try:
        for endpoint in endpoints:
            # Only for IPv6 addresses: otherwise "localhost" would become ::1 and miss a publisher on 127.0.0.1.
            socket.ipv6 = endpoint.startswith("tcp://[")
            socket.connect(os.fsencode(endpoint_at_home(endpoint)))  # type: ignore[arg-type] # a path need not be UTF-8
    except zmq.ZMQError as error:
        socket.close()
        if is_ours:
            context.destroy(linger=0)
        raise ValueError(f"connect: got {endpoint!r}: {error.strerror}") from None
    return context, socket


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
    """Milliseconds until the deadline, rounded up, because a wait of 0 would spin through the last millisecond."""
    return None if deadline_s is None else max(0, math.ceil((deadline_s - time.monotonic()) * 1000))


def remember(by_key: dict[_K, _T], key: _K, what: _T, most: int) -> None:
    """Set the value of a key. Forget the one that was set least recently if there are more than `most`."""
    by_key.pop(key, None)
    by_key[key] = what
    if len(by_key) > most:
        del by_key[next(iter(by_key))]
