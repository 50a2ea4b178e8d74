"""The listening sockets of the live page, and the addresses under which a browser opens it.

Not on the data path. realtime.web.page opens the sockets before the models load, so that a wrong or busy address is
found at once, and gives them to the process that serves the page. They stay open here: the page has the same port when
that process has to be started again.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket

from realtime.errors import OutputError
from realtime.wire.endpoints import Endpoint, parse_address

# Connections that may wait until the process is there to accept them.
_BACKLOG = 128
# Addresses reserved for documentation (RFC 5737 and 3849). A socket that is connected to one shows our own address on
# the way to the internet; nothing is sent.
_FAR = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - compared, not bound
_ANY_PORT = 9

_WHY_NOT_BOUND = {
    errno.EADDRINUSE: "already in use by another program: choose another port",
    errno.EACCES: "permission denied: choose a port above 1023",
    errno.EADDRNOTAVAIL: "no network interface of this machine has this address",
    errno.EAFNOSUPPORT: "this machine has no IPv6",
    errno.ENODEV: "no such network interface",
}


def open_listeners(web: str) -> list[socket.socket]:
    """Bind and listen.

    A restarted program can bind at once, also while connections of the last one are still being closed. `localhost` is
    every address of this name, so that a browser finds the page whichever it tries. `[::]` and `*` are every address of
    the machine, of IPv4 and IPv6.

    Args:
        web: [HOST:]PORT, as in the configuration.

    Returns:
        The sockets, which child processes do not inherit unless they are told to; more than one for a name with
        several addresses.

    Raises:
        OutputError: the address can't be bound.
    """
    with contextlib.ExitStack() as on_error:
        listeners: list[socket.socket] = []
        missing: OSError | None = None
        addresses = _resolved(web)
        for family, address in addresses:
            listener = on_error.enter_context(socket.socket(family, socket.SOCK_STREAM))
            try:
                _listen(listener, address, takes_ipv4=len(addresses) == 1 and address[0] == "::")
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise _not_bound(web, error) from None
                missing = error  # a machine without IPv6 may still know the address ::1 of localhost
            else:
                listeners.append(listener)
        if missing is not None and not listeners:
            raise _not_bound(web, missing)
        on_error.pop_all()
        return listeners


def page_urls(web: str) -> list[str]:
    """Return the addresses of the page for a browser, first the one that other machines reach, if any can.

    >>> page_urls("8080"), page_urls("[::1]:80")
    (['http://127.0.0.1:8080/'], ['http://[::1]:80/'])

    Args:
        web: [HOST:]PORT, as in the configuration.
    """
    host, port = _parsed(web)
    try:
        everywhere = host == "*" or ipaddress.ip_address(host).is_unspecified
    except ValueError:
        everywhere = False
    loopback = "[::1]" if ":" in host else "127.0.0.1"
    hosts = [*_outward(host), loopback] if everywhere else [f"[{host}]" if ":" in host else host]
    return [f"http://{name}:{port}/" for name in hosts]


def _parsed(web: str) -> Endpoint:
    parsed = parse_address(web)
    if parsed is None:
        raise ValueError(f"web: got {web!r}, expected [HOST:]PORT")
    return parsed


# Any: the form of an address depends on its family.
def _resolved(web: str) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    host, port = _parsed(web)
    try:
        found = socket.getaddrinfo(
            None if host == "*" else host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):  # UnicodeError: a label of the name is empty or too long
        raise OutputError(
            f"web: can't bind {web}: {host} is neither an address nor the name of a host: expected an address of this "
            "machine, such as 127.0.0.1 or 0.0.0.0"
        ) from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen(listener: socket.socket, address: tuple[object, ...], takes_ipv4: bool) -> None:
    if hasattr(socket, "SO_REUSEADDR"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not takes_ipv4))
    listener.bind(address)
    listener.listen(_BACKLOG)


def _not_bound(web: str, error: OSError) -> OutputError:
    why = _WHY_NOT_BOUND.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"web: can't bind {web}: {why}")


def _outward(host: str) -> list[str]:
    """The machine's own address on the way to other networks; empty if there is no such way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_FAR["::" if ":" in host else "0.0.0.0"], _ANY_PORT))  # noqa: S104
        own = str(probe.getsockname()[0])
        return [f"[{own}]" if ":" in own else own]
    return []
