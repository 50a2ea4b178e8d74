"""A dashboard that needs no pipeline: it serves the page and speaks web/1, and does what a test says.

Used by tests/browser/test_page.py, and by people who work on the page:

    python -m tests.browser.fake states --port 8099

Scenarios: see SCENARIOS in tests/browser/scenarios.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime import __version__

from .fake_camera import FakeCamera, Record, now_ms

PAGE = Path(__file__).parents[2] / "realtime" / "dashboard" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
IDLE_S = 5.0


class Viewer:
    """One WebSocket: at most one frame per camera waits for its acknowledgement."""

    def __init__(self, socket: WebSocket, fake: Fake) -> None:
        self.socket, self.fake = socket, fake
        self.widths: dict[str, int] = {}
        self.pictures, self.details = True, None
        self.waiting: dict[str, int] = {}

    async def run(self) -> None:
        fake = self.fake
        await self.send(fake.hello())
        await self.send(fake.list())
        await self.send({"type": "events", "events": fake.events})
        tasks = [asyncio.create_task(each()) for each in (self.frames, self.tell)]
        try:
            while True:
                self.heard(json.loads(await self.socket.receive_text()))
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            for task in tasks:
                task.cancel()

    def heard(self, message: Record) -> None:
        self.fake.heard.append(message)
        kind = message["type"]
        if kind == "watch":
            self.widths = {each["name"]: each["width"] for each in message["cameras"]}
            self.pictures = message["pictures"]
            self.waiting.clear()
        elif kind == "shown":
            self.waiting.pop(message["camera"], None)
        elif kind == "details":
            self.details = message["camera"]
        elif kind == "ping" and not self.fake.mute:
            pong = {"type": "pong", "id": message["id"], "now_ms": now_ms() + self.fake.clock_ahead_ms}
            self.fake.later(self.send(pong))

    async def send(self, message: Record) -> None:
        await self.socket.send_text(json.dumps(message))

    async def frames(self) -> None:
        while True:
            for name, width in list(self.widths.items()):
                camera = self.fake.cameras.get(name)
                if camera is None or not self.due(camera):
                    continue
                message = camera.frame(width, self.pictures)
                self.waiting[name] = camera.seq
                await self.socket.send_bytes(message)
            await asyncio.sleep(0.02)

    def due(self, camera: FakeCamera) -> bool:
        if self.fake.mute or not camera.sends or camera.state != "live" or camera.gone_since_ms is not None:
            return False
        every_s = IDLE_S if camera.activity == "empty" else 1 / (camera.fps or 10.0)  # 0: not measured yet
        if camera.name in self.waiting or (camera.seq and time.monotonic() - camera.sent_s < every_s):
            return False
        camera.sent_s = time.monotonic()
        return True

    async def tell(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            if self.details in self.fake.cameras and not self.fake.mute:
                await self.send(self.fake.details_of(self.details))


class Fake:
    """The server, for the duration of a `with` block. Its methods may be called from the test's thread.

    Attributes:
        cameras: by name.
        heard: all messages of the pages.
        refuse: None; 401: every request but /static/ and /login wants a token; 1013: WebSockets are closed with it.
        mute: True sends nothing more, as a dashboard that is stopped.
        clock_ahead_ms: how far this dashboard's clock is ahead of the browser's, in `hello` and `pong`.
    """

    def __init__(self, cameras: list[FakeCamera], port: int = 0) -> None:
        self.cameras = {camera.name: camera for camera in cameras}
        self.silent: Sequence[str] = ()  # pipelines that have sent nothing yet
        self.events: list[Record] = []
        self.heard: list[Record] = []
        self.refuse: int | None = None
        self.mute, self.clock_ahead_ms = False, 0.0
        self.source_url: str | None = "https://example.org/source"
        self.protocol = "web/1"
        self.viewers: set[Viewer] = set()
        self.port = port
        self._pages = {path.name: path.read_text() for path in PAGE.iterdir()}

    def __enter__(self) -> Fake:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    def _run(self) -> None:
        routes = [
            Route("/", self._page), Route("/camera/{name:path}", self._page),
            Route("/static/{file}", self._static), Route("/api/cameras", self._page),
            WebSocketRoute("/ws", self._socket),
        ]  # fmt: skip
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=self.port, log_level="warning", ws="websockets-sansio",
            ws_ping_interval=None, lifespan="off", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._ready.set()
        await serving

    async def _page(self, request: Request) -> Response:
        if self.refuse == 401:
            return Response(self._pages["login.html"], 401, HEADERS, "text/html; charset=utf-8")
        base = "../" if request.url.path.startswith("/camera/") else "./"
        text = self._pages["index.html"].replace('<base href="./">', f'<base href="{base}">')
        return Response(text, 200, HEADERS, "text/html; charset=utf-8")

    async def _static(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in self._pages:
            return Response("", 404)
        return Response((PAGE / name).read_text(), 200, HEADERS, TYPES[Path(name).suffix])

    async def _socket(self, socket: WebSocket) -> None:
        if self.refuse == 401:
            await socket.close()
            return
        await socket.accept()
        if self.refuse is not None:
            await socket.close(self.refuse)
            return
        viewer = Viewer(socket, self)
        self.viewers.add(viewer)
        try:
            await viewer.run()
        finally:
            self.viewers.discard(viewer)

    def hello(self) -> Record:
        return {
            "type": "hello", "protocol": self.protocol, "version": __version__,
            "now_ms": now_ms() + self.clock_ahead_ms, "pictures": True,
            "source_url": self.source_url, "licence": "AGPL-3.0-or-later", "lost_s": 30,
        }  # fmt: skip

    def details_of(self, name: str) -> Record:
        """Return the `details` message of a camera."""
        from .scenarios import details

        return details(self.cameras[name])

    # ---- what a test does

    def later(self, coroutine: Any) -> None:
        """Run a coroutine on the server's thread."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def tell(self, message: Record) -> None:
        """Send a message to all pages."""
        for viewer in list(self.viewers):
            self.later(viewer.send(message))

    def change(self, name: str, **fields: object) -> None:
        """Change a camera, and tell the pages."""
        camera = self.cameras[name]
        for key, value in fields.items():
            setattr(camera, key, value)
        self.tell({"type": "camera", **camera.record()})

    def set_cameras(self, cameras: list[FakeCamera]) -> None:
        """Replace all cameras, and tell the pages."""
        self.cameras = {camera.name: camera for camera in cameras}
        self.tell(self.list())

    def list(self) -> Record:
        """Return the message `cameras` of web/1."""
        cameras = [camera.record() for camera in self.cameras.values()]
        return {"type": "cameras", "cameras": cameras, "waiting": self.silent}

    def event(self, camera: str | None, kind: str, text: str) -> None:
        """Tell of an event."""
        made = {"type": "event", "time_ms": now_ms(), "camera": camera, "pipeline": "p", "kind": kind, "text": text}
        self.events.append(made)
        self.tell(made)

    def drop(self, code: int = 1001) -> None:
        """Close all WebSockets."""
        for viewer in list(self.viewers):
            self.later(viewer.socket.close(code))

    def wait_for(self, found: Callable[[Record], bool], timeout_s: float = 15.0) -> Record:
        """Wait for a message of a page."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            for message in list(self.heard):
                if found(message):
                    return message
            time.sleep(0.02)
        raise AssertionError(f"no such message among the last {self.heard[-5:]}")


def main() -> None:
    from .scenarios import SCENARIOS

    parser = argparse.ArgumentParser(prog="python -m tests.browser.fake", description=__doc__.splitlines()[0])
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("--port", type=int, default=8099)
    options = parser.parse_args()
    with SCENARIOS[options.scenario](options.port) as fake:
        print(fake.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
