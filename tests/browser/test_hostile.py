"""Requests that no page sends: paths out of the page's folder, foreign Host and Origin headers.

`tests/faults/test_strange_viewers.py` has the floods.
"""

from __future__ import annotations

import contextlib
import socket

import pytest
from websockets.exceptions import InvalidHandshake

from tests.faults.rawviewer import PING, frame, request, text

from .running import Dashboard
from .standin import StandIn
from .viewer import Viewer

PATHS = [
    "/../../../../etc/passwd",
    "/static/../gate.py",
    "/static/../../../../../../etc/passwd",
    "/static/..%2fgate.py",
    "/static/%2e%2e/gate.py",
    "/static/%252e%252e/gate.py",
    "/static/%c0%ae%c0%ae/gate.py",  # an overlong form of the dot
    "/static/..\\gate.py",
    "/static/....//gate.py",
    "/static//etc/passwd",
    "//etc/passwd",
    "/static/file:///etc/passwd",
    "/static/main.js%00.html",
    "/static/main.js/../../gate.py",
    "/static/./__init__.py",
    "/static/login.html/../../gate.py",
    "/static/",
    "/static",
    "/static/.",
    "/page/index.html",
    "/gate.py",
    "/.git/config",
    "/favicon.ico",
    "/camera/../static/../gate.py",
    "/api/cameras/../../gate.py",
    "/api/cameras/..%2f..%2fgate.py/picture.jpg",
    "http://evil.example/static/../gate.py",
    "*",
    "/\xff\xfe",
]
SECRETS = b"root:", b'SPDX-License-Identifier: MIT\n"""', b"import ", b"[core]", b"Index of"


@pytest.fixture(scope="module")
def page():
    with StandIn() as publisher, Dashboard("--connect", publisher.endpoint, "--host", "wall.example") as dashboard:
        yield dashboard


def ask(port: int, raw: bytes) -> tuple[int, bytes]:
    """Send bytes and return the status and the body of the first reply; (0, b"") if the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        reply = b""
        while part := connection.recv(65536):
            reply += part
    head, _, body = reply.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


def get(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    return ask(port, request(port, path, **{"Connection": "close", **headers}))


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_the_page(page, path):
    raw = request(page.port, "/PATH", Connection="close").replace(b"/PATH", path.encode("latin-1"))
    status, body = ask(page.port, raw)
    assert status in (0, 400, 404, 405, 421)
    assert not [secret for secret in SECRETS if secret in body]
    assert len(body) < 200


HOSTS = [
    ("127.0.0.1", True),
    ("127.0.0.1:9", True),  # the port behind a forwarding
    ("localhost", True),
    ("localhost:8080", True),
    ("[::1]:8080", True),
    ("192.168.1.20:8080", True),
    ("wall.example", True),
    ("WALL.example:443", True),
    ("evil.example", False),
    ("127.0.0.1.evil.example", False),
    ("localhost.evil.example", False),
    ("evil-wall.example", False),
    ("x.wall.example", False),
    ("wall.example@evil.example", False),
    ("wall.example/evil", False),
    ("", False),
    ("evil.example, wall.example", False),
    ("[::1", False),
    ("a" * 300, False),
]


@pytest.mark.parametrize(("host", "is_ours"), HOSTS)
def test_the_page_answers_to_its_own_names_only(page, host, is_ours):
    status, body = get(page.port, "/", Host=host)
    assert (status == 200) is is_ours
    if not is_ours:
        assert status in (400, 421)
        assert len(body) < 300


def test_a_second_host_is_refused(page):
    raw = request(page.port, "/").replace(b"\r\n\r\n", b"\r\nHost: evil.example\r\n\r\n")
    assert ask(page.port, raw)[0] in (400, 421)


ORIGINS = [
    ("http://127.0.0.1:{port}", True),
    ("https://wall.example", True),
    ("https://wall.example:8443", True),
    ("http://127.0.0.1:1", False),
    ("http://evil.example", False),
    ("http://wall.example.evil.example", False),
    ("null", False),
    ("", False),
    ("file://", False),
    ("http://evil.example/127.0.0.1:{port}", False),
    ("http://127.0.0.1:{port}@evil.example", False),
]


@pytest.mark.parametrize(("origin", "is_ours"), ORIGINS)
def test_only_the_page_itself_opens_the_websocket(page, origin, is_ours):
    viewer = Viewer(page.address, headers={"Origin": origin.format(port=page.port)})
    if is_ours:
        with viewer:
            viewer.until(lambda: viewer.of("hello"), what="hello")
    else:
        with pytest.raises(InvalidHandshake), viewer:
            pass


FLOODS = {
    "watch": text(type="watch", cameras=[{"name": "cam0", "width": 320}]),
    "what can't be read": frame(b"null"),
    "pings": frame(b"x" * 125, PING),
}
# More than the buffers of the system and the page's allowances hold together (bytes).
FLOOD = 50_000_000


@pytest.mark.parametrize("kind", FLOODS)
def test_a_page_that_sends_too_much_is_cut_off(page, kind):
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
        connection.sendall(request(page.port))
        assert b" 101 " in connection.recv(4096)
        assert sent_until_cut_off(connection, FLOODS[kind] * 1000) < FLOOD


def sent_until_cut_off(connection: socket.socket, block: bytes) -> int:
    """Return how many bytes could be sent, FLOOD at most."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < FLOOD:
            connection.sendall(block)
            sent += len(block)
    return sent
