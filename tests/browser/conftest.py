"""A real browser: Debian's Chromium, driven by Playwright. Whatever a page does wrong fails the test that opened it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect, sync_playwright

from .fake import Fake

SIZES = {"desktop": (1440, 900), "phone": (390, 844), "wall": (1920, 1080)}
HERE = {"127.0.0.1", "localhost", "::1"}
OPTIONS = "realtime-pose.options"
TIMEOUT_MS = 15_000  # far beyond what the page needs, also on a busy machine
expect.set_options(timeout=TIMEOUT_MS)
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window. Without Chromium, the test is skipped.

    While it is open, an event loop of Playwright runs in this thread, and asyncio.run of later tests would fail.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def play() -> Iterator[Callable[[Fake], Fake]]:
    """Return a function that starts a fake dashboard. It stops after the pages are closed, if `play` is named first."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Return a function that opens a page.

    Its arguments: the address; `size`, a key of SIZES; `options`, which the page then finds in its storage;
    `deliberate`, parts of the messages that this test causes on purpose; `scheme`, dark or light; `calm`, for reduced
    motion; `density`, device pixels per CSS pixel.

    At the end of the test it fails if the page wrote an error or a warning to its console, threw an exception, had a
    request fail, or asked for anything that is not on this machine.
    """
    wrong: list[str] = []
    contexts = []

    def open_(
        address: str,
        *,
        size: str = "desktop",
        options: dict[str, object] | None = None,
        deliberate: Sequence[str] = (),
        scheme: str = "dark",
        calm: bool = False,
        density: float = 1,
    ) -> Page:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=density,
            reduced_motion="reduce" if calm else "no-preference", has_touch=size == "phone", locale="en-GB",
        )  # fmt: skip
        contexts.append(context)

        def note(text: str) -> None:
            if not any(part in text for part in deliberate):
                wrong.append(text)

        def failed(request: Request) -> None:
            if request.failure != "net::ERR_ABORTED":  # the test went to another page meanwhile
                note(f"failed: {request.url} {request.failure}")

        def keep_here(route: Route) -> None:
            if urlsplit(route.request.url).hostname in HERE:
                route.continue_()
            else:
                wrong.append(f"a request that leaves the machine: {route.request.url}")
                route.abort()

        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.route("**/*", keep_here)
        page.on("websocket", lambda ws: urlsplit(ws.url).hostname in HERE or wrong.append(f"leaves: {ws.url}"))
        page.on("console", lambda m: m.type in ("error", "warning") and note(f"console {m.type}: {m.text}"))
        page.on("pageerror", lambda error: note(f"exception: {error}"))
        page.on("requestfailed", failed)
        page.on("response", lambda reply: reply.status >= 400 and note(f"status {reply.status}: {reply.url}"))
        page.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        if options is not None:
            page.add_init_script(f"localStorage.setItem({OPTIONS!r}, {json.dumps(json.dumps(options))})")
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong, wrong
