"""Requests to an RTSP server before FFmpeg opens its stream.

FFmpeg's RTSP client follows any number of redirects, takes the login along, and has no option to prevent it. So this
module makes the same requests first, and gives FFmpeg the final address, without the login if that is another server.
Used by capture.connect.
"""

from __future__ import annotations

from typing import NamedTuple

from realtime.capture.addresses import without_login
from realtime.capture.connection import OddAnswerError
from realtime.capture.dialogue import BODY_BYTES, Dialogue, Reply
from realtime.capture.login import challenge_of, has_login
from realtime.capture.redirects import MAX_REDIRECTS, is_redirect, next_url, too_often
from realtime.capture.refusals import REFUSALS, UNKNOWN_LOGIN
from realtime.capture.tls import Tls
from realtime.errors import SourceError
from realtime.redact import shown


class Seen(NamedTuple):
    """The result of `look`.

    Attributes:
        address: the address for FFmpeg: the one after all redirects. An answer that isn't understood ends the search.
            The address then has no login, because FFmpeg may understand the answer as a redirect to another server.
        is_described: whether the server described the stream. It may have started the stream for that, and need a
            moment to stop it.
    """

    address: str
    is_described: bool


def look(url: str, ends_s: float, tls: Tls) -> Seen:
    """Request the description of an RTSP stream, and follow its redirects.

    The first request has no login. If the server requires one, it is sent once, because the answer to it may be a
    redirect too. It is sent to the URL's own scheme, host and port only.

    Args:
        url: an rtsp or rtsps URL.
        ends_s: deadline for all requests, in monotonic seconds.
        tls: how to treat the server's certificate.

    Raises:
        SourceError: the server can't be reached, its certificate isn't trusted, it rejects the login or the path, sends
            too much, or redirects too often or to an address that is not allowed.
    """
    at = url
    for _ in range(MAX_REDIRECTS + 1):
        try:
            reply = _description(at, ends_s, tls)
        except OddAnswerError:
            return Seen(without_login(at), False)
        if is_redirect(reply):
            at = next_url(at, reply, tls, ends_s)
            continue
        if reply.status in REFUSALS:
            raise _refusal(url, at, reply)
        return Seen(at, reply.status == 200)
    raise too_often(url)


def _description(url: str, ends_s: float, tls: Tls) -> Reply:
    """Return the answer to DESCRIBE, or the one to OPTIONS if that redirects."""
    with Dialogue(url, ends_s, tls.context) as dialogue:
        reply = dialogue.ask("OPTIONS")  # some cameras require it before any other request
        if not is_redirect(reply):
            reply = dialogue.ask("DESCRIBE", "Accept: application/sdp", login=True)
            dialogue.body(BODY_BYTES)  # FFmpeg would read a description of any size
        return reply


def _refusal(url: str, at: str, reply: Reply) -> SourceError:
    reason, advice = REFUSALS[reply.status]
    challenges = reply.all("www-authenticate")
    if reply.status == 401 and has_login(url) and not has_login(at):
        advice = f"login failed: it redirects to {shown(at)}, which requires a login: configure that address directly"
    elif reply.status == 401 and challenges and challenge_of(challenges) is None:
        advice = UNKNOWN_LOGIN
    return SourceError(f"{shown(url)}: {advice}", reason)
