"""The address to which a server redirects, and whether it may.

Used by capture.rtsp and capture.web, which follow redirects in FFmpeg's place. FFmpeg takes the login along.
"""

from __future__ import annotations

import math
import re
from functools import partial
from urllib.parse import urljoin

from realtime.capture.dialogue import OddAnswerError, Reply, parted
from realtime.capture.hosts import addresses_of, why_closed
from realtime.capture.tls import TLS_SCHEMES, Tls
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# A stream that redirects more often than this is not opened.
MAX_REDIRECTS = 5
# Longest address in characters that a redirect may name.
_MAX_LOCATION = 2048
_KINDS = (("rtsp", "rtsps"), ("http", "https"))


def is_redirect(reply: Reply) -> bool:
    """Whether a reply sends us to another address."""
    return 300 <= reply.status < 400 and reply.status != 304


def next_url(url: str, reply: Reply, tls: Tls, ends_s: float = math.inf) -> str:
    """Return the address to which a reply redirects.

    It contains the login of `url` only if scheme, host and port stay the same. A login that the server names is left
    out.

    Args:
        url: the address that was asked for.
        reply: a reply for which `is_redirect` is true.
        tls: if certificates are verified, a redirect must not lead to an address without TLS.
        ends_s: deadline for resolving host names, in monotonic seconds.

    Raises:
        SourceError: the address can't be read, is of another kind (rtsp or http), loses TLS although certificates are
            verified, or is closer to this machine than `url`.
    """
    location = reply.get("location")
    if not location or len(location) > _MAX_LOCATION or re.search(r"[\x00-\x20\x7f-\uffff]", location):
        raise _refused(url, "redirects to an address that can't be read")
    try:
        joined = _joined(url, location)
        before, port = parted(url)
        after, new_port = parted(joined)
    except (OddAnswerError, ValueError):
        raise _refused(url, "redirects to an address that can't be read") from None
    bare = after._replace(netloc=after.netloc.rpartition("@")[2], fragment="")
    kind = next(kind for kind in _KINDS if before.scheme in kind)
    if after.scheme not in kind:
        raise _refused(url, f"redirects to {shown(bare.geturl())}, expected {' or '.join(kind)}")
    if tls.verify and before.scheme in TLS_SCHEMES and after.scheme not in TLS_SCHEMES:
        raise _refused(url, f"redirects to {shown(bare.geturl())}, which is not encrypted, but tls_verify is set")
    if (closed := why_closed(url, joined, partial(addresses_of, ends_s=ends_s))) is not None:
        why = "not allowed, because the server is farther away from this machine"
        raise _refused(url, f"redirects to {shown(bare.geturl())}, {closed}: {why}")
    if (before.scheme, before.hostname, port) == (after.scheme, after.hostname, new_port):
        return bare._replace(netloc=before.netloc).geturl()
    return bare.geturl()


def too_often(url: str) -> SourceError:
    """Return the error of a stream that never stops redirecting."""
    return _refused(url, f"redirects more than {MAX_REDIRECTS} times")


def _joined(url: str, location: str) -> str:
    """Resolve a Location, which may be relative. `urljoin` doesn't know all schemes, so they become http meanwhile."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", location):
        return location
    scheme, _, rest = url.partition(":")
    return f"{scheme}:{urljoin(f'http:{rest}', location).partition(':')[2]}"


def _refused(url: str, why: str) -> SourceError:
    return SourceError(f"{shown(url)}: {why}", SourceReason.REDIRECT)
