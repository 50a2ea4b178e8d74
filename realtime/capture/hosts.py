"""Resolves the host name of a stream, and decides to which other hosts the stream may lead.

Used by capture.connect and by everything that follows a redirect or opens an address that a server named.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from realtime.capture.refusals import LATE, failure
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# A host name that isn't resolved within this time counts as not found.
NAME_TIMEOUT_S = 5.0
# How far away an address is, nearest first.
_PLACES = ("this machine", "an address on the local link", "an address in a private network", "the internet")


def addresses_of(url: str, ends_s: float = math.inf) -> tuple[str, ...]:
    """Resolve the host name of a URL within NAME_TIMEOUT_S. FFmpeg would wait until the system's resolver gives up.

    Args:
        url: any URL.
        ends_s: deadline in monotonic seconds.

    Returns:
        The IP addresses in the system's order of preference; empty for a URL without a host name (udp://:1234).

    Raises:
        SourceError: the host name has no address, or wasn't resolved in time.
    """
    if time.monotonic() >= ends_s:
        raise failure(url, LATE)
    found: list[tuple[str, ...]] = []

    def look_up() -> None:
        try:
            host = urlsplit(url).hostname
            rows = socket.getaddrinfo(host, None) if host else []
        except (OSError, ValueError):  # a label that is too long raises UnicodeError, a ValueError
            return
        found.append(tuple(dict.fromkeys(str(row[4][0]) for row in rows)))

    # A daemon thread, because the system's look-up can't be cancelled.
    thread = threading.Thread(target=look_up, name="look-up", daemon=True)
    thread.start()
    thread.join(max(0.0, min(NAME_TIMEOUT_S, ends_s - time.monotonic())))
    if not found:
        raise SourceError(
            f"{shown(url)}: host name not found: check the address, and write %23 %2F %3F for # / ? in a password",
            SourceReason.DNS,
        )
    return found[0]


def why_closed(url_from: str, url_to: str, addresses_of: Callable[[str], Iterable[str]] = addresses_of) -> str | None:
    """Return why a stream may not lead from one address to another (a redirect, a segment of a playlist).

    A server may lead to its own host and to hosts that are at least as far away as itself: from the internet to the
    internet, from a private network to a private network or the internet. Otherwise, an untrusted server could make
    this machine send requests to services that only it and its neighbours can reach.

    Args:
        url_from: the address that was configured, or that led to `url_to`.
        url_to: the address to which it leads; absolute.
        addresses_of: resolves the host of a URL.

    Returns:
        None if it may, otherwise the kind of place that `url_to` is, as text for a message.

    >>> resolve = {"http://cam.example/": ["8.8.8.8"], "http://10.0.0.5/": ["10.0.0.5"]}.__getitem__
    >>> why_closed("http://cam.example/", "http://10.0.0.5/", resolve)
    'an address in a private network'
    >>> why_closed("http://10.0.0.5/", "http://cam.example/", resolve)

    Raises:
        SourceError: a host name has no address.
    """
    if urlsplit(url_from).hostname == urlsplit(url_to).hostname:
        return None
    # A name may have several addresses. For the first host, the farthest one counts; for the second, the nearest.
    at = max(map(_distance, addresses_of(url_from)), default=0)
    to = min(map(_distance, addresses_of(url_to)), default=0)
    return None if to >= at else _PLACES[to]


def _distance(address: str) -> int:
    """Return the index into _PLACES of an IP address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if nat64 else None)
        if inner is not None:
            ip = inner
    if ip.is_loopback or ip.is_unspecified:
        return 0
    if ip.is_link_local:
        return 1
    return 3 if ip.is_global and not ip.is_multicast else 2
