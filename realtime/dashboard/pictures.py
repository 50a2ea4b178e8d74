# SPDX-License-Identifier: MIT
"""Which pictures are subscribed to. A pipeline encodes pictures only while someone subscribes to exactly their topic.

`viewers` and `api` request pictures; `feed` sends the subscriptions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime import wire
from realtime.dashboard.camera import Camera
from realtime.dashboard.fleet import Fleet

# A subscription stays for this long (s) after the last request, so that a page that is scrolled up and down doesn't
# make the pipeline start and stop.
LINGER_S = 1.0
# Name of a camera on the page, and a width class.
Key = tuple[str, wire.Width]


class Pictures:
    """The pictures that someone wants to see.

    Args:
        fleet: the cameras.
        subscribe: called with an endpoint, a topic, and whether to begin (True) or end (False) its subscription.
    """

    def __init__(self, fleet: Fleet, subscribe: Callable[[str, bytes, bool], None]) -> None:
        self._fleet = fleet
        self._subscribe = subscribe
        self._wanted: set[Key] = set()
        # When a subscription that is no longer wanted ends (monotonic s); None while it is wanted.
        self._ends_s: dict[Key, float | None] = {}
        self._topics: dict[Key, tuple[str, bytes]] = {}
        self._asked: dict[Key, set[asyncio.Future[wire.PictureMessage]]] = {}
        fleet.on_picture.append(self._on_picture)

    def want(self, keys: set[Key], now_s: float) -> None:
        """Replace what the viewers want to see. Call it several times per second, also without a change.

        Args:
            keys: cameras and width classes.
            now_s: monotonic time (s).
        """
        self._wanted = keys
        for key in [*self._ends_s]:
            ends_s = self._ends_s[key]
            if key in keys or key in self._asked:
                self._ends_s[key] = None
            elif ends_s is None:
                self._ends_s[key] = now_s + LINGER_S
            elif now_s >= ends_s:
                self._end(key)
        for key in keys:
            self._begin(key)

    async def newest(self, camera: str, width: wire.Width, timeout_s: float) -> wire.PictureMessage | None:
        """Wait for the next picture of a camera.

        Args:
            camera: its name on the page.
            width: the width class.
            timeout_s: how long to wait (s).

        Returns:
            The picture; None if the camera has none, or none comes in time.
        """
        key = camera, width
        answer: asyncio.Future[wire.PictureMessage] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(key, set()).add(answer)
        self._begin(key)
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            return None
        finally:  # one that gives up leaves the subscription to the others
            asked = self._asked.get(key, set())
            asked.discard(answer)
            if not asked:
                self._asked.pop(key, None)

    def _begin(self, key: Key) -> None:
        camera = self._fleet.cameras.get(key[0])
        if key in self._ends_s or camera is None or not camera.has_pictures:
            return
        self._ends_s[key] = None
        self._topics[key] = camera.pipeline, wire.picture_topic(camera.own_name, key[1])
        self._subscribe(*self._topics[key], True)

    def _end(self, key: Key) -> None:
        del self._ends_s[key]
        self._subscribe(*self._topics.pop(key), False)

    def _on_picture(self, camera: Camera, picture: wire.PictureMessage, width: wire.Width) -> None:
        for answer in self._asked.pop((camera.name, width), ()):
            if not answer.done():
                answer.set_result(picture)
