"""How long a start takes, and what it costs, for this version and another one in turns.

    python -m tests.bench.start --before ../before --source vtest.avi       # the folder of another checkout

`python -m realtime.evaluate start` measures this version alone. This adds the phases, the number of compilations and
the import. The CPU time is that of all threads until the first message, and hardly depends on other programs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from realtime.evaluate.speed.start import MODELS, Start, start, words_of

ROOT = Path(__file__).parents[2]
_FRAMES = 15
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


def environment(root: Path, cache: Path) -> dict[str, str]:
    """The environment of a run of the version in `root`, with a cache of its own."""
    return {**os.environ, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}


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
        caches = {name: folder / name for name in versions}
        for model in options.models:
            words = words_of(model, options.source, folder)
            for name, root in versions.items():
                show(f"{model}, {name}, first", [start(words, environment(root, caches[name]), root)])
            seconds: dict[str, list[Start]] = {name: [] for name in versions}
            for _ in range(options.rounds):
                for name, root in versions.items():
                    seconds[name].append(start(words, environment(root, caches[name]), root))
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
