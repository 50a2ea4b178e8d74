# SPDX-License-Identifier: MIT
"""The rule for ZeroMQ endpoints (tcp://HOST:PORT or ipc://PATH) and for the address of a page ([HOST:]PORT).

The configuration checks the endpoints to bind with it, and `subscriber` those to connect to.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import NamedTuple

from realtime.home import at_home

_WILDCARDS = ("0.0.0.0", "::", "*")  # noqa: S104 - recognised, not bound
# Other names of a host. A wildcard has the ports of all.
_HOSTS = {"localhost": "127.0.0.1", "lo": "127.0.0.1"} | dict.fromkeys(_WILDCARDS, "*")


class Endpoint(NamedTuple):
    """The host and the port of an endpoint.

    Attributes:
        host: name or address, without the brackets of IPv6; empty for ipc://PATH.
        port: digits, or * for any free port; empty for ipc://PATH.
    """

    host: str
    port: str

    @property
    def can_connect(self) -> bool:
        """Whether the port is 1..65535, or not needed. ZeroMQ itself would silently wrap a larger one."""
        return self.port == "" or (self.port != "*" and 1 <= int(self.port) <= 65535)

    @property
    def can_bind(self) -> bool:
        """Whether a publisher may use the port, which may also be *."""
        return self.port == "*" or self.can_connect

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        if self.host in ("", "localhost", "lo"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_endpoint(endpoint: str) -> Endpoint | None:
    """Split an endpoint into host and port; None if it has another form.

    >>> parse_endpoint("tcp://[::1]:5555")
    Endpoint(host='::1', port='5555')
    >>> parse_endpoint("tcp://127.0.0.1") is None
    True
    """
    match = re.fullmatch(r"ipc://.+|tcp://(\[[^\]]+\]|[^:/\[\]]+):(\d+|\*)", endpoint)
    return None if match is None else Endpoint((match[1] or "").strip("[]"), match[2] or "")


def clash(one: str, other: str) -> bool:
    """Whether two valid endpoints can't both be bound: they have the same path, or the same port of one host.

    >>> clash("tcp://0.0.0.0:5555", "tcp://127.0.0.1:5555"), clash("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
    (True, False)
    >>> clash("ipc:///run/pose", "ipc:///run/../run/pose"), clash("tcp://127.0.0.1:5555", "tcp://[::1]:5555")
    (True, False)
    """
    first, second = parse_endpoint(one), parse_endpoint(other)
    if first is None or second is None or "*" in (first.port, second.port) or one == other == "ipc://*":
        return False
    if first.port == second.port == "":
        return _place(one) == _place(other)
    hosts = {_HOSTS.get(host, host) for host in (first.host, second.host)}
    return first.port == second.port and (len(hosts) == 1 or "*" in hosts)


def _place(endpoint: str) -> str:
    path = endpoint.removeprefix("ipc://")
    return path if path.startswith("@") else os.path.abspath(path)  # noqa: PTH100 - Path keeps ..


def endpoint_at_home(endpoint: str) -> str:
    """Return the endpoint with a home folder instead of the ~ in ipc://~/PATH.

    >>> endpoint_at_home("ipc:///run/pose"), endpoint_at_home("tcp://127.0.0.1:5555")
    ('ipc:///run/pose', 'tcp://127.0.0.1:5555')

    Raises:
        ValueError: this user has no home folder.
    """
    scheme, _, path = endpoint.partition("://")
    return f"ipc://{at_home(path)}" if scheme == "ipc" else endpoint


def pictures_endpoint(stream: str, announced: str) -> str | None:
    """Return the endpoint to read pictures from, as seen from here.

    >>> pictures_endpoint("tcp://camera-pc:5555", "tcp://0.0.0.0:5556")
    'tcp://camera-pc:5556'
    >>> pictures_endpoint("tcp://camera-pc:5555", "tcp://127.0.0.1:5556") is None  # loopback of the other machine
    True

    Args:
        stream: endpoint through which the stream is read.
        announced: `pictures` of the info message. A publisher must not choose a file here, so ipc is refused.
    """
    ours, theirs = parse_endpoint(stream), parse_endpoint(announced)
    if theirs is None or not theirs.host or not theirs.can_connect:
        return None
    if theirs.host not in _WILDCARDS:
        is_there = theirs.is_local and not (ours is not None and ours.is_local)
        return None if is_there else announced
    host = "127.0.0.1" if ours is None or not ours.host else ours.host
    return f"tcp://[{host}]:{theirs.port}" if ":" in host else f"tcp://{host}:{theirs.port}"


def parse_address(text: str) -> Endpoint | None:
    """Split the address of a page into host and port; None if it has another form. The default host is 127.0.0.1.

    >>> parse_address("8080"), parse_address("[::1]:8080")
    (Endpoint(host='127.0.0.1', port='8080'), Endpoint(host='::1', port='8080'))
    >>> parse_address("localhost") is None
    True
    """
    match = re.fullmatch(r"(?:(\[[^\]/]+\]|[^:/\[\]\s]+):)?([0-9]{1,5})", text)
    return None if match is None else Endpoint((match[1] or "127.0.0.1").strip("[]"), match[2])


def is_web_url(text: str) -> bool:
    """Whether a text is an http:// or https:// URL that can be a link on a page.

    >>> is_web_url("https://example.org/source?v=2"), is_web_url("javascript:alert(1)"), is_web_url("https://x y")
    (True, False, False)
    """
    return text.isprintable() and re.fullmatch(r"https?://[^\s<>\"']+", text) is not None


def is_host_name(text: str) -> bool:
    """Whether a text can be the name of a host: no scheme, no port.

    >>> is_host_name("cams.example.org"), is_host_name("https://cams.example.org"), is_host_name("cams:443")
    (True, False, False)
    """
    return re.fullmatch(r"[A-Za-z0-9._-]{1,253}", text) is not None
