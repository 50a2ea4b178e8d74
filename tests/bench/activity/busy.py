"""A street full of people, where the gate can save nothing: what it costs."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

from tests.faults.process import CameraProcess

from .clips import Coding, frames_of, vtest
from .measure import Window, run, watch
from .table import Table

# One loop of the video is one window, so that all windows show the same people.
LOOP_S, FPS = 20, 10
CODING = Coding((768, 576), FPS, mbit=2)
MODELS = "--detector.size", "640", "--pose.model", "none"
SIDES = ("off", "on")


def main(folder: Path, is_long: bool) -> None:
    """Print the table."""
    images = itertools.islice(frames_of(vtest()), LOOP_S * FPS)
    clip = CODING.write(images, folder / "clip.ts")
    ran: dict[str, list[Window]] = {side: [] for side in SIDES}
    table = Table(["round", "gate", "CPU ms per published frame", "latency p50 ms", "p95", "published", "lost"])
    with CameraProcess("--file", str(clip)) as camera:
        for number in range(8 if is_long else 3):
            for side in SIDES if number % 2 == 0 else SIDES[::-1]:
                window = _window(folder, camera.url(), side)
                ran[side].append(window)
                table.add(str(number), side, *_cells(window))
    ratios = [_ms(on) / _ms(off) for off, on in zip(ran["off"], ran["on"], strict=True)]
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    table.note(f"CPU per published frame, on / off: median of the rounds {statistics.median(ratios):.3f} ({spread}).")
    table.note(f"The first {LOOP_S} s of vtest.avi as an RTSP camera, 768x576, {FPS} fps, 2 Mbit/s; {' '.join(MODELS)}")
    table.finish()


def _window(folder: Path, url: str, side: str) -> Window:
    with run(folder, [{"name": "cam0", "source": url}], *MODELS, "--activity.mode", side) as program:
        program.until_pose()
        program.run_for(3.0)
        return watch(program, LOOP_S)


def _ms(window: Window) -> float:
    return 1e3 * window.cpu * window.seconds / window.counts["cam0"]["published"]


def _cells(window: Window) -> list[str]:
    latency, published = window.latency_ms["cam0"], window.counts["cam0"]["published"]
    return [f"{_ms(window):.2f}", f"{latency['p50']:.1f}", f"{latency['p95']:.1f}", str(published), str(window.lost())]
