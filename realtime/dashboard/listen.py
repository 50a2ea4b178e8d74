# SPDX-License-Identifier: MIT
"""The listening socket of the page: bound by an address, or inherited from the pipeline that started this program."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket

from realtime.wire.endpoints import Endpoint

# Connections that the system keeps until they are accepted.
BACKLOG = 128
# An address that is reserved for documentation (RFC 5737 and 3849), by family. A socket that is connected to it has our
# own address on the way to other networks; nothing is sent.
_FAR = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_ANY_PORT = 9
_WHY_NOT_BOUND = {
    errno.EADDRINUSE: "already in use by another program: choose another port",
    errno.EACCES: "permission denied: choose a port above 1023",
    errno.EADDRNOTAVAIL: "no network interface of this machine has this address",
    errno.EAFNOSUPPORT: "this machine has no IPv6",
    errno.ENODEV: "no such network interface",
}


def bind(address: Endpoint) -> socket.socket:
    """Bind and listen. An address that a program used until just now can be bound at once.

    >>> bound = bind(Endpoint("127.0.0.1", "0"))
    >>> is_local(bound), url(bound).startswith("http://127.0.0.1:")
    (True, True)
    >>> bound.close()

    Raises:
        ValueError: the address is not one of this machine, or another program has it.
    """
    shown = f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"
    try:
        found = socket.getaddrinfo(address.host, int(address.port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):  # UnicodeError: a part of the name is empty or too long
        raise ValueError(
            f"can't bind {shown}: neither an address nor a name that can be found: expected an address of this "
            "machine, such as 127.0.0.1 or 0.0.0.0"
        ) from None
    # A name may have both kinds of addresses, as localhost has: people expect that of IPv4, and browsers try both.
    family, kind, protocol, _, place = min(found, key=lambda one: one[0] != socket.AF_INET)
    try:
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        why = _WHY_NOT_BOUND.get(error.errno or 0, error.strerror or str(error))
        raise ValueError(f"can't bind {shown}: {why}") from None
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
        raise ValueError(f"got {descriptor}: {error.strerror}; expected a listening socket") from None
    if not is_listening or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"got {descriptor}, expected a listening TCP socket")
    return listener


def is_local(listener: socket.socket) -> bool:
    """Whether only programs on this machine can connect."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url(listener: socket.socket) -> str:
    """Return the address of the page for a browser. If it is on all addresses, choose one that other machines reach."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = _outward(listener.family)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _outward(family: socket.AddressFamily) -> str:
    """The address of this machine on the way to other networks, or on the loopback if there is no such way."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_FAR[family], _ANY_PORT))
        return str(probe.getsockname()[0])
    return "::1" if family == socket.AF_INET6 else "127.0.0.1"
