"""Glass to glass: how old the picture is that the browser shows, measured on screenshots.

    python -m tests.browser.glass                    # prints the table of docs/benchmarks.md; about a minute

The source `demo:clock` draws the time into each frame as a bar code when the frame is captured, and the page with
`?clock` draws its own time as a second one. A screenshot holds both; their difference is the age of what is on the
screen. Only the display itself is missing from it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from realtime.capture.clock_bars import read_clock

from .people import pose_weights
from .running import Web, wait_for

SOURCE = "--source", "demo:clock", "--realtime"
MODELS = "--detector.size", "320", "--pose.model", "detector"
# Between two screenshots (s): not in step with the frames, and long enough that taking them is not the main load.
PAUSES_S = 0.25, 0.45
WARM_S = 8.0


@dataclass(frozen=True)
class Shot:
    """A screenshot: the times in its two bar codes (Unix ms), and how long it took (ms)."""

    source_ms: int
    page_ms: int
    took_ms: float


def shoot(page: Page) -> Shot | None:
    """Take a screenshot and read it; None if a bar code can't be read."""
    began_s = time.monotonic()
    png = page.screenshot(type="png")
    took_ms = (time.monotonic() - began_s) * 1e3
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    source_ms = read_clock(cut(image, page, ".tile.view canvas"))
    page_ms = read_clock(cut(image, page, "#clock"))
    return None if source_ms is None or page_ms is None else Shot(source_ms, page_ms, took_ms)


def cut(image: NDArray[np.uint8], page: Page, selector: str) -> NDArray[np.uint8]:
    """Return the part of a screenshot that shows an element."""
    box = page.locator(selector).first.bounding_box()
    return image[round(box["y"]) : round(box["y"] + box["height"]), round(box["x"]) : round(box["x"] + box["width"])]


def shots(page: Page, count: int) -> Iterator[Shot]:
    """Take screenshots at irregular times until this many could be read."""
    rng, missed = np.random.default_rng(0), 0
    while count > 0:
        time.sleep(rng.uniform(*PAUSES_S))
        shot = shoot(page)
        if shot is None:
            missed += 1
            assert missed < 20, "the bar codes can't be read"
            continue
        count -= 1
        yield shot


def measure(program: Web, count: int, address: str) -> list[Shot]:
    """Open the page in Chromium and take this many screenshots."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address + "?clock")
        wait_for(page, "cam0", state="live")
        program.run_for(WARM_S)
        taken = list(shots(page, count))
        browser.close()
    return taken


def quantiles(values: Sequence[float]) -> str:
    p50, p95 = np.percentile(values, [50, 95])
    return f"{p50:.0f} | {p95:.0f}"


def table(program: Web, taken: Sequence[Shot], since_s: float) -> Iterator[str]:
    """Yield the lines of the table."""
    bodies = [told.body for told in program.poses(since_s=since_s)]
    yield "| | p50 (ms) | p95 (ms) |"
    yield "| --- | --- | --- |"
    yield f"| **glass to glass** | {quantiles([shot.page_ms - shot.source_ms for shot in taken])} |"
    ages = [(body["published_ns"] - body["captured_ns"]) / 1e6 for body in bodies]
    yield f"| of it: from capture to publishing | {quantiles(ages)} |"
    for name in ("detect", "pose"):
        yield f"| of that: {name} | {quantiles([body['timing_ms'].get(name, 0.0) for body in bodies])} |"
    yield f"| a screenshot takes | {quantiles([shot.took_ms for shot in taken])} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.glass", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=80, help="number of screenshots")
    options, models = parser.parse_known_args()
    models = models or [*MODELS, "--detector.weights", str(pose_weights())]
    with tempfile.TemporaryDirectory() as folder, Web(*SOURCE, *models, folder=Path(folder)) as program:
        program.until_pose()
        began_s = time.monotonic()
        taken = measure(program, options.count, program.address)
        fps = program.fps(since_s=began_s)
        print(f"{len(taken)} screenshots, {fps:.1f} frames per second, {' '.join(models)}\n")
        print("\n".join(table(program, taken, began_s)))


if __name__ == "__main__":
    main()
