# SPDX-License-Identifier: MIT
"""Which pictures are subscribed to, and the newest one of each camera and width."""

from __future__ import annotations

from realtime import wire


class Pictures:
    """The pictures that someone wants to see."""

    async def newest(self, camera: str, width: wire.Width, timeout_s: float) -> wire.PictureMessage | None:
        """Return the newest picture of a camera, by its name on the page; None if none comes in time."""
        raise NotImplementedError
