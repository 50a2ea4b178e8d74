"""Measures the motion gate on one picture per second: `python -m tests.bench.rare --data FOLDER`.

So an empty camera is seen with `idle_decode: key` and a key frame each second. The scenes, people, halves and FOLDER
are those of tests.bench.motion; here people also walk through rain, insects and before a tree.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tests.bench import lights
from tests.bench.motion import STEP, Ours, material
from tests.bench.scenes import HEIGHT, WIDTH, Cut, Gray, night, paint, walk

STEP_S, WARM_S, WALK_S = 1.0, 120, 6.0
HEIGHTS, SPEEDS, KINDS = (40, 80, 200), (0.4, 1.0), ("edge", "bottom", "door", "far")
SCENES = (
    "nothing, day", "nothing, night", "rain", "rain, night", "tree in the wind", "three insects",
    "camera shakes by 1 pixel", "clock in the picture",
)  # fmt: skip
AT_NIGHT = ("nothing, night", "rain, night", "three insects")


def passes(
    detector: Ours, pictures: Iterator[tuple[Gray, float]], cuts: list[Cut], way: tuple, rng, dark
) -> list[bool]:
    """Let a person walk through a scene; returns for each picture that shows half of them whether they are seen."""
    kind, height, speed = way
    path, start_s, seen = walk(kind, height, speed, rng, WALK_S), rng.uniform(0, STEP_S), []
    for number, (picture, time_s) in enumerate(pictures):
        k = round((start_s + number * STEP_S) * 25)
        if k >= len(path.x):
            break
        scene = picture.astype(np.int16)
        cut = cuts[rng.integers(len(cuts))]
        box, visible, _ = paint(scene, cut, path.x[k], path.y[k], path.height[k], 1.0, dark, path.door_x)
        moved = detector.see(np.clip(scene, 0, 255).astype(np.uint8), time_s)
        if box is not None and visible >= 0.5 and path.height[k] >= height / 2:
            touches = (moved.xyxy[:, :2] < np.add(box[2:], STEP)) & (moved.xyxy[:, 2:] > np.subtract(box[:2], STEP))
            seen.append(bool(touches.all(1).any()) or not moved.is_sure)
    return seen


def measure(name: str, scene: Gray, people: list[list[Cut]], count: int, scene_s: int, seed: int) -> str:
    """Return the row of one scene."""
    rng = np.random.default_rng(seed)
    pictures = lights.SCENES[name](scene, rng, itertools.count(0, int(STEP_S)))
    detector, alarms = Ours(), []
    for picture, time_s in itertools.islice(pictures, scene_s):
        moved = detector.see(picture, time_s)
        if time_s >= WARM_S:
            alarms.append(len(moved.xyxy) > 0 or not moved.is_sure)
    tail = list(itertools.islice(pictures, int(WALK_S / STEP_S) + 1))
    dark = night(np.full((HEIGHT, WIDTH), 250, np.uint8)).astype(np.float32) / 250 if name in AT_NIGHT else None
    found: dict[int, list[list[bool]]] = {height: [] for height in HEIGHTS}
    for i in range(count):
        which = np.random.default_rng((seed, i))
        way = (KINDS[i // 6 % 4], HEIGHTS[i % 3], SPEEDS[i // 3 % 2])
        cuts = people[which.integers(len(people))]
        if seen := passes(copy.deepcopy(detector), iter(tail), cuts, way, which, dark):
            found[way[1]].append(seen)
    cells = []
    for runs in found.values():
        missed = sum(not any(each) for each in runs)
        cells.append(f"{missed} of {len(runs)}, {100 * np.mean([*itertools.chain(*runs)]):.0f}")
    return f"| {name} | {100 * np.mean(alarms):.1f} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--people", type=int, default=240)
    parser.add_argument("--scene-s", type=int, default=900)
    parser.add_argument("--half", choices=["tune", "held-out"], default="held-out")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    scenes, people, seed = material(options.data, options.half == "held-out")
    print("| scene | pictures with false motion (%) | " + " | ".join(f"{h} px: missed, seen (%)" for h in HEIGHTS), "|")
    print("| --- " * 5 + "|")
    for name in SCENES:
        print(measure(name, scenes[-1], people, options.people, options.scene_s, seed), flush=True)


if __name__ == "__main__":
    main()
