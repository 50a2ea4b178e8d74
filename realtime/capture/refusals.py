"""Reasons and messages to the user for refusals and failures that FFmpeg and our own client meet alike.

Used by capture.connection, capture.rtsp, capture.download and capture.faults.
"""

from __future__ import annotations

from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

LOGIN_FAILED = SourceReason.AUTH, "login failed: check user and password"
NOT_FOUND = SourceReason.NOT_FOUND, "not found: check the path in the URL"
REFUSED = SourceReason.REFUSED, "connection refused: check the address and port, and that the camera is on"
LATE = SourceReason.TIMEOUT, "timed out: no answer"
FAILED = SourceReason.LOST, "the connection failed"

# By status code. With any other one, the server refuses for a reason of its own.
REFUSALS = {401: LOGIN_FAILED, 403: LOGIN_FAILED, 404: NOT_FOUND}
UNKNOWN_LOGIN = "login failed: the server wants a kind of login that FFmpeg lacks; set it to Digest with MD5, or Basic"


def failure(url: str, what: tuple[SourceReason, str]) -> SourceError:
    """Return the error of an address.

    >>> print(failure("http://u:p@cam/live", NOT_FOUND))
    http://***@cam/live: not found: check the path in the URL
    """
    reason, advice = what
    return SourceError(f"{shown(url)}: {advice}", reason)
