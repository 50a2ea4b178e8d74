"""Addresses of streams: which can be read, what their parts are, and how they are written in a request.

Used wherever capture takes an address from the configuration or from a server.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

# Longest address (characters) that a server may name.
LONGEST_ADDRESS = 2048
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
# What an address may contain as it is: the reserved and unreserved characters of RFC 3986, and "%".
_ALLOWED = "%:/?#[]@!$&'()*+,;=-._~"
_PLAIN = re.compile(r"[\w%:/?#\[\]@!$&'()*+,;=.~-]*", re.ASCII)


class Origin(NamedTuple):
    """A server to which a login belongs. If the URL has no port, it is the default of the scheme."""

    scheme: str
    host: str
    port: int


def is_address(url: str) -> bool:
    """Whether host and port of a URL can be read.

    >>> is_address("rtsp://10.0.0.5:554/s1"), is_address("rtsp://10.0.0.5:99999/s1"), is_address("rtsp://[::1/s1")
    (True, False, False)
    """
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port is None or port > 0


def origin_of(url: str) -> Origin | None:
    """Return scheme, host and port of an rtsp, rtsps, http or https URL; None if it isn't one.

    >>> origin_of("HTTP://u:p@Cam.example/live")
    Origin(scheme='http', host='cam.example', port=80)
    """
    if not is_address(url):
        return None
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return Origin(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])


def encoded(url: str) -> str:
    """Return a URL with spaces and letters beyond ASCII percent-encoded, as browsers and FFmpeg send it.

    >>> encoded("http://cam/front door.ts?name=Tür")
    'http://cam/front%20door.ts?name=T%C3%BCr'
    """
    if _PLAIN.fullmatch(url):
        return url
    parts = urlsplit(url)
    path, query = (quote(part, safe=_ALLOWED, errors="replace") for part in (parts.path, parts.query))
    return parts._replace(path=path, query=query, fragment="").geturl()


def without_login(url: str) -> str:
    """Return a URL without user and password.

    >>> without_login("rtsp://u:p@10.0.0.5/s1")
    'rtsp://10.0.0.5/s1'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def with_login(url: str, root: str) -> str:
    """Return a URL with the login of `root` if both have the same scheme, host and port, otherwise without a login.

    >>> with_login("http://cam/a.ts", "http://u:p@cam/live.m3u8"), with_login("http://x:y@other/", "http://u:p@cam/")
    ('http://u:p@cam/a.ts', 'http://other/')
    """
    if origin_of(url) != origin_of(root):
        return without_login(url)
    return urlsplit(url)._replace(netloc=urlsplit(root).netloc).geturl()
