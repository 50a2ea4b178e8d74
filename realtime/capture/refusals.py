"""The reasons and messages of refusals and failures that can happen to FFmpeg and to our own client.

Used by all modules of capture that open an address.
"""

from __future__ import annotations

from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

LOGIN_FAILED = SourceReason.AUTH, "login failed: check user and password"
NOT_FOUND = SourceReason.NOT_FOUND, "not found: check the path in the URL"
REFUSED = SourceReason.REFUSED, "connection refused: check the address and port, and that the camera is on"
LATE = SourceReason.TIMEOUT, "timed out: no answer"
FAILED = SourceReason.LOST, "the connection failed"

# By status code: the refusals that the configuration of the camera can mend. Any other is an error of the server.
REFUSALS = {401: LOGIN_FAILED, 403: LOGIN_FAILED, 404: NOT_FOUND}
UNKNOWN_LOGIN = "login failed: the server's kind of login is not supported: set it to Digest with MD5, or to Basic"


def failure(url: str, what: tuple[SourceReason, str]) -> SourceError:
    """Return the error for an address.

    >>> print(failure("http://u:p@cam/live", NOT_FOUND))
    http://***@cam/live: not found: check the path in the URL
    """
    reason, advice = what
    return SourceError(f"{shown(url)}: {advice}", reason)
