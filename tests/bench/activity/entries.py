"""How much later people who enter an empty street are published with the gate on, and whether all are."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.faults.process import CameraProcess
from tests.faults.rig import Program

from .clips import Coding, vtest
from .measure import run, until_activity, watch
from .people import FPS, HEIGHTS, PAUSE_S, SIZE, SPEEDS, WALK_S, Entry, cut_outs, entries
from .table import Table

# Cameras that run side by side, half of them at night. At 10 fps, two cores with AVX-512 keep up with four.
CAMERAS = 4
# The detector's input: large enough for most people of 40 px.
MODELS = "--detector.size", "640", "--pose.model", "none", "--activity.empty_s", "2"
CODING = Coding(SIZE, FPS, mbit=1.5)
SIDES = ("off", "all", "key")
# A published person is the one who entered if their boxes overlap this much (IoU).
_OVERLAP = 0.3


@dataclass(frozen=True)
class Scene:
    """One camera's clip and who enters in it."""

    clip: Path
    entries: Sequence[Entry]
    frames: int


def main(folder: Path, is_long: bool) -> None:
    """Print the table."""
    scenes = _scenes(folder, 30 if is_long else 12)
    delays: dict[str, NDArray[np.float64]] = {}  # by side: (entries, 2)
    states: list[str] = []
    for side in SIDES:
        delays[side], state = _delays_s(folder, scenes, side)
        states.append(f"{side}: {state}")
    everyone = [entry for scene in scenes for entry in scene.entries]
    table = Table(
        ["gate", "entries", "published by off", "missed by on", "later p50 ms", "p95", "most", "p95 of sending"]
    )
    for side in SIDES[1:]:
        for name, chosen in _groups(everyone):
            table.add(side, name, *_compared(delays["off"][chosen], delays[side][chosen]))
    table.note(f"{CAMERAS} cameras of {SIZE[0]}x{SIZE[1]} at {FPS} fps, 1.5 Mbit/s, a key frame each second;")
    table.note(f"entries of {WALK_S:g} s, {PAUSE_S:g} s apart, at {SPEEDS} body heights a second; {' '.join(MODELS)}")
    table.note("later: when the first frame in which the person is published was captured, on against off, on the")
    table.note("time line of the clip; p95 of sending: when its message was sent, which also depends on the load.")
    table.note("; ".join(states))
    table.finish()


def _scenes(folder: Path, number: int) -> list[Scene]:
    people = cut_outs(vtest())
    found = []
    for k in range(CAMERAS):
        who, images = entries(people, number, is_night=k % 2 == 1, seed=k)
        path = CODING.write(images, folder / f"entries{k}.ts")
        found.append(Scene(path, who, round(number * (WALK_S + PAUSE_S) * FPS)))
    return found


def _delays_s(folder: Path, scenes: Sequence[Scene], side: str) -> tuple[NDArray[np.float64], str]:
    """Return the delays of each entry (see `_delays_of`), and how the run went."""
    mode = "off" if side == "off" else "on"
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(CameraProcess("--file", str(scene.clip))) for scene in scenes]
        keys = {} if side == "off" else {"idle_decode": side}
        configured = [{"name": f"cam{k}", "source": each.url(), **keys} for k, each in enumerate(cameras)]
        program = stack.enter_context(run(folder, configured, *MODELS, "--activity.mode", mode))
        for k in range(len(scenes)):
            program.until_pose(f"cam{k}")
        program.run_for(2.0)
        if mode == "on":
            until_activity(program, "empty", "cam0", 30.0)
        # A whole loop and one entry more, so that every entry is seen from its beginning.
        names = [each["name"] for each in configured]
        window = watch(program, scenes[0].frames / FPS + WALK_S + PAUSE_S, names)
        found = [_delays_of(program, f"cam{k}", cameras[k], scene) for k, scene in enumerate(scenes)]
    return np.concatenate(found), f"{window.cpu:.2f} CPU s per s, {window.lost()} frames lost"


def _delays_of(program: Program, name: str, camera: CameraProcess, scene: Scene) -> NDArray[np.float64]:
    """Return by entry: the seconds until the first frame with them was captured, and until its message was sent.

    NaN if they were never published.
    """
    clock = camera.clock
    poses = [told.body for told in program.poses(name)]
    if {body["clock"] for body in poses[20:]} != {"rtcp"}:
        raise RuntimeError(f"{name}: the messages don't carry the camera's own time")
    numbers = [round((body["captured_ns"] / 1e9 - clock.began_unix_s) * clock.fps) for body in poses]
    watched_from = numbers[0] + 4 * FPS  # the program has started, and the camera is empty
    delays = np.full((len(scene.entries), 2), np.nan)
    for number, body in zip(numbers, poses, strict=True):
        for index, entry in enumerate(scene.entries):
            k = number % scene.frames - entry.first
            if 0 <= k < len(entry.boxes) and number - k >= watched_from and np.isnan(delays[index, 0]):
                boxes = np.frombuffer(body["boxes"], np.float32).reshape(-1, 4)
                if _overlaps(boxes, entry.boxes[k]):
                    entered_s = clock.began_unix_s + (number - k) / clock.fps
                    delays[index] = k / clock.fps, body["published_ns"] / 1e9 - entered_s
    return delays


def _overlaps(boxes: NDArray[np.float32], box: NDArray[np.float32]) -> bool:
    inside = np.clip(box, 0, [SIZE[0], SIZE[1]] * 2)
    sides = np.minimum(boxes[:, 2:], inside[2:]) - np.maximum(boxes[:, :2], inside[:2])
    common = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(inside[2:] - inside[:2])
    return bool((common / (areas - common) >= _OVERLAP).any())


def _groups(everyone: Sequence[Entry]) -> list[tuple[str, NDArray[np.bool_]]]:
    groups = [("all", np.ones(len(everyone), np.bool_))]
    groups += [(f"{height} px", np.array([entry.height == height for entry in everyone])) for height in HEIGHTS]
    groups += [(f"{speed:g} heights/s", np.array([entry.speed == speed for entry in everyone])) for speed in SPEEDS]
    for is_night in (False, True):
        groups.append(("night" if is_night else "day", np.array([entry.is_night == is_night for entry in everyone])))
    return groups


def _compared(off: NDArray[np.float64], on: NDArray[np.float64]) -> tuple[str, ...]:
    live = ~np.isnan(off[:, 0])
    missed = int(np.isnan(on[live, 0]).sum())
    later = (on - off)[live & ~np.isnan(on[:, 0])] * 1e3
    times = [""] * 4
    if len(later):
        shown = [*np.percentile(later[:, 0], (50, 95)), later[:, 0].max(), np.percentile(later[:, 1], 95)]
        times = [f"{value:.0f}" for value in shown]
    return f"{live.sum()} of {len(off)}", str(missed), *times
