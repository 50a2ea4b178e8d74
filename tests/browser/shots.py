"""The pictures of the live page in docs/: cameras of the fake dashboard, so no one's photograph is in them.

    python -m tests.browser.shots [wall states large light phone]

It takes about a minute for all.
"""

from __future__ import annotations

import io
import itertools
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from . import cartoon, scenarios
from .fake import Fake
from .fake_camera import now_ms

DOCS = Path(__file__).parents[2] / "docs"
# A larger picture gets a palette.
MOST_BYTES = 200_000
# The least gap between people in the large view, in pixels of the camera.
APART = 40


@dataclass(frozen=True)
class Shot:
    """One picture: what plays, what happens before it is taken, and the window."""

    play: Callable[[], Fake]
    act: Callable[[Fake, Page], None]
    size: tuple[int, int] = (1440, 900)
    scheme: str = "dark"
    path: str = ""
    options: str = "{}"
    density: float = 1.0


def wall(fake: Fake, page: Page) -> None:
    """Cameras get into trouble one after the other, so that their lines have drained by different parts."""
    page.wait_for_timeout(4000)
    fake.change("workshop", state="failed", reason="login failed", since_ms=now_ms())
    page.wait_for_timeout(8000)
    fake.change("garage-in", state="reconnecting", reason="connection refused", since_ms=now_ms())
    page.wait_for_timeout(5000)
    fake.change("pool", sends=False)
    page.wait_for_timeout(2000)
    fake.change("pool", state="reconnecting", reason="timed out", since_ms=now_ms())
    fake.change("canteen", sends=False)
    page.wait_for_timeout(3000)


def states(fake: Fake, page: Page) -> None:
    page.wait_for_timeout(3000)
    scenarios.enter(fake)
    page.wait_for_timeout(7500)


def freeze(fake: Fake, page: Page) -> None:
    """The camera was frozen for a while, so that the strip of ages shows it. Ends when people stand apart."""
    page.wait_for_timeout(14_000)
    fake.change("front-door", sends=False)
    page.wait_for_timeout(2000)
    fake.change("front-door", state="reconnecting", reason="timed out", since_ms=now_ms())
    fake.event("front-door", "state", "reconnecting: timed out")
    page.wait_for_timeout(4000)
    fake.change("front-door", state="live", reason=None, sends=True, since_ms=now_ms())
    fake.event("front-door", "state", "live")
    page.wait_for_timeout(22_000)
    camera = fake.cameras["front-door"]
    for _ in range(300):
        now_s = time.time() - camera.latency_ms / 1000
        people = cartoon.walkers(camera.seed, camera.people, camera.first_id)
        boxes = sorted(cartoon.box(each.at(now_s)) for each in people)
        if all(right[0] - left[2] > APART for left, right in itertools.pairwise(boxes)):
            break
        page.wait_for_timeout(100)


SKELETONS = '{"skeletonOnly": true}'
SHOTS = {
    "wall": Shot(scenarios.wall, wall, (1600, 900), options=SKELETONS),
    "states": Shot(scenarios.states, states, (1200, 900)),
    "large": Shot(scenarios.few, freeze, path="camera/front-door", options=SKELETONS),
    "light": Shot(scenarios.few, freeze, scheme="light", path="camera/front-door", options=SKELETONS),
    "phone": Shot(scenarios.few, lambda _, page: page.wait_for_timeout(3000), (390, 844), density=2),
}


def main() -> None:
    names = sys.argv[1:] or list(SHOTS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in names:
            shot = SHOTS[name]
            with shot.play() as fake:
                page = browser.new_page(
                    viewport={"width": shot.size[0], "height": shot.size[1]}, color_scheme=shot.scheme,
                    device_scale_factor=shot.density,
                )  # fmt: skip
                page.add_init_script(f"localStorage.setItem('realtime-pose.options', {shot.options!r})")
                page.goto(fake.url + shot.path)
                shot.act(fake, page)
                image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                page.close()
            file = DOCS / f"page-{name}.png"
            image.save(file, optimize=True)
            if file.stat().st_size > MOST_BYTES:
                image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
                    file, optimize=True
                )
            print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
