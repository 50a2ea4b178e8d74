# SPDX-License-Identifier: MIT
"""The routes of the dashboard, and what holds for all of them: the gate, headers and the length of a body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.dashboard.files import INDEX, LOGIN, PageFile
from realtime.dashboard.gate import Gate, address_of, is_https
from realtime.dashboard.site import Site

# Longest body of a request (bytes). Only a login has one.
LONGEST_BODY = 4 * 2**10
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, browsers send "Origin: null" with the login form, as for another site.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Paths that a stranger may ask for. The files of the page are public, and the login page needs some of them.
_PUBLIC = re.compile(r"/healthz|/login|/static/.*")
# Paths of the page itself, where a stranger gets the login page.
_PAGE = re.compile(r"/|/camera/[^/]+")
# The pages to which a login may lead.
_CAMERA_PAGE = re.compile(r"camera/[A-Za-z0-9_@-]{1,80}(\?kiosk)?")


def make_app(site: Site, files: dict[str, PageFile], more: Sequence[BaseRoute] = ()) -> ASGIApp:
    """Return the application.

    Args:
        site: the parts of the dashboard.
        files: the files of the page.
        more: routes for metrics, health and the API.
    """
    pages = _Pages(site.gate, files)
    routes = [
        Route("/", pages.index),
        Route("/camera/{name}", pages.index),
        Route("/login", pages.login, methods=["GET", "POST"]),
        Route("/logout", pages.logout, methods=["POST"]),
        Route("/static/{file}", pages.static),
        WebSocketRoute("/ws", site.viewers.serve),
        *more,
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False  # the redirect would lose the prefix of a reverse proxy
    return _Guard(app, site.gate, pages)


class _Pages:
    """The page, its files, login and logout."""

    def __init__(self, gate: Gate, files: dict[str, PageFile]) -> None:
        self._gate = gate
        self._files = files

    async def index(self, request: Request) -> Response:
        return self._html(INDEX, request.scope)

    async def static(self, request: Request) -> Response:
        file = self._files.get(request.path_params["file"])
        if file is None:
            return Response("no such file", 404, media_type="text/plain")
        # The browser asks each time whether the file has changed, so that no old page talks to a new dashboard.
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.data, media_type=file.media_type, headers=headers)

    async def login(self, request: Request) -> Response:
        to = request.query_params.get("to", "")
        target = f"./{to if _CAMERA_PAGE.fullmatch(to) else ''}"
        if self._gate.is_open:
            return RedirectResponse(target, 303)
        if request.method == "GET":
            return self.login_page(request.scope, "ask")
        body = await _body(request)
        if body is None:
            return Response("too long", 413, media_type="text/plain", headers={"Connection": "close"})
        tokens = parse_qs(body.decode("utf-8", "replace")).get("token", [""])
        is_right = await self._gate.try_token(tokens[0].strip(), address_of(request.scope))
        if not is_right:
            return self.login_page(request.scope, "wait" if is_right is None else "wrong")
        cookie = self._gate.new_cookie(is_https=is_https(request.scope))
        return RedirectResponse(target, 303, headers={"Set-Cookie": cookie})

    async def logout(self, request: Request) -> Response:
        return RedirectResponse("./", 303, headers={"Set-Cookie": self._gate.old_cookie()})

    def login_page(self, scope: Scope, state: str) -> Response:
        """Return the login page.

        Args:
            scope: of the request.
            state: `ask`, `wrong` or `wait`: the page says what happened.
        """
        response = self._html(LOGIN, scope, 429 if state == "wait" else 401)
        body = bytes(response.body).replace(b'data-state="ask"', f'data-state="{state}"'.encode())
        to = scope["path"].removeprefix("/") + ("?kiosk" if b"kiosk" in scope["query_string"] else "")
        if scope["path"] == "/login":
            to = Request(scope).query_params.get("to", "")
        if _CAMERA_PAGE.fullmatch(to):
            body = body.replace(b'action="login"', f'action="login?to={to.replace("?", "%3F")}"'.encode())
        return Response(body, response.status_code, media_type=response.media_type)

    def _html(self, name: str, scope: Scope, status: int = 200) -> Response:
        """A page, with the way to its own folder: links are relative, so that any base path of a proxy works."""
        file = self._files[name]
        base = b"../" if scope["path"].startswith("/camera/") else b"./"
        return Response(file.data.replace(b'href="./"', b'href="%s"' % base, 1), status, media_type=file.media_type)


class _Guard:
    """Runs before every route."""

    def __init__(self, app: ASGIApp, gate: Gate, pages: _Pages) -> None:
        self._app = app
        self._gate = gate
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "Cache-Control": "no-store"}.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "http":
            await refusal(scope, receive, send_with_headers)
        else:
            await _deny(refusal, send_with_headers)

    async def _refusal(self, scope: Scope) -> Response | None:
        closed = self._gate.why_closed(scope)
        if closed is not None:
            return Response(closed[1], closed[0], media_type="text/plain")
        if _is_long(scope):
            return Response("too long", 413, media_type="text/plain", headers={"Connection": "close"})
        known = await self._gate.look_at(scope)
        if known or _PUBLIC.fullmatch(scope["path"]):
            return None
        if known is None:
            return Response(status_code=429, headers={"Retry-After": "1"})
        if scope["type"] == "http" and _PAGE.fullmatch(scope["path"]) and scope["method"] in ("GET", "HEAD"):
            return self._pages.login_page(scope, "ask")
        return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})


async def _deny(response: Response, send: Send) -> None:
    """Answer the request for a WebSocket with a plain response."""
    await send(
        {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    await send({"type": "websocket.http.response.body", "body": response.body})


def _is_long(scope: dict[str, Any] | Scope) -> bool:
    """Whether the request announces a body that is too long."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return not length.isdigit() or len(length) > 9 or int(length) > LONGEST_BODY


async def _body(request: Request) -> bytes | None:
    """Read the body of a request; None if it is too long, or its sender has left."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                return None
    except ClientDisconnect:
        return None
    return body
