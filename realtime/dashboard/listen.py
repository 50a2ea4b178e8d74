# SPDX-License-Identifier: MIT
"""The listening socket of the page: bound by an address, or inherited from the pipeline that started this program."""

from __future__ import annotations

import errno
import ipaddress
import socket

from realtime.wire.endpoints import Endpoint

# Connections that the system keeps until they are accepted.
BACKLOG = 128


def bind(address: Endpoint) -> socket.socket:
    """Bind and listen. An address that a program used until just now can be bound at once.

    >>> bound = bind(Endpoint("127.0.0.1", "0"))
    >>> is_local(bound), url(bound).startswith("http://127.0.0.1:")
    (True, True)
    >>> bound.close()

    Raises:
        ValueError: the address is not one of this machine, or another program has it.
    """
    try:
        found = socket.getaddrinfo(address.host, int(address.port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a name"
        raise ValueError(f"bind: {address.host}: {why}; expected an address of this machine") from None
    # Of the two addresses of localhost, browsers and people expect that of IPv4.
    family, kind, protocol, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        shown = f"[{address.host}]" if ":" in address.host else address.host
        advice = "choose another port" if error.errno != errno.EADDRNOTAVAIL else "expected an address of this machine"
        raise ValueError(f"bind: {shown}:{address.port}: {error.strerror}; {advice}") from None
    return listener


def inherit(descriptor: int) -> socket.socket:
    """Take a listening socket that was inherited.

    Raises:
        ValueError: the descriptor is no listening TCP socket.
    """
    try:
        listener = socket.socket(fileno=descriptor)
        is_listening = bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError as error:
        raise ValueError(f"listen-fd: got {descriptor}: {error.strerror}; expected a listening socket") from None
    if not is_listening or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"listen-fd: got {descriptor}, expected a listening TCP socket")
    return listener


def is_local(listener: socket.socket) -> bool:
    """Whether only programs on this machine can connect."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url(listener: socket.socket) -> str:
    """Return the address of the page."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
