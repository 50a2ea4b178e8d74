"""Requests to routes of the dashboard without a socket, and the parts of a site, by hand."""

import asyncio
import json
from typing import NamedTuple
from urllib.parse import unquote

from starlette.applications import Starlette

from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.settings import Settings
from realtime.dashboard.site import Site
from realtime.dashboard.viewers import Viewers

ONE, TWO = "tcp://127.0.0.1:5555", "tcp://10.0.0.2:5555"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode()


class OpenGate:
    """Knows every request, or none."""

    def __init__(self, *, knows):
        self._knows = knows

    def knows(self, scope):
        return self._knows


class NoPictures:
    """Pictures of which none ever comes; `asked` are the requests for one."""

    def __init__(self):
        self.asked = []

    async def newest(self, camera, width, timeout_s):
        self.asked.append((camera, width, timeout_s))


def make_site(fleet=None, pictures=None, *, knows=True, **settings):
    fleet = fleet or Fleet([ONE], Moment.now())
    pictures = pictures or NoPictures()
    settings = Settings(connect=(ONE,), **settings)
    return Site(settings, fleet, OpenGate(knows=knows), pictures, Viewers(fleet, pictures, settings))


async def asking(app, target, headers=()):
    """Send one GET request to the app."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in dict(headers).items()],
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, body)


def ask(routes, target, headers=()):
    """Send one GET request to these routes."""
    return asyncio.run(asking(Starlette(routes=routes), target, headers))
