"""A look at an HTTP server after FFmpeg could not open its stream.

FFmpeg is not allowed to follow redirects, so that none leads to where it may not: this module follows them. Its answers
also show the fault of a stream that FFmpeg rejects without a reason. Used by capture.connect.
"""

from __future__ import annotations

import re

from realtime.capture.dialogue import Dialogue, OddAnswerError
from realtime.capture.redirects import MAX_REDIRECTS, is_redirect, next_url, too_often
from realtime.capture.tls import Tls

# The beginning of an MJPEG stream in which the fields of its first part must be found, in bytes.
_PEEKED = 2048
_FIRST_PART = re.compile(rb"--[^\r\n]*\r?\n((?:[^\r\n]+\r?\n)*)\r?\n")


def final_address(url: str, ends_s: float, tls: Tls) -> str:
    """Follow the redirects of an HTTP server.

    Args:
        url: an http or https URL. Its login is sent to its own scheme, host and port only.
        ends_s: when everything must be over, in monotonic seconds.
        tls: how to treat the server's certificate.

    Returns:
        The address at the end. It is `url` if the server doesn't redirect, or gives an answer that isn't understood.

    Raises:
        SourceError: the server can't be reached, its certificate isn't trusted, or it redirects to where it may not.
    """
    at = url
    for _ in range(MAX_REDIRECTS + 1):
        try:
            with Dialogue(at, ends_s, tls) as dialogue:
                reply = dialogue.ask("GET", "Accept: */*", body_limit=0, login=True)
        except OddAnswerError:
            return at
        if not is_redirect(reply):
            return at
        at = next_url(at, reply, tls, ends_s)
    raise too_often(url)


def fault_of_parts(url: str, ends_s: float, tls: Tls) -> str | None:
    """Name the fault of the parts of an MJPEG stream, which FFmpeg rejects without a reason.

    Args:
        url: the stream's address.
        ends_s: when everything must be over, in monotonic seconds.
        tls: how to treat the server's certificate.

    Returns:
        A message, or None if its first part looks right.

    Raises:
        SourceError: the server can't be reached, or gives no answer.
    """
    try:
        with Dialogue(url, ends_s, tls) as dialogue:
            dialogue.ask("GET", "Accept: */*", body_limit=0, login=True)
            start = dialogue.peek(_PEEKED)
    except OddAnswerError:
        return None
    part = _FIRST_PART.search(start)
    if part is None:
        return None
    kind = re.search(rb"^content-type:[ \t]*([^\r\n]*?)[ \t]*\r?$", part[1], re.IGNORECASE | re.MULTILINE)
    if kind is None:
        return "the parts of this MJPEG stream have no Content-Type, expected image/jpeg"
    if kind[1].lower() != b"image/jpeg":
        word = re.sub(r"[^ -~]", "?", kind[1][:40].decode("latin-1"))
        return f"the parts of this MJPEG stream have the Content-Type {word}, expected image/jpeg"
    return None
