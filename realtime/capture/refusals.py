"""What a server's refusal means: from its status code to a reason and a message to the user.

Used by capture.rtsp, capture.download and capture.faults.
"""

from __future__ import annotations

from realtime.errors import SourceReason

LOGIN_FAILED = SourceReason.AUTH, "login failed: check user and password"
NOT_FOUND = SourceReason.NOT_FOUND, "not found: check the path in the URL"
FAILED = SourceReason.LOST, "the connection failed"

# The other codes mean that the server refuses for a reason of its own.
REFUSALS = {401: LOGIN_FAILED, 403: LOGIN_FAILED, 404: NOT_FOUND}
# Refused by all servers alike, since FFmpeg lacks it too.
UNKNOWN_LOGIN = "login failed: the server wants a kind of login that FFmpeg lacks; set it to Digest with MD5, or Basic"
