"""Who can read an endpoint, in words for the log.

Used by publish.socket when it has bound an endpoint.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from realtime.wire.endpoints import parse_endpoint


def readable(endpoint: str, bound: str) -> str:
    """Say who can read an endpoint that wants no keys.

    >>> readable("tcp://127.0.0.1:*", "tcp://127.0.0.1:41234")
    'readable by every program on this machine'
    >>> readable("tcp://*:5555", "tcp://0.0.0.0:5555")
    'readable by anyone on the network (not encrypted)'

    Args:
        endpoint: as it is configured.
        bound: as it was bound. Its socket file exists.
    """
    if not endpoint.startswith("ipc://"):
        parsed = parse_endpoint(endpoint)
        if parsed is not None and parsed.is_local:
            return "readable by every program on this machine"
        return "readable by anyone on the network (not encrypted)"
    if bound.startswith("ipc://@") or os.name != "posix":
        return "readable by every program on this machine"
    # To connect, a program needs the permission to write.
    try:
        mode = stat.S_IMODE(Path(bound.removeprefix("ipc://")).stat().st_mode)
    except OSError:  # another program has just removed it
        return "readable by the users who may open the file"
    if not mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "readable by this user"
    return f"readable by the users who may open the file (mode {mode:o})"
