# SPDX-License-Identifier: MIT
"""The process: the event loop with the web server (uvicorn), the streams, and an end within 3 s."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from realtime.dashboard.app import make_app
from realtime.dashboard.clock import Moment
from realtime.dashboard.crowd import Crowd
from realtime.dashboard.feed import Feed
from realtime.dashboard.files import read_page
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.gate import Gate
from realtime.dashboard.listen import BACKLOG, url
from realtime.dashboard.pictures import Pictures
from realtime.dashboard.protocol import LONGEST_TEXT
from realtime.dashboard.settings import Settings
from realtime.dashboard.site import Site
from realtime.dashboard.viewers import Viewers

log = logging.getLogger(__name__)

# Connections at the same time, and descriptors that everything else needs.
MOST_CONNECTIONS = 256
SPARE_DESCRIPTORS = 64
# How long (s) connections may take to close at the end; after that they are cut off.
LONGEST_END_S = 1
# A silent TCP connection of a page is probed after KEEPALIVE_S (s), and dropped when KEEPALIVE_PROBES probes, one every
# PROBE_S (s), are not answered: its machine is gone. A page that only stands still answers.
KEEPALIVE_S, PROBE_S, KEEPALIVE_PROBES = 60, 15, 4
# Bytes that a page may send after we have closed its connection: those that were on their way then. Reading more of a
# flood only to discard it would take the time of the others.
MOST_LATE = 64 * 2**10
# Pings that a page may send per second. No browser sends any.
MOST_PINGS_PER_S = 20


def run(
    settings: Settings,
    listener: socket.socket,
    routes: Callable[[Site], Sequence[BaseRoute]],
    until_eof: bool,
    leftover: Path | None,
) -> None:
    """Serve until SIGINT, SIGTERM or, if asked for, the end of standard input.

    Args:
        settings: what the flags say.
        listener: the listening socket.
        routes: returns the routes of metrics, health and the API.
        until_eof: whether to end with standard input.
        leftover: folder to remove when standard input ends.

    Raises:
        ValueError: an endpoint can't be connected to.
    """
    asyncio.run(_run(settings, listener, routes, until_eof, leftover))


async def _run(
    settings: Settings,
    listener: socket.socket,
    routes: Callable[[Site], Sequence[BaseRoute]],
    until_eof: bool,
    leftover: Path | None,
) -> None:
    fleet = Fleet(settings.pipelines, Moment.now())
    feed = Feed(fleet, settings)
    try:
        pictures = Pictures(fleet, feed.subscribe)
        site = Site(settings, fleet, Gate(settings.token, settings.hosts), pictures, Viewers(fleet, pictures, settings))
        crowd = Crowd(_most_connections(len(settings.connect)))
        server = _Server(_config(make_app(site, read_page(), routes(site)), crowd))
        _end_with(server, until_eof, leftover)
        feed.start()
        loops = [asyncio.create_task(each) for each in (feed.watch(), site.viewers.tick(), _look_after(crowd))]
        level = logging.DEBUG if until_eof else logging.INFO  # the pipeline that started this program logs it
        log.log(level, "the page is at %s, pipelines: %s", url(listener), ", ".join(settings.connect))
        for each in loops:
            each.add_done_callback(lambda _: server.stop())  # none ends by itself, unless it fails
        await server.serve([listener])
        for each in loops:
            each.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        failures = [each.exception() for each in loops if not each.cancelled()]
        if failures and failures[0] is not None:
            raise failures[0]
    finally:
        feed.close()


def _end_with(server: _Server, until_eof: bool, leftover: Path | None) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_trouble)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    if until_eof:
        # A thread, because the loop can't wait for every kind of standard input.
        threading.Thread(target=_wait_for_eof, args=(loop, server.stop, leftover), name="eof", daemon=True).start()


def _wait_for_eof(loop: asyncio.AbstractEventLoop, stop: Callable[[], None], leftover: Path | None) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    if leftover is not None:
        shutil.rmtree(leftover, ignore_errors=True)
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stop)


def _log_trouble(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log one line. Out of descriptors, asyncio stops accepting for a second and tries again."""
    error = context.get("exception")
    if isinstance(error, OSError):
        log.error("%s: %s", context["message"], error.strerror)
    else:
        log.error("unexpected error; please report this: %s", context["message"], exc_info=error)


async def _look_after(crowd: Crowd) -> None:
    while True:
        crowd.look(time.monotonic())
        await asyncio.sleep(1.0)


def _most_connections(pipelines: int) -> int:
    """How many connections there may be. Raises the limit on descriptors if it is in the way."""
    spare = SPARE_DESCRIPTORS + 8 * pipelines
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + spare
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_CONNECTIONS
    most = max(1, soft - spare)
    log.warning("at most %d connections, because ulimit -n is %d", most, soft)
    return most


def _config(app: ASGIApp, crowd: Crowd) -> uvicorn.Config:
    http, websocket = _protocols(crowd)
    return uvicorn.Config(
        app,
        http=http,
        ws=websocket,
        loop="asyncio",
        interface="asgi3",
        lifespan="off",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=LONGEST_TEXT,
        ws_per_message_deflate=False,  # pictures are compressed already
        ws_ping_interval=None,  # a page that stands still is not disconnected
        timeout_graceful_shutdown=LONGEST_END_S,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours: its own handlers would raise the signal again at the end."""

    def stop(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _protocols(crowd: Crowd) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """Return uvicorn's two protocols, which tell the crowd what happens. uvicorn has no other place for that."""

    class Http(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
            super().connection_made(transport)
            crowd.came(transport, time.monotonic())
            _keep_alive(transport.get_extra_info("socket"))

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.transport.get_protocol() is self:
                is_new = self.cycle is not before
                is_busy = self.cycle is not None and not self.cycle.response_complete
                crowd.turned(self.transport, "busy" if is_new or is_busy else "silent", time.monotonic())

        def connection_lost(self, exc: Exception | None) -> None:
            crowd.left(self.transport)
            super().connection_lost(exc)

    class Page(WebSocketsSansIOProtocol):
        late_bytes = 0
        pings, pinged_s = float(MOST_PINGS_PER_S), 0.0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            crowd.turned(self.transport, "page", time.monotonic())

        def connection_lost(self, exc: Exception | None) -> None:
            crowd.left(self.transport)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.close_sent:
                self.late_bytes += len(data)
                if self.late_bytes > MOST_LATE:
                    self.transport.abort()
                    return
            super().data_received(data)

        async def run_asgi(self) -> None:
            # For `connection`, which chooses a frame only when it can be sent.
            self.scope["realtime.writable"] = self.writable  # type: ignore[typeddict-unknown-key]
            await super().run_asgi()

        def handle_ping(self) -> None:
            now_s = time.monotonic()
            self.pings = min(MOST_PINGS_PER_S, self.pings + (now_s - self.pinged_s) * MOST_PINGS_PER_S) - 1
            self.pinged_s = now_s
            if self.pings < 0:
                self.transport.abort()
                return
            # A page that sends pings and never reads would fill the memory with our pongs.
            pong = b"".join(self.conn.data_to_send())
            if self.writable.is_set():
                self.transport.write(pong)

    return Http, Page


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
