"""What an empty, still camera costs: with the gate off, and with each `idle_decode`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.process import CameraProcess

from .clips import Coding, source_of_street, still, street
from .measure import Window, run, until_activity, watch
from .table import Table

# Length of the looped video (s).
LOOP_S = 10
# Shorter than the default, which changes when the state begins but not what it costs.
EMPTY_S = 2.0
# From the state `empty` to the window (s), so that all that comes with the change is over.
SETTLE_S = 4.0
# As a user starts the program, except that no pose model is loaded; without people, none would run.
MODELS = "--detector.size", "640", "--pose.model", "none"

CODINGS = {
    "1080p 25 fps": Coding((1920, 1080), 25, mbit=4),
    "1080p 25 fps, 2 B-frames": Coding((1920, 1080), 25, mbit=4, b_frames=2),
    "1440p 20 fps": Coding((2560, 1440), 20, mbit=6),
}
# Only B-frames can be left out by `nonref`, so the row without shows that it changes nothing.
SIDES = ("off", "all", "nonref", "key")


def measured(folder: Path, url: str, side: str, seconds: float, cameras: int = 1) -> Window:
    """Run the program with one or more cameras at this address until they are empty, and then measure for a while.

    Args:
        folder: for its files.
        url: the camera.
        side: off, or the `idle_decode` with the gate on.
        seconds: length of the window.
        cameras: how many.
    """
    mode = ("--activity.mode", "off" if side == "off" else "on", "--activity.empty_s", str(EMPTY_S))
    keys: dict[str, object] = {} if side == "off" else {"idle_decode": side}
    names = [f"cam{i}" for i in range(cameras)]
    with run(folder, [{"name": name, "source": url, **keys} for name in names], *MODELS, *mode) as program:
        for name in names:
            program.until_pose(name)
            if side != "off":
                until_activity(program, "empty", name)
        program.run_for(SETTLE_S)
        window = watch(program, seconds, names)
        states = {program.states(name)[-1].body.get("activity") for name in names}
        if states != ({None} if side == "off" else {"empty"}):
            raise RuntimeError(f"{side}: the scene is empty, but the activity at the end is {states}")
        return window


def main(folder: Path, is_long: bool) -> None:
    """Print the table."""
    table = Table(["camera", "gate", "CPU s per s", "off / on", "busiest threads", "published", "captured", "lost"])
    seconds = 60.0 if is_long else 20.0
    for name, coding in CODINGS.items():
        images = still(street(coding.size), LOOP_S * coding.fps)
        clip = coding.write(images, folder / "clip.ts")
        off = None
        with CameraProcess("--file", str(clip)) as camera:
            for side in SIDES:
                window = measured(folder, camera.url(), side, seconds)
                off = off or window.cpu
                counts = window.counts["cam0"]
                rates = [f"{counts[key] / window.seconds:.1f}" for key in ("published", "captured")]
                factor = f"{off / window.cpu:.1f}"
                table.add(name, side, f"{window.cpu:.3f}", factor, window.split(), *rates, str(window.lost()))
    table.note(f"Scene: {source_of_street()}, noise of sigma 2; x264 veryfast, 4 or 6 Mbit/s, a key frame each second.")
    table.note(f"Windows of {seconds:.0f} s in the state empty; --activity.empty_s {EMPTY_S:g}; {' '.join(MODELS)}")
    table.finish()
