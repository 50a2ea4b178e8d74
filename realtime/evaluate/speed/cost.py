"""Measure the cost of more cameras and more people, and the cost of everything outside the two models.

This is `python -m realtime.evaluate cost [cameras] [people] [calls] [share]`:

    cameras  our program processes the same video from 1 to 8 cameras at the same time
    people   its stages process an image of 1 to 64 people
    calls    one inference of a model on all cores, against one inference per core at the same time
    share    the CPU time of a run, by part of the program
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime import wire
from realtime.capture.demo import demo_canvas, demo_people
from realtime.config import load
from realtime.errors import ConfigError
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.evaluate.speed import compare
from realtime.evaluate.speed.cpu_time import MODELS, cpu_by_part
from realtime.evaluate.speed.plots import plot_costs
from realtime.evaluate.speed.runs import Scene
from realtime.evaluate.speed.sides import run_ours
from realtime.runtime.core_budget import all_cores, core_budget, fixed
from realtime.runtime.device import resolve_device
from realtime.types import Detections, Frame, Tracks

TABLES = ("cameras", "people", "calls", "share")
CAMERAS = (1, 2, 3, 4, 6, 8)
PEOPLE = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
# The notes that explain the columns of each table.
_MEANING = {
    "cameras": "cameras: ms for one frame of every camera; median of {} runs",
    "people": "people: ms per frame, detection included; median of {} rounds",
    "calls": "calls: ms per inference; number: people in it (0: the detector); "
    "relative: to one inference on all cores; median of {} rounds",
    "share": "share: CPU time of one run; ms each: per frame; relative: share of the total",
}
# Numbers of people per inference of the pose model; 0 stands for the detector, with one image.
CALLED_WITH = (0, 1, 2, 5, 8)
# The straight line is fitted from this number on, because the crops of a few people do not use the processor fully.
STRAIGHT_FROM = {"cameras": 1, "people": 4}

# Minimum number of frames per camera.
_FEWEST_FRAMES = 30
# Number of measured inferences in a row on each thread.
_CALLS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "tables",
        nargs="*",
        metavar="TABLE",
        help="what to measure: cameras, people, calls (parallel inferences), share (CPU time by part); default: all",
    )
    compare.add_scene_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    """Measure the requested tables.

    Raises:
        ConfigError: a flag is wrong.
        ModelError: a model can't be loaded.
        RealtimeError: a run failed.
    """
    if unknown := set(options.tables) - set(TABLES):
        raise ConfigError(f"cost: got {min(unknown)!r}, expected some of {', '.join(TABLES)}")
    compare.check_arguments(options)
    on_cpu = resolve_device(options.device).type == "cpu"
    if "calls" in options.tables and not on_cpu:
        raise ConfigError("cost calls: this table needs inference on a CPU; add --device cpu")
    wanted = options.tables or [table for table in TABLES if on_cpu or table != "calls"]
    found = []
    with tempfile.TemporaryDirectory(prefix="realtime-pose-") as name:
        scene = compare.make_scene(options, Path(name))
        for table, measure in (("cameras", _of_cameras), ("people", _of_people)):
            if table in wanted:
                found.append(Costs(table, measure(scene, options.rounds, Path(name))))
        calls = _of_calls(scene, options.rounds) if "calls" in wanted else {}
        spent = cpu_by_part(scene) if "share" in wanted else {}
    if options.plot is not None and found:
        plot_costs(options.plot, [(costs.of, costs.ms, *costs.line()) for costs in found])
    video = options.video or "the built-in source"
    rows, data, notes = _tables(found, calls, spent, scene.frames)
    return Report(
        title=f"Costs: {video}, {options.detector}, pose {options.pose}, {scene.threads} threads",
        columns=["table", "number", "part", "ms", "ms each", "relative"],
        rows=rows,
        data={"threads": scene.threads, "video": video, "detector": options.detector, "pose": options.pose, **data},
        notes=[*(_MEANING[table].format(options.rounds) for table in TABLES if table in wanted), *notes],
    )


@dataclass(frozen=True)
class Costs:
    """The time that different numbers of cameras or people take.

    Attributes:
        of: "cameras" or "people".
        ms: milliseconds by number of cameras or people.
    """

    of: str
    ms: Mapping[int, float]

    def line(self) -> tuple[float, float]:
        """Fit a straight line by least squares and return its slope and its intercept in milliseconds."""
        counts = self._counts()
        slope, start = np.polyfit(counts, [self.ms[n] for n in counts], 1)
        return float(slope), float(start)

    def off(self) -> float:
        """Return the largest deviation from the line, relative to the measured time."""
        slope, start = self.line()
        return max(abs(self.ms[n] - start - slope * n) / self.ms[n] for n in self._counts())

    def _counts(self) -> list[int]:
        return [n for n in self.ms if n >= STRAIGHT_FROM[self.of]]


def _tables(
    found: Sequence[Costs], calls: Mapping[int, tuple[float, float]], spent: Mapping[str, float], frames: int
) -> tuple[list[list[Cell]], dict[str, object], list[str]]:
    """Return the rows, the data and the notes of the report."""
    rows: list[list[Cell]] = []
    data: dict[str, object] = {}
    notes = []
    for costs in found:
        first = costs.ms[1]
        rows += [[costs.of, n, None, ms, ms / n, ms / n / first] for n, ms in costs.ms.items()]
        (slope, start), off = costs.line(), costs.off()
        data[costs.of] = {"ms": costs.ms, "slope_ms": slope, "start_ms": start, "off": off}
        notes.append(
            f"{costs.of}: {start:.1f} ms + {slope:.2f} ms each, within {off:.0%} for {STRAIGHT_FROM[costs.of]} or more"
        )
    for people, (together, apart) in calls.items():
        of, each = {0: "1 image", 1: "1 person"}.get(people, f"{people} people"), max(people, 1)
        rows.append(["calls", people, f"{of}, one inference on all cores", together, together / each, 1.0])
        rows.append(["calls", people, f"{of}, one inference per core", apart, apart / each, apart / together])
    if calls:
        data["calls"] = {people: {"together_ms": one, "apart_ms": other} for people, (one, other) in calls.items()}
    if spent:
        total = sum(spent.values())
        rows += [["share", None, part, s * 1e3, s * 1e3 / frames, s / total] for part, s in spent.items()]
        besides = 1 - sum(spent[part] for part in MODELS) / total
        data["share"] = {"cpu_s": spent, "besides_the_models": besides}
        notes.append(f"share: {besides:.1%} of the CPU time is spent outside the two models ({', '.join(MODELS)})")
    return rows, data, notes


# ---- cameras


def _of_cameras(scene: Scene, rounds: int, folder: Path) -> dict[int, float]:
    """Return the milliseconds for one frame of every camera at full speed, by number of cameras."""
    ms: dict[int, list[float]] = {n: [] for n in CAMERAS}
    for n in progress([n for _ in range(rounds) for n in CAMERAS], "cameras", unit="runs"):
        part = replace(scene, frames=max(_FEWEST_FRAMES, scene.frames // n), cameras=n)
        ms[n].append(1e3 * n / run_ours(part, folder).figures()["fps"])
    return {n: float(np.median(values)) for n, values in ms.items()}


# ---- people


def crowd(number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw the same person of the demo source `number` times in a grid, at half size.

    Returns:
        The image uint8 (1080, 1920, 3) BGR, and the people's boxes float32 (N, 4) x1 y1 x2 y2 in pixels.
    """
    x1, y1, x2, y2 = demo_people()[0].astype(int)
    person = demo_canvas()[y1:y2:2, x1:x2:2]
    height, width = person.shape[:2]
    image = np.full((1080, 1920, 3), 64, np.uint8)
    boxes = []
    for i in range(number):
        x, y = i % 16 * 119, i // 16 * 265
        image[y : y + height, x : x + width] = person
        boxes.append((x, y, x + width, y + height))
    return image, np.array(boxes, np.float32)


def _of_people(scene: Scene, rounds: int, folder: Path) -> dict[int, float]:
    """Return the milliseconds per frame by number of people, with the stages called one after the other.

    The detector runs, but the tracker receives the known boxes, so that no person is missed.
    """
    from realtime.loading import load_models
    from realtime.publish.message import to_message
    from realtime.smooth.stage import SmoothStage
    from realtime.track.stage import TrackStage

    config = load(environment={}, flags=scene.configuration)
    models = load_models(config, concurrency=1)

    def stages(number: int) -> tuple[NDArray[np.uint8], Callable[[Frame], object]]:
        image, boxes = crowd(number)
        tracker, smoother = TrackStage(config.tracker), SmoothStage(config.smoothing)
        scores = np.full(number, 0.9, np.float32)

        def one(frame: Frame) -> bytes:
            models.detect.process([frame])
            poses = models.pose.process(tracker.process([Detections(frame, boxes, scores)]))
            message = to_message(smoother.process(poses)[0], "loop", frame.index, models.pose.skeleton.name)
            return wire.encode(message, "msgpack")

        return image, one

    sides = {n: stages(n) for n in PEOPLE}
    ms: dict[int, list[float]] = {n: [] for n in PEOPLE}
    for index in progress(range(-1, rounds), "people", unit="rounds"):  # the first round warms up
        for n, (image, one) in sides.items():
            # Each frame gets its own copy of the image, as from a camera, so that it is uploaded to a GPU.
            frame = Frame("cam0", 0, index + 1, image.copy(), index / 25, time.monotonic_ns(), time.time_ns())
            started_s = time.perf_counter()
            one(frame)
            if index >= 0:
                ms[n].append((time.perf_counter() - started_s) * 1e3)
    return {n: float(np.median(values)) for n, values in ms.items()}


# ---- calls


def _of_calls(scene: Scene, rounds: int) -> dict[int, tuple[float, float]]:
    """Return the milliseconds per inference by number of people in it (0: the detector).

    Returns:
        For each number, the time with one inference at a time on all cores, and the time with one inference per core
        at the same time.
    """
    from realtime.loading import load_models

    models = load_models(load(environment={}, flags=scene.configuration))

    def call(people: int) -> Callable[[], object]:
        image, boxes = crowd(max(people, 1))
        frame = Frame("cam0", 0, 0, image, 0.0, time.monotonic_ns(), time.time_ns())
        if not people:
            return lambda: models.detect.process([frame])
        ids, seen = np.arange(1, people + 1), np.ones(people, np.bool_)
        tracks = Tracks(frame, boxes, np.full(people, 0.9, np.float32), ids, seen, None, ())
        return lambda: models.pose.process([tracks])

    ms: dict[int, list[tuple[float, float]]] = {}
    calls = {people: call(people) for people in CALLED_WITH if not people or models.pose.name in models.pooled}
    for index in progress(range(-1, rounds), "calls", unit="rounds"):  # the first round warms up
        for people, one in calls.items():
            together, apart = _seconds(one, 1, all_cores()), _seconds(one, all_cores(), 1)
            if index >= 0:
                ms.setdefault(people, []).append((together * 1e3, apart * 1e3))
    return {people: tuple(np.median(pairs, axis=0).tolist()) for people, pairs in ms.items()}


def _seconds(call: Callable[[], object], side_by_side: int, cores: int) -> float:
    """Return the wall time in seconds per inference.

    Args:
        call: runs one inference.
        side_by_side: number of threads that run inferences at the same time.
        cores: core budget of each thread.
    """
    began_s: list[float] = []
    start = threading.Barrier(side_by_side, action=lambda: began_s.append(time.perf_counter()))

    def work() -> float:
        try:
            with core_budget(fixed(cores)):
                call()  # the first inference of a thread prepares its resources
                start.wait()
                for _ in range(_CALLS):
                    call()
        except BaseException:
            start.abort()  # the other threads must not wait for this one
            raise
        return time.perf_counter()

    with ThreadPoolExecutor(side_by_side) as pool:
        threads = [pool.submit(work) for _ in range(side_by_side)]
    failed = [error for thread in threads if (error := thread.exception())]
    if failed:
        raise next((error for error in failed if not isinstance(error, threading.BrokenBarrierError)), failed[0])
    return (max(thread.result() for thread in threads) - began_s[0]) / (_CALLS * side_by_side)
