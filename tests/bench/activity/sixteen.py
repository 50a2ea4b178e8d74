"""Sixteen empty cameras at once, and the memory of a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.faults.process import CameraProcess

from .clips import Coding, source_of_street, still, street
from .empty import LOOP_S, MODELS, measured
from .table import Table

MANY = 16
CODING = Coding((1920, 1080), 25, mbit=4)


def main(folder: Path, is_long: bool) -> None:
    """Print the table."""
    table = Table(
        [
            "gate",
            "cameras",
            "CPU s per s",
            "published per camera",
            "looks per camera",
            "lost",
            "MB",
            "MB per further camera",
        ]
    )
    seconds = 60.0 if is_long else 20.0
    clip = CODING.write(still(street(CODING.size), LOOP_S * CODING.fps), folder / "clip.ts")
    with CameraProcess("--file", str(clip)) as camera:
        for side, numbers in (("off", (1, 4)), ("key", (1, 4, MANY))):
            _rows(table, folder, camera.url(), side, numbers, seconds)
    table.note(f"Camera: 1080p 25 fps, {source_of_street()}, noise of sigma 2, 4 Mbit/s, a key frame each second.")
    table.note(
        f"{' '.join(MODELS)}; an empty camera is looked at each 5 s. lost: drops other than idle, in {seconds:.0f} s."
    )
    table.note("MB: resident, at the end of the window. The cameras send their key frames at the same moment.")
    table.finish()


def _rows(table: Table, folder: Path, url: str, side: str, numbers: Sequence[int], seconds: float) -> None:
    first: tuple[int, float] | None = None
    for cameras in numbers:
        window = measured(folder, url, side, seconds, cameras)
        published = sum(counts["published"] for counts in window.counts.values()) / cameras / window.seconds
        more = ""
        if first is not None:
            more = f"{(window.resident_mb - first[1]) / (cameras - first[0]):.1f}"
        first = first or (cameras, window.resident_mb)
        rate, mb = f"{published:.2f} a second", f"{window.resident_mb:.0f}"
        fewest, most = min(window.looks.values()), max(window.looks.values())
        looks = f"{fewest} to {most} in {window.seconds:.0f} s"
        table.add(side, str(cameras), f"{window.cpu:.3f}", rate, looks, str(window.lost()), mb, more)
