# SPDX-License-Identifier: MIT
"""All connected pages: gives each what it watches. Frames and texts are encoded once, whatever the number of pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import assert_never

from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime import __version__, wire
from realtime.dashboard import protocol
from realtime.dashboard.camera import Camera
from realtime.dashboard.clock import Moment
from realtime.dashboard.connection import TRY_LATER, Connection, Misuse
from realtime.dashboard.events import Event
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.frames import Frame
from realtime.dashboard.pictures import Key, Pictures
from realtime.dashboard.records import camera_record, details_record
from realtime.dashboard.settings import Settings
from realtime.dashboard.viewer import Traffic, Viewer

# Pages that may be connected at the same time.
MOST_VIEWERS = 64
# Events that a new page gets.
FIRST_EVENTS = 200
# The record of a camera is sent at most this often (s), unless its state has changed; details are sent this often.
RECORD_S = 1.0
# How often subscriptions and texts are updated (s).
TICK_S = 0.1


class Viewers:
    """All connected pages.

    Args:
        fleet: the cameras.
        pictures: the subscriptions to pictures.
        settings: what the flags say.

    Attributes:
        traffic: counts of the frames for all pages.
    """

    def __init__(self, fleet: Fleet, pictures: Pictures, settings: Settings) -> None:
        self._fleet = fleet
        self._pictures = pictures
        self._settings = settings
        self.traffic = Traffic()
        self._connections: list[Connection] = []
        self._changed: set[str] = set()
        self._told_s: dict[str, float] = {}
        self._details_s = 0.0
        # Pictures whose pose has not come yet.
        self._early: dict[Key, wire.PictureMessage] = {}
        fleet.on_pose.append(self._on_pose)
        fleet.on_picture.append(self._on_picture)
        fleet.on_camera.append(self._on_camera)
        fleet.on_list.append(self._on_list)
        fleet.log.listeners.append(self._on_event)

    @property
    def count(self) -> int:
        """How many pages are connected."""
        return len(self._connections)

    # ---- one page

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one page until it is gone. The gate has let it in."""
        await websocket.accept()
        connection = Connection(websocket, self.traffic)
        if len(self._connections) >= MOST_VIEWERS:
            await connection.close(Misuse(TRY_LATER, f"{MOST_VIEWERS} pages are open already, close one"))
            return
        self._greet(connection.viewer)
        self._connections.append(connection)
        sender = asyncio.create_task(connection.send_all())
        try:
            await self._listen(connection)
        except Misuse as misuse:
            await _end(sender)
            await connection.close(misuse)
        except WebSocketDisconnect:
            pass
        finally:
            self._connections.remove(connection)
            await _end(sender)

    def _greet(self, viewer: Viewer) -> None:
        settings = self._settings
        viewer.tell(
            "hello",
            protocol.encode(
                "hello",
                protocol=protocol.PROTOCOL,
                version=__version__,
                now_ms=Moment.now().unix_ms,
                pictures=settings.has_pictures,
                source_url=settings.source_url,
                licence=protocol.LICENCE,
                lost_s=settings.lost_s,
            ),
        )
        viewer.tell_all_cameras(self._list())
        viewer.tell("events", protocol.encode("events", events=[*self._fleet.log.events][-FIRST_EVENTS:]))

    async def _listen(self, connection: Connection) -> None:
        viewer = connection.viewer
        while True:
            message = await connection.receive()
            now = Moment.now()
            if isinstance(message, protocol.Shown):
                if not viewer.shown(message.camera, message.seq, message.width, now.mono_s):
                    connection.take_allowance()
            else:
                connection.take_allowance()
                self._take(viewer, message, now)
            connection.wake.set()

    def _take(self, viewer: Viewer, message: protocol.Watch | protocol.Details | protocol.Ping, now: Moment) -> None:
        if isinstance(message, protocol.Watch):
            viewer.watch(((each.name, each.width) for each in message.cameras), message.pictures, now.mono_s)
            self._show_last(viewer, now)
            self._want(now)
        elif isinstance(message, protocol.Details):
            viewer.details = message.camera
            self._tell_details(viewer)
        elif isinstance(message, protocol.Ping):
            viewer.tell("pong", protocol.encode("pong", id=message.id, now_ms=now.unix_ms))
        else:
            assert_never(message)

    def _show_last(self, viewer: Viewer, now: Moment) -> None:
        """Show at once the last skeletons of the cameras that have no pictures: the next may never come."""
        for name, tile in viewer.tiles.items():
            camera = self._fleet.cameras.get(name)
            if camera is None or camera.pose is None or tile.sent_s is not None:
                continue
            if not (viewer.wants_pictures and camera.has_pictures):
                viewer.offer(Frame(camera, camera.pose, None, None, camera.is_idle(now)), now.mono_s)

    # ---- frames

    def _on_pose(self, camera: Camera, pose: wire.PoseMessage) -> None:
        now = Moment.now()
        frame = None
        for connection in self._connections:
            viewer = connection.viewer
            if (tile := viewer.tiles.get(camera.name)) is None:
                continue
            is_idle = camera.is_idle(now)
            if viewer.wants_pictures and camera.has_pictures and not tile.lacks_picture(is_idle, now.mono_s):
                continue
            frame = frame or Frame(camera, pose, None, None, is_idle)
            if viewer.offer(frame, now.mono_s):
                connection.wake.set()
        for width in wire.WIDTHS if self._early else ():
            early = self._early.get((camera.name, width))
            if early is not None and (early.session, early.seq) == (pose.session, pose.seq):
                del self._early[camera.name, width]
                self._offer(Frame(camera, pose, early, width, camera.is_idle(now)), now)

    def _on_picture(self, camera: Camera, picture: wire.PictureMessage, width: wire.Width) -> None:
        pose = self._fleet.pipelines[camera.pipeline].recent.find(picture.camera, picture.session, picture.seq)
        if pose is None:
            self._early[camera.name, width] = picture
            return
        now = Moment.now()
        self._offer(Frame(camera, pose, picture, width, camera.is_idle(now)), now)

    def _offer(self, frame: Frame, now: Moment) -> None:
        for connection in self._connections:
            if connection.viewer.offer(frame, now.mono_s):
                connection.wake.set()

    def _want(self, now: Moment) -> None:
        """Pass on which pictures the pages want now."""
        wanted: set[Key] = set()
        for viewer in (connection.viewer for connection in self._connections):
            for name, tile in viewer.tiles.items() if viewer.wants_pictures else ():
                camera = self._fleet.cameras.get(name)
                if camera is None or tile.is_stalled(now.mono_s):
                    continue
                if not camera.is_idle(now) or tile.wants_still(now.mono_s):
                    wanted.add((name, tile.width))
        self._pictures.want(wanted, now.mono_s)
        self._early = {key: early for key, early in self._early.items() if key in wanted}

    # ---- texts

    def _list(self) -> str:
        cameras = [camera_record(camera) for camera in self._fleet.in_order()]
        return protocol.encode("cameras", cameras=cameras, waiting=self._fleet.waiting())

    def _on_list(self) -> None:
        self._changed.add("")  # no camera has this name

    def _on_camera(self, camera: Camera, is_urgent: bool) -> None:
        self._changed.add(camera.name)
        if is_urgent:
            self._told_s.pop(camera.name, None)
            if not self._tells_list:
                self._tell_camera(camera, Moment.now())

    def _on_event(self, event: Event) -> None:
        if self._connections:
            text = protocol.encode("event", **{key: getattr(event, key) for key in event.__struct_fields__})
            self._tell(lambda viewer: viewer.tell_event(text))

    @property
    def _tells_list(self) -> bool:
        """Whether the whole list is about to be sent."""
        return "" in self._changed

    def _tell(self, tell: Callable[[Viewer], None]) -> None:
        for connection in self._connections:
            tell(connection.viewer)
            connection.wake.set()

    def _tell_camera(self, camera: Camera, now: Moment) -> None:
        self._changed.discard(camera.name)
        self._told_s[camera.name] = now.mono_s
        if self._connections:
            text = protocol.encode("camera", **camera_record(camera))
            self._tell(lambda viewer: viewer.tell(f"camera {camera.name}", text))

    def _tell_details(self, viewer: Viewer) -> None:
        camera = None if viewer.details is None else self._fleet.cameras.get(viewer.details)
        if camera is not None:
            viewer.tell("details", protocol.encode("details", **details_record(camera)))

    async def tick(self) -> None:
        """Send texts and subscribe to pictures when they are due, until cancelled."""
        while True:
            self._tick(Moment.now())
            await asyncio.sleep(TICK_S)

    def _tick(self, now: Moment) -> None:
        if self._tells_list:
            self._told_s = dict.fromkeys(self._fleet.cameras, now.mono_s)
            self._changed.clear()
            if self._connections:
                text = self._list()
                self._tell(lambda viewer: viewer.tell_all_cameras(text))
        for name in [*self._changed]:
            if now.mono_s - self._told_s.get(name, 0.0) >= RECORD_S:
                self._tell_camera(self._fleet.cameras[name], now)
        if now.mono_s - self._details_s >= RECORD_S:
            self._details_s = now.mono_s
            for connection in self._connections:
                self._tell_details(connection.viewer)
                connection.wake.set()
        self._want(now)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel the task of a page, which may have failed because the page is gone."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
        await task
