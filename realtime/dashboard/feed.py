# SPDX-License-Identifier: MIT
"""Reads all streams: ZeroMQ sockets on the event loop -> `Fleet`.

Two sockets for each pipeline, one for poses, info and status, and one for pictures. They are read on the event loop's
thread, a bounded number of messages per turn: a thread of its own would wait for the same interpreter lock, and its
messages would have to wait once more, in a queue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import zmq

from realtime import wire
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.limits import LONGEST_PICTURE, LONGEST_POSE, Kept, read
from realtime.dashboard.settings import Settings
from realtime.wire.endpoints import pictures_endpoint
from realtime.wire.reading import MOST_CAMERAS, open_socket

log = logging.getLogger(__name__)

STREAM_TOPICS = (b"info/", b"status/", b"pose/")
# Messages that are read in one turn. If there are more, this program has fallen behind, and of each topic only the
# newest counts.
MOST_PER_TURN = 64
# No turn decodes for longer than this (s), so that a publisher that floods us can't keep the pages from their share.
LONGEST_TURN_S = 0.02
# How often silence is looked for (s).
LOOK_S = 0.25
# A socket that is silent for this long (s) is replaced. ZeroMQ gives up a publisher for good after a message that is
# longer than the limit or breaks its protocol.
REPLACE_S = 10.0


class Feed:
    """Reads the streams of all pipelines into a fleet.

    Args:
        fleet: where the messages go.
        settings: endpoints, keys, and whether to read pictures.

    Raises:
        ValueError: an endpoint can't be connected to.
    """

    def __init__(self, fleet: Fleet, settings: Settings) -> None:
        self._fleet = fleet
        self._settings = settings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._kept = {pipeline: Kept() for pipeline in settings.pipelines}
        self._streams: dict[str, _Reader] = {}
        self._pictures: dict[str, _Reader] = {}
        self._topics: dict[str, set[bytes]] = {pipeline: set() for pipeline in settings.pipelines}
        for pipeline, endpoint in settings.pipelines.items():
            self._streams[pipeline] = self._reader(pipeline, endpoint, STREAM_TOPICS, LONGEST_POSE)
        fleet.on_list.append(self._forget)

    def start(self) -> None:
        """Begin to read, on the running event loop."""
        for reader in self._streams.values():
            reader.start()

    async def watch(self) -> None:
        """Look for silent pipelines until cancelled."""
        while True:
            now = Moment.now()
            self._fleet.look(now)
            self._replace_silent(now.mono_s)
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Disconnect without waiting."""
        for reader in (*self._streams.values(), *self._pictures.values()):
            reader.stop()
        self._context.destroy(linger=0)

    def subscribe(self, endpoint: str, topic: bytes, is_wanted: bool) -> None:
        """Begin or end the subscription to a topic of pictures.

        Args:
            endpoint: the pipeline.
            topic: the topic.
            is_wanted: False ends it.
        """
        topics = self._topics[endpoint]
        if (topic in topics) == is_wanted:
            return
        reader = self._pictures.get(endpoint)
        if reader is not None and not topics:
            reader.heard_s = time.monotonic()  # nothing was to be heard until now
        (topics.add if is_wanted else topics.discard)(topic)
        if reader is not None:
            reader.subscribe(topic, is_wanted)

    def _replace_silent(self, now_s: float) -> None:
        for pipeline, reader in [*self._streams.items()]:
            if now_s - reader.heard_s > REPLACE_S:
                reader.stop()
                self._streams[pipeline] = self._reader(pipeline, reader.endpoint, STREAM_TOPICS, LONGEST_POSE)
                self._streams[pipeline].start()
        for pipeline, reader in [*self._pictures.items()]:
            if now_s - reader.heard_s > REPLACE_S and self._topics[pipeline]:
                self._read_pictures(pipeline, reader.endpoint)

    # ---- messages

    def _reader(self, pipeline: str, endpoint: str, topics: tuple[bytes, ...], longest: int) -> _Reader:
        socket = open_socket(self._context, endpoint, topics, self._settings.keys, longest)
        return _Reader(endpoint, socket, lambda topic, payload: self._take(pipeline, topic, payload))

    def _take(self, name: str, topic: bytes, payload: bytes) -> None:
        pipeline = self._fleet.pipelines[name]
        try:
            message = read(topic, payload)
        except wire.WireError as error:
            pipeline.refused += 1
            if pipeline.refused == 1:
                log.warning("%s: a message can't be read and is ignored: %s", name, error)
                self._fleet.log.add("gone", f"sends messages that can't be read: {error}", Moment.now(), pipeline=name)
            return
        if isinstance(message, wire.PictureMessage):
            width = topic.split(b"/")[2].decode()
            if topic in self._topics[name]:
                self._fleet.hear_picture(name, message, next(each for each in wire.WIDTHS if each == width))
            return
        is_one_too_many = message.camera not in pipeline.cameras and len(pipeline.cameras) >= MOST_CAMERAS
        if is_one_too_many or not self._kept[name].fits(topic, len(payload)):
            pipeline.refused += 1
            return
        camera = self._fleet.hear(name, message, Moment.now())
        if isinstance(message, wire.InfoMessage):
            camera.has_pictures = self._see_pictures(name, message)

    def _forget(self) -> None:
        """Stop counting the cameras that have left."""
        for name, pipeline in self._fleet.pipelines.items():
            self._kept[name].keep_only(pipeline.cameras)

    # ---- pictures

    def _see_pictures(self, pipeline: str, info: wire.InfoMessage) -> bool:
        """Connect to the pictures that a pipeline announces. Return whether it has any."""
        if not self._settings.has_pictures:
            return False
        endpoint = self._settings.pictures
        if endpoint is None and info.pictures is not None:
            endpoint = pictures_endpoint(self._settings.pipelines[pipeline], info.pictures)
        if endpoint is None:
            return False
        reader = self._pictures.get(pipeline)
        return (reader is not None and reader.endpoint == endpoint) or self._read_pictures(pipeline, endpoint)

    def _read_pictures(self, pipeline: str, endpoint: str) -> bool:
        """Connect to the pictures of a pipeline, instead of an earlier connection. Return whether that worked."""
        if (earlier := self._pictures.pop(pipeline, None)) is not None:
            earlier.stop()
        try:
            reader = self._reader(pipeline, endpoint, tuple(self._topics[pipeline]), LONGEST_PICTURE)
        except ValueError as error:
            log.warning("%s: no pictures: %s", pipeline, error)
            return False
        self._pictures[pipeline] = reader
        reader.start()
        return True


class _Reader:
    """One SUB socket on the event loop.

    Args:
        endpoint: what it is connected to.
        socket: the socket, which it owns.
        take: called with topic and payload of each message.

    Attributes:
        heard_s: monotonic time (s) of the last message, or of the moment since which one is expected.
    """

    def __init__(self, endpoint: str, socket: zmq.Socket[bytes], take: Callable[[bytes, bytes], None]) -> None:
        self.endpoint = endpoint
        self._socket = socket
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rest: list[tuple[bytes, bytes]] = []  # what the last turn had no time for
        self.heard_s = time.monotonic()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._turn)
        self._loop.call_soon(self._turn)

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None
        self._socket.close(linger=0)

    def subscribe(self, topic: bytes, is_wanted: bool) -> None:
        (self._socket.subscribe if is_wanted else self._socket.unsubscribe)(topic)
        # The descriptor only tells that something has changed; a call like this one may have consumed that.
        if self._loop is not None:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Read what waits. The descriptor is edge-triggered: unless all was read, this has to be called again."""
        if (loop := self._loop) is None:
            return
        batch, self._rest = self._rest, []
        is_behind = bool(batch)
        try:
            for _ in range(MOST_PER_TURN - len(batch)):
                if (message := self._receive()) is not None:
                    batch.append(message)
        except zmq.Again:
            pass
        else:
            is_behind = True
        if is_behind:
            batch = list(dict(batch).items())
            loop.call_soon(self._turn)
        if batch:
            self.heard_s = time.monotonic()
        end_s = time.monotonic() + LONGEST_TURN_S
        for number, message in enumerate(batch, 1):
            self._take(*message)
            if time.monotonic() > end_s:
                self._rest = batch[number:]
                break
        if self._rest and not is_behind:
            loop.call_soon(self._turn)

    def _receive(self) -> tuple[bytes, bytes] | None:
        """Return topic and payload of the next message; None if it has another number of parts.

        Raises:
            zmq.Again: none waits.
        """
        parts: list[bytes] = []
        is_end = False
        while not is_end:
            part = self._socket.recv(zmq.NOBLOCK)
            is_end = not self._socket.get(zmq.RCVMORE)
            if len(parts) < 3:  # what a stranger sends beyond that isn't kept
                parts.append(part)
        return (parts[0], parts[1]) if len(parts) == 2 else None
