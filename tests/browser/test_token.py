"""The token gate, as a browser and as a stranger meet it."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from websockets.exceptions import InvalidStatus

from .running import Dashboard, wait_for
from .standin import StandIn
from .viewer import Viewer

TOKEN = "correct-horse-battery"
CAMERA = "backdoor"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """A dashboard that wants a token, and a publisher with one camera."""
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    with (
        StandIn([CAMERA]) as publisher,
        Dashboard("--connect", publisher.endpoint, "--token-file", str(file)) as dashboard,
    ):
        yield dashboard


def get(url: str, **headers: str) -> tuple[int, str]:
    """Return the status and the body of a reply, of an error too."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_page_opens_with_the_token_only(gate, open_page):
    page = open_page(gate.address, deliberate=["401"])
    assert CAMERA not in page.content()
    page.fill("input[name=token]", "wrong-horse-battery")
    page.press("input[name=token]", "Enter")
    page.wait_for_load_state()
    assert page.is_visible("input[name=token]")
    assert not page.context.cookies()

    page.fill("input[name=token]", TOKEN)
    page.press("input[name=token]", "Enter")
    wait_for(page, CAMERA, state="live")
    assert TOKEN not in page.url
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert not cookie["secure"]  # plain HTTP
    assert TOKEN not in cookie["value"]


@pytest.mark.parametrize(
    "path",
    ["", f"camera/{CAMERA}", "api/cameras", f"api/cameras/{CAMERA}/picture.jpg", "metrics", "healthz", "ws", "nothing"],
)
def test_without_the_token_no_reply_names_a_camera(gate, path):
    status, body = get(gate.address + path)
    assert status == {"healthz": 200}.get(path, 401)
    assert CAMERA not in body.replace(f"camera/{CAMERA}", "")
    if path not in ("", f"camera/{CAMERA}"):
        assert len(body) < 20


@pytest.mark.parametrize("header", ["Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", ""])
def test_a_wrong_bearer_token_opens_nothing(gate, header):
    assert get(gate.address + "api/cameras", Authorization=header)[0] == 401


def test_the_right_bearer_token_opens_the_api(gate):
    assert get(gate.address + "metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_a_websocket_needs_the_token(gate):
    with pytest.raises(InvalidStatus, match=r"401|403"), Viewer(gate.address):
        pass
    with Viewer(gate.address, token=TOKEN) as viewer:
        viewer.until(lambda: viewer.frames, what="a frame")
