"""Measure how long a start takes and what it costs: from the command to the first pose message at a subscriber.

This is `python -m realtime.evaluate start`. For each pose model, the program first starts with an empty cache (first
start), and then with the converted networks in it, in turns (second starts). tests.bench.start compares versions.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from realtime.client import PoseSubscriber
from realtime.errors import ConfigError, RealtimeError
from realtime.evaluate.progress import progress
from realtime.evaluate.report import Cell, Report
from realtime.home import home_path
from realtime.machine import environment_without_settings
from realtime.models.cache import cache_folder
from realtime.models.weights import find_detector
from realtime.wire import PoseMessage

# The pose models: none, yolo11n-pose on crops as by default without a model hub, and ViTPose-S with random weights.
MODELS = ("none", "offline", "vitpose-s")
# The log line with which each phase ends, by its beginning.
PHASES = {
    "libraries": ("device: ",),
    "find": ("detector: loading",),
    "detector": ("pose: loading", "models: compiling"),
    "pose": ("models: compiling",),
    "warm-up": ("publish",),
}
_ENTRY = "import sys; from realtime.cli import main; sys.exit(main())"
# Frames of a run, and messages that are awaited after the first one for the peak of the memory.
_FRAMES, _MORE = 15, 6
_POLL_S = 1.0


class Start(NamedTuple):
    """One start, until the first pose message."""

    wall_s: float
    cpu_s: float
    peak_mb: float  # resident memory at most, until some frames later
    phases: dict[str, float]  # wall time of each


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add = parser.add_argument
    add("--video", type=home_path, metavar="FILE", help="video file to process; default: the built-in demo source")
    add("--rounds", type=int, default=3, metavar="N", help="number of second starts of each; default 3")
    add(
        "--models",
        nargs="+",
        choices=MODELS,
        default=list(MODELS),
        metavar="MODEL",
        help="pose models: none, offline (yolo11n-pose on crops), vitpose-s (random weights); default: all",
    )
    add(
        "--second-only",
        action="store_true",
        help="measure no start with an empty cache; use your own cache, and fill it before",
    )


def run(options: argparse.Namespace) -> Report:
    """Measure the starts.

    Raises:
        ConfigError: a flag is wrong, or the system has no /proc.
        ModelError: a model can't be found.
        RealtimeError: the program failed.
    """
    if options.rounds < 1:
        raise ConfigError(f"--rounds: got {options.rounds}, expected at least 1")
    if options.video is not None and not options.video.is_file():
        raise ConfigError(f"--video: {options.video}: no such file")
    if not Path("/proc/self/stat").is_file():
        raise ConfigError("start: this system has no /proc to read CPU time and memory from; run it on Linux")
    seconds: dict[str, list[Start]] = {model: [] for model in options.models}
    with tempfile.TemporaryDirectory(prefix="realtime-pose-") as name:
        folder = Path(name)
        words = {model: words_of(model, str(options.video or "demo"), folder) for model in options.models}
        turns = [(number, model) for number in range(options.rounds + 1) for model in options.models]
        firsts = {}
        for number, model in progress(turns, "starts", unit="starts"):
            own = {} if options.second_only else {"XDG_CACHE_HOME": str(folder / f"cache-{model}")}
            found = start(words[model], environment_without_settings() | own)
            if number:
                seconds[model].append(found)
            else:
                firsts[model] = found
    return _report(options, {} if options.second_only else firsts, seconds)


def words_of(model: str, source: str, folder: Path) -> list[str]:
    """Return the flags of a run.

    Args:
        model: one of MODELS.
        source: the source, which plays like a live camera.
        folder: where the random weights of ViTPose-S are written.

    Raises:
        ModelError: the weights are not available.
    """
    pose = model
    if model == "offline":
        pose = str(find_detector("yolo11n-pose", False, cache_folder()).path)
    elif model == "vitpose-s":
        from realtime.evaluate.speed.random_vitpose import SMALL, save_checkpoint

        pose = str(save_checkpoint(folder / model, size=SMALL))
    weights = find_detector("yolov8n", False, cache_folder()).path
    return [f"--source=cam0={source}", "--realtime", f"--detector.weights={weights}", f"--pose.model={pose}",
            "--pose.self-test=warn"]  # fmt: skip


def start(words: Sequence[str], environment: Mapping[str, str], version: Path | None = None) -> Start:
    """Start the program, and let it run until some frames after its first pose message.

    Args:
        words: its flags.
        environment: its variables.
        version: the folder of the version to start; None: this one.

    Raises:
        RealtimeError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="realtime-pose-") as name:
        endpoint = f"ipc://{name}/poses"
        flags = [f"--max-frames={_FRAMES}", f"--publish.bind={endpoint}", "--publish.wait-for-subscribers=1"]
        command = [sys.executable, "-c", _ENTRY, *words, *flags, "--log-format=json"]
        began_s, began_unix_s = time.perf_counter(), time.time()
        with (
            subprocess.Popen(command, cwd=version, env=environment, stderr=subprocess.PIPE, text=True) as process,  # noqa: S603 - ourselves
            PoseSubscriber(endpoint, timeout_s=_POLL_S) as poses,
        ):
            wall_s = cpu_s = peak_mb = math.nan
            try:
                for number, _ in zip(
                    range(_MORE), _messages(poses, process), strict=False
                ):  # some frames may be dropped
                    if not number:
                        wall_s, cpu_s = time.perf_counter() - began_s, _cpu_s(process.pid)
                    peak_mb = _peak_mb(process.pid) or peak_mb
                _, log = process.communicate()
            except BaseException:
                process.kill()
                raise
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    if process.returncode or math.isnan(wall_s):
        last = lines[-1]["message"] if lines else (log.strip().splitlines() or ["no error message"])[-1]
        raise RealtimeError(f"the program ended without a pose, exit code {process.returncode}: {last}")
    return Start(wall_s, cpu_s, peak_mb, phases(lines, began_unix_s, wall_s))


def _messages(poses: PoseSubscriber, process: subprocess.Popen[str]) -> Iterator[PoseMessage]:
    """Yield the messages until the stream or the process ends."""
    while True:
        try:
            yield poses.next_message()
        except StopIteration:
            return
        except TimeoutError:
            if process.poll() is not None:
                return


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float | None:
    """The most resident memory so far; None once the process has ended."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else None


def phases(lines: Sequence[Mapping[str, str]], began_unix_s: float, wall_s: float) -> dict[str, float]:
    """Divide a start at its log lines.

    Args:
        lines: the objects of the log.
        began_unix_s: when the program was started.
        wall_s: seconds until the first pose message.

    Returns:
        Seconds by phase. Phases whose log line is missing are left out.
    """
    times = [(datetime.fromisoformat(line["time"]).timestamp() - began_unix_s, line["message"]) for line in lines]
    found, last = {}, 0.0
    for phase, beginnings in PHASES.items():
        at = next((at for at, text in times if at >= last and text.startswith(beginnings)), None)
        if at is not None:
            found[phase], last = at - last, at
    return found | {"to the first pose": wall_s - last}


def _report(options: argparse.Namespace, firsts: Mapping[str, Start], seconds: Mapping[str, Sequence[Start]]) -> Report:
    rows: list[list[Cell]] = []
    data: dict[str, object] = {}
    for model, found in seconds.items():
        told = {"second": _summary(found)} | ({"first": _summary([firsts[model]])} if model in firsts else {})
        data[model] = told
        for kind, summary in told.items():
            wall, cpu, peak = (summary[name] for name in ("wall_s", "cpu_s", "peak_mb"))
            rows.append([model, kind, wall["median"], wall["min"], wall["max"], cpu["median"], peak["median"]])
    video = options.video or "the built-in source"
    return Report(
        title=f"Starts with {video}, yolov8n, {options.rounds} second starts of each, in turns",
        columns=["pose model", "start", "s", "least", "most", "CPU s", "peak MB"],
        rows=rows,
        data={"video": str(video), "models": data},
        notes=[
            "s: from the command to the first pose message at a subscriber. CPU s: of all threads, until then.",
            "first: with an empty cache, so that the networks are converted. peak MB: resident memory.",
        ],
    )


def _summary(starts: Sequence[Start]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for each in starts for name in each.phases)
    return {
        "wall_s": _range([each.wall_s for each in starts]),
        "cpu_s": _range([each.cpu_s for each in starts]),
        "peak_mb": _range([each.peak_mb for each in starts]),
        "phases_s": {name: statistics.median(each.phases.get(name, 0.0) for each in starts) for name in names},
    }


def _range(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
