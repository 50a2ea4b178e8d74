"""Decides to which addresses a server may lead, by a redirect or by an address in a playlist.

Used by capture.rtsp and capture.web, which follow redirects in FFmpeg's place (FFmpeg takes the login along), and by
capture.download.
"""

from __future__ import annotations

import math
import re
from functools import partial
from urllib.parse import urljoin, urlsplit

from realtime.capture.addresses import LONGEST_ADDRESS, is_address, origin_of, with_login, without_login
from realtime.capture.dialogue import Reply
from realtime.capture.hosts import addresses_of, why_closed
from realtime.capture.tls import TLS_SCHEMES, Tls
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# A stream that redirects more often than this is not opened.
MAX_REDIRECTS = 5
_KINDS = (("rtsp", "rtsps"), ("http", "https"))


def is_redirect(reply: Reply) -> bool:
    """Whether a reply sends us to another address."""
    return 300 <= reply.status < 400 and reply.status != 304


def next_url(url: str, reply: Reply, tls: Tls, ends_s: float = math.inf) -> str:
    """Return the address to which a reply redirects.

    It contains the login of `url` only if scheme, host and port stay the same. A login in the server's reply is left
    out.

    Args:
        url: the address that was requested.
        reply: a reply for which `is_redirect` is true.
        tls: if certificates are verified, a redirect must not lead to an address without TLS.
        ends_s: deadline for resolving host names, in monotonic seconds.

    Raises:
        SourceError: the address can't be read, is of another kind (rtsp or http), loses TLS although certificates are
            verified, or is closer to this machine than `url`.
    """
    location = reply.get("location")
    if not location or len(location) > LONGEST_ADDRESS or re.search(r"[\x00-\x20\x7f-\uffff]", location):
        raise _refused(url, "redirects to an address that can't be read")
    try:
        joined = _joined(url, location)
    except ValueError:
        raise _refused(url, "redirects to an address that can't be read") from None
    if (why := why_refused(url, joined, tls, ends_s)) is not None:
        raise _refused(url, f"redirects to {why}")
    return with_login(urlsplit(joined)._replace(fragment="").geturl(), url)


def why_refused(url_from: str, url_to: str, tls: Tls, ends_s: float = math.inf) -> str | None:
    """Return why a server may not lead from one address to another.

    Args:
        url_from: the address that was requested.
        url_to: the address that the server named; absolute.
        tls: if certificates are verified, `url_to` must not be an address without TLS.
        ends_s: deadline for resolving host names, in monotonic seconds.

    Returns:
        None if it may, otherwise text that continues "leads to ..." and says why not.

    Raises:
        SourceError: a host name has no address.
    """
    before = origin_of(url_from)
    if before is None or len(url_to) > LONGEST_ADDRESS or not is_address(url_to):
        return "an address that can't be read"
    after, bare = origin_of(url_to), shown(without_login(url_to))
    kind = next(kind for kind in _KINDS if before.scheme in kind)
    if urlsplit(url_to).scheme not in kind:
        return f"{bare}, expected {' or '.join(kind)}"
    if after is None:
        return "an address that can't be read"
    if tls.verify and before.scheme in TLS_SCHEMES and after.scheme not in TLS_SCHEMES:
        return f"{bare}, which is not encrypted, but tls_verify is set"
    if (place := why_closed(url_from, url_to, partial(addresses_of, ends_s=ends_s))) is not None:
        return f"{bare}, {place}: not allowed, because the server is farther away from this machine"
    return None


def too_often(url: str) -> SourceError:
    """Return the error for a stream that redirects too often."""
    return _refused(url, f"redirects more than {MAX_REDIRECTS} times")


def _joined(url: str, location: str) -> str:
    """Resolve a Location, which may be relative. `urljoin` doesn't know all schemes, so it gets http instead."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:", location):
        return location
    scheme, _, rest = url.partition(":")
    return f"{scheme}:{urljoin(f'http:{rest}', location).partition(':')[2]}"


def _refused(url: str, why: str) -> SourceError:
    return SourceError(f"{shown(url)}: {why}", SourceReason.REDIRECT)
