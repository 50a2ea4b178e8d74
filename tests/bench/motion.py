"""Measures the motion gate on generated scenes: `python -m tests.bench.motion --data FOLDER`.

FOLDER holds OpenCV's sample of pedestrians, video/vtest.avi, and the boxes of PETS09-S2L1, mot/PETS09-S2L1/gt/gt.txt,
from which people are cut, and for another background video/one-by-one-person-detection.mp4. With `--frigate FILE`,
frigate's detector is measured on the same scenes instead; FILE is frigate/motion/improved_motion.py.

Not in realtime/evaluate, because it needs this material and measures the gate, not a user's recording.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from realtime.capture.motion import MotionDetector, Moved
from realtime.capture.source import scaled_down
from tests.bench import lights
from tests.bench.scenes import (
    FPS,
    HEIGHT,
    WIDTH,
    Cut,
    Gray,
    Noise,
    background_of,
    luma_of,
    night,
    paint,
    people_of,
    walk,
)

STEP = 5  # pixels of the frame per pixel of the luma, as in capture.watcher for 768x576
INTERVAL_S = 0.09
WARM_S, HOLD_S, SKIP_S = 12.0, 1.0, 60.0


class Detector(Protocol):
    def see(self, picture: Gray, time_s: float) -> Moved: ...


class Ours:
    def __init__(self) -> None:
        self._detector = MotionDetector()

    def see(self, picture: Gray, time_s: float) -> Moved:
        moved = self._detector.update(scaled_down(picture, 1 / STEP), time_s)
        return Moved(moved.xyxy * STEP, moved.is_sure)


class Frigate:
    """frigate's detector with its defaults, on its own height of 100 pixels."""

    made: type

    def __init__(self) -> None:
        config = types.SimpleNamespace(
            enabled=True, frame_height=100, improve_contrast=True, threshold=30, contour_area=10, frame_alpha=0.01,
            lightning_threshold=0.8, skip_motion_threshold=None,
            rasterized_mask=np.full((HEIGHT, WIDTH), 255, np.uint8),
        )  # fmt: skip
        self._detector = self.made((HEIGHT, WIDTH), config, fps=8)

    def see(self, picture: Gray, time_s: float) -> Moved:
        boxes = self._detector.detect(picture)
        return Moved(np.array(boxes, np.float32).reshape(-1, 4), not self._detector.calibrating)

    @classmethod
    def load(cls, path: Path) -> None:
        def contours(found: tuple) -> object:
            return found[0] if len(found) == 2 else found[1]

        for name, values in {
            "frigate": {}, "frigate.camera": {"PTZMetrics": object}, "frigate.config": {}, "frigate.util": {},
            "frigate.config.config": {"RuntimeMotionConfig": object}, "frigate.motion": {"MotionDetector": object},
            "frigate.util.image": {"grab_cv2_contours": contours},
        }.items():  # fmt: skip
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(values)
        spec = importlib.util.spec_from_file_location("improved_motion", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cls.made = module.ImprovedMotionDetector


def looked_at(seconds: float) -> Iterator[float]:
    """Yield the times of the frames at which the gate looks."""
    last_s = -1.0
    for k in range(int(seconds * FPS)):
        if k / FPS - last_s >= INTERVAL_S - 1e-9:
            last_s = k / FPS
            yield last_s


class Entry(NamedTuple):
    is_night: bool
    height: int
    kind: str
    speed: float
    contrast: float
    delay_s: float | None  # after half of the person can be seen; None: missed


def enter(detector: Detector, scene: np.ndarray, cuts: list[Cut], noise: Noise, is_night: bool, which: tuple) -> Entry:
    """Let a person enter before a detector that has seen the empty scene."""
    kind, height, speed, strength, rng, max_s = which
    way, half_s, contrasts = walk(kind, height, speed, rng, max_s), None, []
    light = night(np.full((HEIGHT, WIDTH), 250, np.uint8)).astype(np.float32) / 250 if is_night else None
    first = rng.integers(len(cuts))
    for time_s in looked_at(len(way.x) / FPS):
        k = round(time_s * FPS)
        picture, cut = scene.copy(), cuts[(first + int(time_s * 7)) % len(cuts)]  # the video has 7 fps
        box, visible, contrast = paint(picture, cut, way.x[k], way.y[k], way.height[k], strength, light, way.door_x)
        moved = detector.see(noise.add(picture), WARM_S + time_s)
        if box is None:
            continue
        contrasts.append(contrast)
        if half_s is None and visible >= 0.5 and way.height[k] >= height / 2:
            half_s = time_s
        touches = (moved.xyxy[:, :2] < np.add(box[2:], STEP)) & (moved.xyxy[:, 2:] > np.subtract(box[:2], STEP))
        if touches.all(1).any():
            delay_s = 0.0 if half_s is None else time_s - half_s
            return Entry(is_night, height, kind, speed, float(np.mean(contrasts)), delay_s)
    return Entry(is_night, height, kind, speed, float(np.mean(contrasts)), None)


def entries(
    make: Callable[[], Detector], scenes: list[Gray], people: list[list[Cut]], count: int, seed: int, sigmas: tuple,
    kinds: tuple = ("edge", "bottom", "door", "far"), speeds: tuple = (0.4, 1.0), strengths: tuple = (1.0,),
    max_s: float = 6.0, prepare: Callable[[Gray], Gray] = lambda scene: scene,
) -> list[Entry]:  # fmt: skip
    """Let people enter, with all combinations of the given values, by day and by night."""
    found = []
    for number, background in enumerate(scenes):
        for is_night in (False, True):
            scene = prepare(night(background) if is_night else background).astype(np.int16)
            noise, warm = Noise(sigmas[is_night], np.random.default_rng((seed, number, is_night))), make()
            for time_s in looked_at(WARM_S):
                warm.see(noise.add(scene), time_s)
            for i in range(count // (2 * len(scenes))):
                rng = np.random.default_rng((seed, number, is_night, i))
                which = (kinds[i // 6 % len(kinds)], (40, 80, 200)[i % 3], speeds[i // 3 % len(speeds)],
                         strengths[i // 24 % len(strengths)], rng, max_s)  # fmt: skip
                cuts = people[rng.integers(len(people))]
                found.append(enter(copy.deepcopy(warm), scene, cuts, noise, is_night, which))
    return found


def row(name: str, found: list[Entry]) -> str:
    delays = [1e3 * each.delay_s for each in found if each.delay_s is not None] or [np.nan]
    p50, p95 = np.quantile(delays, (0.5, 0.95))
    missed = sum(each.delay_s is None for each in found)
    return f"| {name} | {len(found)} | {missed} | {p50:.0f} | {p95:.0f} |"


def false_alarms(make: Callable[[], Detector], pictures: Iterator[tuple[Gray, float]]) -> tuple[float, float, float]:
    """Return wake-ups per hour, the share of the time (%) with motion or up to 1 s after it, and CPU ms per picture."""
    detector, last_s, before_s, wakes, on_s, spent_s, count = make(), -9.0, 0.0, 0, 0.0, 0.0, 0
    for picture, time_s in pictures:
        began = time.thread_time()
        moved = detector.see(picture, time_s)
        spent_s, count = spent_s + time.thread_time() - began, count + 1
        if time_s >= SKIP_S:
            if len(moved.xyxy) or not moved.is_sure:
                wakes += time_s - last_s >= HOLD_S
                last_s = time_s
            on_s += (time_s - last_s < HOLD_S) * (time_s - before_s)
        before_s = time_s
    hours = (before_s - SKIP_S) / 3600
    return wakes / hours, on_s / hours / 36, 1e3 * spent_s / count


def cost(width: int, height: int) -> tuple[float, float]:
    """Return the CPU ms per picture of scaling its brightness down, and of the detector."""
    random, detector, spent_s = np.random.default_rng(0), MotionDetector(), []
    pictures = [random.normal(100, 4, (height, width + 64)).astype(np.uint8)[:, :width] for _ in range(4)]
    for k in range(300):
        began = time.thread_time()
        luma = scaled_down(pictures[k % len(pictures)], 1 / (height // 100))
        scaled = time.thread_time()
        detector.update(luma, k * INTERVAL_S)
        spent_s.append((scaled - began, time.thread_time() - scaled))
    scaling, detecting = 1e3 * np.median(spent_s[50:], axis=0)
    return scaling, detecting


def material(data: Path, is_held_out: bool) -> tuple[list[Gray], list[list[Cut]], int]:
    """Return the backgrounds, the people and the seed of one half."""
    pictures = luma_of(data / "video/vtest.avi", 400)
    street = background_of(pictures)
    people, scenes = list(people_of(pictures, street, data / "mot/PETS09-S2L1/gt/gt.txt").values()), [street]
    other = data / "video/one-by-one-person-detection.mp4"
    if is_held_out and other.exists():
        room = background_of(luma_of(other, 1394))
        scenes.append(cv2.resize(room, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    return (scenes, people[5:], 1000) if is_held_out else (scenes, people[:5], 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frigate", type=Path)
    parser.add_argument("--entries", type=int, default=1000)
    parser.add_argument("--scene-s", type=int, default=600)
    parser.add_argument("--half", choices=["tune", "held-out"], default="held-out")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    make: Callable[[], Detector] = Ours
    if options.frigate:
        Frigate.load(options.frigate)
        make = Frigate
    for width, height in ((1920, 1080), (2560, 1440)):
        scaling, detecting = cost(width, height)
        print(f"{width}x{height}: {scaling:.2f} ms to scale, {detecting:.2f} ms to detect")
    scenes, people, seed = material(options.data, options.half == "held-out")
    print("| entries | people | missed | delay p50 ms | p95 |\n| --- | --- | --- | --- | --- |")
    for sigma in (4.0, 6.0):
        found = entries(make, scenes, people, options.entries, seed, (2.5, sigma))
        for is_night in (False, True):
            for height in (40, 80, 200):
                some = [each for each in found if each.is_night == is_night and each.height == height]
                print(row(f"{f'night, sigma {sigma:g}' if is_night else 'day'}, {height} px", some), flush=True)
    low = entries(make, scenes, people, options.entries, seed + 1, (2.5, 4.0), strengths=(1, 0.5, 0.25, 0.12))
    for least, most in ((0, 5), (5, 10), (10, 15), (15, 25), (25, 50), (50, 256)):
        some = [each for each in low if least <= each.contrast < most]
        if some:
            print(row(f"contrast {least} to {most}", some), flush=True)
    slow = [e for h in (40, 80, 200) for e in entries(make, scenes, people, 96, seed + 2, (2.5, 4.0), ("door",),
            (2 / h,), max_s=30.0) if e.height == h]  # fmt: skip
    print(row("2 px/s", slow), flush=True)
    print("\n| scene | false wake-ups per hour | time awake % | ms per picture |\n| --- | --- | --- | --- |")
    for scene, show in lights.SCENES.items():
        rng = np.random.default_rng(seed)
        per_hour, awake, ms = false_alarms(make, show(scenes[-1], rng, looked_at(options.scene_s)))
        print(f"| {scene} | {per_hour:.0f} | {awake:.1f} | {ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
