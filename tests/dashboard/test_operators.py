"""Metrics, health checks and the API behind the gate, as programs ask for them."""

import asyncio
import base64
import re
import shlex
from dataclasses import replace

import pytest

from realtime.config import load
from realtime.dashboard import api, command, health, metrics
from realtime.dashboard.app import make_app
from realtime.dashboard.clock import Moment
from realtime.dashboard.gate import Gate
from realtime.flags import parse as flags_of
from tests.dashboard.asking import ONE, asking, make_site
from tests.wire import publisher

TOKEN = "correct horse battery"


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def ask(target, authorization=None, host="127.0.0.1:8080"):
    site = replace(make_site(), gate=Gate(TOKEN))
    routes = [route for module in (metrics, health, api) for route in module.routes(site)]
    site.fleet.hear(ONE, publisher.status("door"), Moment.now())
    headers = {"host": host} | ({"authorization": authorization} if authorization else {})
    return asyncio.run(asking(make_app(site, {}, routes), target, headers))


PATHS = ["/metrics", "/api/cameras", "/api/cameras/door", "/api/cameras/door/picture.jpg", "/api/cameras/other"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer wrong",
        f"Bearer{TOKEN}",
        TOKEN,
        basic("user:wrong"),
        basic(TOKEN),  # as the user name
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff:\xfe").decode(),
        "Digest x",
    ],
)
def test_a_stranger_gets_401_and_nothing_else(path, authorization):
    reply = ask(path, authorization)
    assert (reply.status, reply.body) == (401, b"")


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(f"any:{TOKEN}")])
@pytest.mark.parametrize("path", ["/metrics", "/api/cameras", "/api/cameras/door"])
def test_the_token_opens_everything_as_a_bearer_token_or_as_a_password(path, authorization):
    reply = ask(path, authorization)
    assert reply.status == 200
    assert b"door" in reply.body


def test_health_is_public_without_names():
    assert ask("/healthz").body == b'{"status":"ok"}'
    assert ask("/healthz", f"Bearer {TOKEN}").json()["cameras"] == 1


def test_another_name_of_the_page_is_refused_for_programs_too():
    assert ask("/metrics", f"Bearer {TOKEN}", host="evil.example").status == 421


@pytest.mark.parametrize("path", ["/metrics", "/api/cameras"])
def test_nothing_is_cached(path):
    assert ask(path, f"Bearer {TOKEN}").headers["cache-control"] == "no-store"


DOCUMENT = (publisher.ROOT / "docs" / "monitoring.md").read_text()


@pytest.mark.parametrize("line", re.findall(r"python run_realtime\.py (.*)", DOCUMENT))
def test_every_command_of_the_pipeline_in_the_documentation_is_accepted(line):
    arguments, flags = flags_of(shlex.split(line))
    assert load(arguments.config, environment={}, flags=flags).web


@pytest.mark.parametrize("line", re.findall(r"python -m realtime\.dashboard (.*)", DOCUMENT))
def test_every_command_of_the_dashboard_in_the_documentation_is_accepted(line):
    assert command.parser().parse_args(shlex.split(line)).connect
