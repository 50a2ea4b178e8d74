"""Requests to an HTTP server after FFmpeg could not open its stream.

FFmpeg is not allowed to follow redirects, because it doesn't check where they lead. This module checks and follows
them. Used by capture.connect.
"""

from __future__ import annotations

from realtime.capture.connection import OddAnswerError
from realtime.capture.dialogue import Dialogue
from realtime.capture.redirects import MAX_REDIRECTS, is_redirect, next_url, too_often
from realtime.capture.tls import Tls


def final_address(url: str, ends_s: float, tls: Tls) -> str:
    """Follow the redirects of an HTTP server.

    Args:
        url: an http or https URL. Its login is sent to its own scheme, host and port only.
        ends_s: deadline for all requests, in monotonic seconds.
        tls: how to treat the server's certificate.

    Returns:
        The address after all redirects. An answer that isn't understood ends the search.

    Raises:
        SourceError: the server can't be reached, its certificate isn't trusted, or it redirects too often or to an
            address that is not allowed.
    """
    at = url
    for _ in range(MAX_REDIRECTS + 1):
        try:
            with Dialogue(at, ends_s, tls.context) as dialogue:
                reply = dialogue.ask("GET", "Accept: */*", login=True)
        except OddAnswerError:
            return at
        if not is_redirect(reply):
            return at
        at = next_url(at, reply, tls, ends_s)
    raise too_often(url)
