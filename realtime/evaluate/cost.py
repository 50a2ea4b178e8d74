"""What more cameras and more people cost, and what everything besides the two models costs.

`python -m realtime.evaluate cost [cameras] [people] [calls] [share]`. Cameras: our program plays the same video 1 to 8
times at once. People: its stages look at a picture of 1 to 64 people. Calls: a model computes on all cores together, or
as many calls side by side as there are cores. Share: the CPU time of a run, by who spent it.
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
from realtime.evaluate import compare
from realtime.evaluate.cpu_time import MODELS, cpu_by_part
from realtime.evaluate.plots import plot_costs
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.evaluate.runs import Scene
from realtime.runtime.device import resolve_device
from realtime.runtime.share import all_cores, just, share
from realtime.types import Detections, Frame, Tracks

TABLES = ("cameras", "people", "calls", "share")
CAMERAS = (1, 2, 3, 4, 6, 8)
PEOPLE = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
# What the numbers of a table are.
_MEANING = {
    "cameras": "cameras: ms for a picture of each; median of {} runs",
    "people": "people: ms a frame, detection included; median of {}",
    "calls": "calls: ms a call, of so many people, 0 is the detector; relative to all cores on one; median of {}",
    "share": "share: of one run; each is a frame, relative is the share of all",
}
# Of a call of the pose model; 0 is the detector's picture.
CALLED_WITH = (0, 1, 2, 5, 8)
# From here on a straight line must fit: a single person's crop doesn't fill the processor.
STRAIGHT_FROM = {"cameras": 1, "people": 4}

# Of each camera.
_FEWEST_FRAMES = 30
# In a row, of one thread.
_CALLS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"some of {', '.join(TABLES)}; default: all")
    compare.add_arguments(parser)


def run(options: argparse.Namespace) -> Report:
    """Measure the tables that are asked for.

    Raises:
        ConfigError: a flag is wrong.
        ModelError: a model can't be had.
        RealtimeError: a run failed.
    """
    if unknown := set(options.tables) - set(TABLES):
        raise ConfigError(f"cost: got {min(unknown)!r}, expected some of {', '.join(TABLES)}")
    compare.check_arguments(options)
    on_cpu = resolve_device(options.device).type == "cpu"
    if "calls" in options.tables and not on_cpu:
        raise ConfigError("cost calls: how many cores a call has is a question to a CPU: add --device cpu")
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
    """What so many of something cost.

    Attributes:
        of: cameras or people.
        ms: milliseconds by number.
    """

    of: str
    ms: Mapping[int, float]

    def line(self) -> tuple[float, float]:
        """Slope and start, in milliseconds, of the straight line through the costs (least squares)."""
        counts = self._counts()
        slope, start = np.polyfit(counts, [self.ms[n] for n in counts], 1)
        return float(slope), float(start)

    def off(self) -> float:
        """How far a cost is from the line at most, relative to the cost."""
        slope, start = self.line()
        return max(abs(self.ms[n] - start - slope * n) / self.ms[n] for n in self._counts())

    def _counts(self) -> list[int]:
        return [n for n in self.ms if n >= STRAIGHT_FROM[self.of]]


def _tables(
    found: Sequence[Costs], calls: Mapping[int, tuple[float, float]], spent: Mapping[str, float], frames: int
) -> tuple[list[list[Cell]], dict[str, object], list[str]]:
    """Rows, data and notes of the report."""
    rows: list[list[Cell]] = []
    data: dict[str, object] = {}
    notes = []
    for costs in found:
        first = costs.ms[1]
        rows += [[costs.of, n, None, ms, ms / n, ms / n / first] for n, ms in costs.ms.items()]
        (slope, start), off = costs.line(), costs.off()
        data[costs.of] = {"ms": costs.ms, "slope_ms": slope, "start_ms": start, "off": off}
        notes.append(
            f"{costs.of}: {start:.1f} ms + {slope:.2f} ms each, within {off:.0%} from {STRAIGHT_FROM[costs.of]} on"
        )
    for people, (together, apart) in calls.items():
        of, each = {0: "a picture", 1: "1 person"}.get(people, f"{people} people"), max(people, 1)
        rows.append(["calls", people, f"{of}, all cores on one", together, together / each, 1.0])
        rows.append(["calls", people, f"{of}, a core for each", apart, apart / each, apart / together])
    if calls:
        data["calls"] = {people: {"together_ms": one, "apart_ms": other} for people, (one, other) in calls.items()}
    if spent:
        total = sum(spent.values())
        rows += [["share", None, part, s * 1e3, s * 1e3 / frames, s / total] for part, s in spent.items()]
        besides = 1 - sum(spent[part] for part in MODELS) / total
        data["share"] = {"cpu_s": spent, "besides_the_models": besides}
        notes.append(f"share: {besides:.1%} of the CPU time are spent besides the two models ({', '.join(MODELS)})")
    return rows, data, notes


# ---- cameras


def _of_cameras(scene: Scene, rounds: int, folder: Path) -> dict[int, float]:
    """Milliseconds for one picture of each of n cameras, as fast as it goes."""
    ms: dict[int, list[float]] = {n: [] for n in CAMERAS}
    for n in progress([n for _ in range(rounds) for n in CAMERAS], "cameras", unit="runs"):
        part = replace(scene, frames=max(_FEWEST_FRAMES, scene.frames // n))
        ms[n].append(1e3 * n / compare.run_ours(part, folder, cameras=n).figures()["fps"])
    return {n: float(np.median(values)) for n, values in ms.items()}


# ---- people


def crowd(number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A picture of so many people, at half the built-in source's size, and their boxes.

    Returns:
        uint8 (1080, 1920, 3) BGR and float32 (N, 4) x1 y1 x2 y2 in its pixels.
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
    """Milliseconds for one frame with n people, one stage after the other. Everybody's box is given, found or not."""
    from realtime.evaluate.loops import message_of
    from realtime.loading import load_models
    from realtime.smooth.stage import SmoothStage
    from realtime.track.stage import TrackStage

    config = load(environment={}, flags=scene.configuration)
    models = load_models(config)

    def stages(number: int) -> tuple[NDArray[np.uint8], Callable[[Frame], object]]:
        image, boxes = crowd(number)
        tracker, smoother = TrackStage(config.tracker), SmoothStage(config.smoothing)
        scores = np.full(number, 0.9, np.float32)

        def one(frame: Frame) -> bytes:
            models.detect.process([frame])
            poses = models.pose.process(tracker.process([Detections(frame, boxes, scores)]))
            return wire.encode(message_of(smoother.process(poses)[0], models.pose.skeleton.name), "msgpack")

        return image, one

    sides = {n: stages(n) for n in PEOPLE}
    ms: dict[int, list[float]] = {n: [] for n in PEOPLE}
    for index in progress(range(-1, rounds), "people", unit="rounds"):  # the first one warms up
        for n, (image, one) in sides.items():
            # A picture of its own, as a camera's is: on a GPU each must be sent.
            frame = Frame("cam0", 0, index + 1, image.copy(), index / 25, time.monotonic_ns(), time.time_ns())
            started_s = time.perf_counter()
            one(frame)
            if index >= 0:
                ms[n].append((time.perf_counter() - started_s) * 1e3)
    return {n: float(np.median(values)) for n, values in ms.items()}


# ---- calls


def _of_calls(scene: Scene, rounds: int) -> dict[int, tuple[float, float]]:
    """Milliseconds for one call of a model, by the people in it (0: the detector).

    Returns:
        On all cores, one call after the other; and with as many calls side by side as there are cores, on one each.
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
    for index in progress(range(-1, rounds), "calls", unit="rounds"):  # the first one warms up
        for people, one in calls.items():
            together, apart = _seconds(one, 1, all_cores()), _seconds(one, all_cores(), 1)
            if index >= 0:
                ms.setdefault(people, []).append((together * 1e3, apart * 1e3))
    return {people: tuple(np.median(pairs, axis=0).tolist()) for people, pairs in ms.items()}


def _seconds(call: Callable[[], object], side_by_side: int, cores: int) -> float:
    """What one call takes on so many cores, while others do the same beside it, over their number."""
    began_s: list[float] = []
    start = threading.Barrier(side_by_side, action=lambda: began_s.append(time.perf_counter()))

    def work() -> float:
        try:
            with share(just(cores)):
                call()  # a thread's first one makes ready what it needs
                start.wait()
                for _ in range(_CALLS):
                    call()
        except BaseException:
            start.abort()  # nobody waits for this thread
            raise
        return time.perf_counter()

    with ThreadPoolExecutor(side_by_side) as pool:
        threads = [pool.submit(work) for _ in range(side_by_side)]
    failed = [error for thread in threads if (error := thread.exception())]
    if failed:
        raise next((error for error in failed if not isinstance(error, threading.BrokenBarrierError)), failed[0])
    return (max(thread.result() for thread in threads) - began_s[0]) / (_CALLS * side_by_side)
