# SPDX-License-Identifier: MIT
"""The topics of the stream: one for each camera and kind of message.

Publishers send messages under them, and readers subscribe to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime.wire.messages import Width


def pose_topic(camera: str) -> bytes:
    """Return the topic of a camera's pose messages.

    ZeroMQ compares prefixes, so without the slash at the end a subscription to `cam1` would match `cam10` too.

    >>> pose_topic("cam1")
    b'pose/cam1/'
    """
    return f"pose/{camera}/".encode()


def info_topic(camera: str) -> bytes:
    """Return the topic of a camera's info messages, `info/CAMERA/`."""
    return f"info/{camera}/".encode()


def status_topic(camera: str) -> bytes:
    """Return the topic of a camera's status messages, `status/CAMERA/`."""
    return f"status/{camera}/".encode()


def picture_topic(camera: str, width: Width) -> bytes:
    """Return the topic of a camera's pictures of one width, `picture/CAMERA/WIDTH/`.

    >>> picture_topic("cam0", "320")
    b'picture/cam0/320/'
    """
    return f"picture/{camera}/{width}/".encode()
