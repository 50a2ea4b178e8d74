"""Runs the program beside a camera and measures its CPU time. Linux only: everything is read from /proc."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime.evaluate.processor import processor
from tests.browser.usage import cpu_s, resident_mb
from tests.faults.rig import Program, Told

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def this_processor() -> str:
    """Return the processor's name, the cores that this process may use, and the instruction set."""
    name, instructions = processor()
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {' '.join(instructions)}"


# The stage `detect` takes longer than this (ms) if the network runs, and 0.1 ms if it doesn't.
_LOOK_MS = 3.0
# Drops that say nothing about the load: at the start of a connection, and by the motion gate or `target_fps`.
ON_PURPOSE = ("idle", "target_fps", "no time stamp", "stored before the start")


@dataclass(frozen=True)
class Window:
    """What the program used in a time window.

    Attributes:
        seconds: its length.
        cpu: CPU seconds per second.
        threads: the same by thread, the busiest first. In an empty scene, that is the camera's.
        counts: by camera, how much each counter of the status grew: captured, published, and the drops by cause.
        looks: by camera, on how many published frames the detector ran.
        latency_ms: by camera, p50 and p95 of the latency; the median of the statuses in the window.
        resident_mb: at the end.
    """

    seconds: float
    cpu: float
    threads: Sequence[float]
    counts: Mapping[str, Mapping[str, int]]
    looks: Mapping[str, int]
    latency_ms: Mapping[str, Mapping[str, float]]
    resident_mb: float

    def split(self, most: int = 4) -> str:
        """Return the shares of the busiest threads, as text."""
        return " + ".join(f"{used:.3f}" for used in self.threads[:most])

    def lost(self) -> int:
        """Return how many frames were dropped that the motion gate would have let in."""
        causes = [counts.items() for counts in self.counts.values()]
        return sum(n for drops in causes for cause, n in drops if cause not in ("captured", "published", *ON_PURPOSE))


def watch(program: Program, seconds: float, cameras: Sequence[str] = ("cam0",)) -> Window:
    """Measure for this long. The program must be running, and have published the status of each camera."""
    pid = program.process.pid
    before, began_s = {name: _counts(program, name) for name in cameras}, time.monotonic()
    cpu_before, threads_before = cpu_s(pid), _threads_s(pid)
    program.run_for(seconds)
    cpu_after, threads_after, took_s = cpu_s(pid), _threads_s(pid), time.monotonic() - began_s
    used = [(used_s - threads_before.get(number, 0.0)) / took_s for number, used_s in threads_after.items()]
    threads = sorted(used, reverse=True)
    counts = {}
    for name in cameras:
        after = _counts(program, name)
        counts[name] = {key: after[key] - before[name].get(key, 0) for key in after}
    latency = {name: _latency_ms(program, name, began_s) for name in cameras}
    looks = {name: sum(map(_was_looked_at, program.poses(name, began_s))) for name in cameras}
    return Window(took_s, (cpu_after - cpu_before) / took_s, threads, counts, looks, latency, resident_mb(pid))


def until_activity(program: Program, activity: str, camera: str = "cam0", timeout_s: float = 60.0) -> float:
    """Wait until the status of a camera reports this activity, and return the time (monotonic seconds)."""

    def is_reached() -> bool:
        states = program.states(camera)
        return bool(states) and states[-1].body.get("activity") == activity

    return program.until(is_reached, timeout_s, f"{camera} to be {activity}")


def _was_looked_at(told: Told) -> bool:
    return told.body["timing_ms"]["detect"] >= _LOOK_MS


def _latency_ms(program: Program, camera: str, since_s: float) -> dict[str, float]:
    told = [told.body["latency_ms"] for told in program.states(camera, since_s)]
    return {name: statistics.median(each[name] for each in told) for name in ("p50", "p95")}


def _counts(program: Program, camera: str) -> dict[str, int]:
    body = program.states(camera)[-1].body
    return {"captured": body["captured"], "published": body["published"], **body["drops"]}


def _threads_s(process: int) -> dict[int, float]:
    """Return the CPU seconds of each thread. Python 3.11 gives threads no names that the system shows."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found[int(task.name)] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return found


def run(folder: Path, cameras: Sequence[Mapping[str, object]], *arguments: str) -> Program:
    """Return the program, not started yet, with these cameras (keys of the configuration) and arguments."""
    path = folder / "cameras.yaml"
    path.write_text(json.dumps({"cameras": cameras}))  # JSON is YAML
    return Program("--config", str(path), *arguments, folder=folder)
