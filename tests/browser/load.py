"""The live page under load: twenty cameras at 10 fps, and three viewers, of which one is stopped and one is slow.

    python -m tests.browser.load                    # about 20 minutes; prints the tables of docs/benchmarks.md
    python -m tests.browser.load --pairs 4 --soak-s 20

The program runs with `--web`. First come pairs of windows in which the viewers watch all cameras or none, in
alternating order, which give the ratio of the pipeline's CPU seconds per published frame. Then they watch all for ten
minutes: the memory of both processes, the dashboard's CPU time, and the ages of the viewers' pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from tests.faults.rig import ROOT
from tests.faults.test_strangers import free_port

from .people import pose_weights, write_people
from .throttle import Throttle
from .usage import child_of, cpu_s, resident_mb, slope_per_600_s
from .viewer import WATCH_ALL, WATCH_NONE

CAMERAS = 20
# What two cores can compute for twenty cameras at 10 fps: the detector's own keypoints of every fourth frame.
MODELS = {"detector.size": "256", "detector.every": "4", "pose.model": "detector"}
SLOW_BITS_PER_S = 1e6
# Until a change of what is watched has taken effect (s): the dashboard keeps a subscription for 1 s.
SETTLE_S = 1.5
SAMPLE_S = 2.0


class Pipeline:
    """The program with twenty cameras and `--web`, for the duration of a `with` block."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.web = free_port()
        self._endpoint = f"ipc://{folder}/stream"
        clip = write_people(folder / "people.mp4")
        words = [word for i in range(CAMERAS) for word in ("--source", f"cam{i}={clip}")]
        for key, value in {**MODELS, "detector.weights": str(pose_weights())}.items():
            words += [f"--{key}", value]
        words += [
            "--realtime",
            "--loop",
            "--publish.bind",
            self._endpoint,
            "--web",
            f"127.0.0.1:{self.web}",
            *arguments,
        ]
        self._command, self._log = [sys.executable, "run_realtime.py", *words], folder / "log"
        self.published, self._over = 0, threading.Event()
        self._counting = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Pipeline:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stderr=self._log.open("w"))
        self._counting.start()
        end_s = time.monotonic() + 120
        while self.published < 10 * CAMERAS:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end_s, "the cameras did not start"
            time.sleep(0.1)
        self.pid, self.dashboard = self._process.pid, child_of(self._process.pid, "realtime.dashboard")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._process.terminate()
        self._process.wait(30)
        self._counting.join()

    def _count(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.rcvhwm, socket.rcvtimeo, socket.linger = 0, 100, 0
            socket.subscribe(b"pose/")
            socket.connect(self._endpoint)
            while not self._over.is_set():
                with contextlib.suppress(zmq.Again):
                    socket.recv_multipart()
                    self.published += 1


@dataclass
class Watching:
    """A viewer in a process of its own, and its summaries."""

    name: str
    process: subprocess.Popen[str]
    summaries: list[dict[str, float]] = field(default_factory=list)

    def read(self) -> None:
        for line in self.process.stdout:
            self.summaries.append(json.loads(line))

    def since(self, unix_s: float) -> list[dict[str, float]]:
        return [summary for summary in self.summaries if summary["unix_s"] - 1 >= unix_s]


@contextlib.contextmanager
def three_viewers(port: int) -> Iterator[dict[str, Watching]]:
    """Start a good viewer, one that is stopped after two seconds, and one behind a slow link; kill them at the end."""
    with Throttle(port, SLOW_BITS_PER_S) as link:
        viewers = {}
        for name, at in (("good", port), ("stopped", port), ("slow", link.port)):
            command = [sys.executable, "-m", "tests.browser.viewer", f"http://127.0.0.1:{at}"]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            viewers[name] = Watching(name, process)
            threading.Thread(target=viewers[name].read, daemon=True).start()
        try:
            while not all(viewer.summaries and viewer.summaries[-1]["frames"] for viewer in viewers.values()):
                assert all(viewer.process.poll() is None for viewer in viewers.values()), "a viewer has ended"
                time.sleep(0.1)
            viewers["stopped"].process.send_signal(signal.SIGSTOP)
            yield viewers
            ended = [v.name for v in viewers.values() if v.process.poll() is not None]
            assert not ended, f"viewers that were disconnected: {ended}"
        finally:
            for viewer in viewers.values():
                viewer.process.kill()
                viewer.process.wait()


def window(run: Pipeline, seconds: float) -> tuple[float, float]:
    """Return the pipeline's CPU seconds per published frame, and the published frames per second."""
    time.sleep(SETTLE_S)
    began_s, cpu, frames = time.monotonic(), cpu_s(run.pid), run.published
    time.sleep(seconds)
    frames = run.published - frames
    return (cpu_s(run.pid) - cpu) / frames, frames / (time.monotonic() - began_s)


def compare(run: Pipeline, pairs: int, seconds: float) -> None:
    """Print the pipeline's CPU time per frame while no camera is watched and while all are, in alternating order.

    The windows are short and many, because other programs on the machine change the time of a frame by 10 %.
    """
    measured: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with three_viewers(run.web) as viewers:
        for pair in range(pairs):
            for watches in (False, True) if pair % 2 == 0 else (True, False):
                for name in ("good", "slow"):
                    viewers[name].process.send_signal(WATCH_ALL if watches else WATCH_NONE)
                measured[watches].append(window(run, seconds))
    ratios = [with_s / without_s for (without_s, _), (with_s, _) in zip(measured[False], measured[True], strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    print("| viewers | CPU time per frame (ms, median) | frames per second |\n| --- | --- | --- |")
    for watches, name in ((False, "none watches a camera"), (True, "they watch all cameras")):
        cpu, fps = (statistics.median(values) for values in zip(*measured[watches], strict=True))
        print(f"| {name} | {cpu * 1e3:.2f} | {fps:.0f} |")
    print(
        f"\nratio of {pairs} pairs: median {median:.3f}, quartiles {low:.3f} and {high:.3f}; goal < 1.05\n", flush=True
    )


def soak(run: Pipeline, seconds: float) -> None:
    """Print ages, CPU time and memory while all three viewers stay."""
    with three_viewers(run.web) as viewers:
        time.sleep(SETTLE_S)
        began_s, began_unix_s, frames = time.monotonic(), time.time(), run.published
        used = {pid: cpu_s(pid) for pid in (run.pid, run.dashboard)}
        times_s: list[float] = []
        memory_mb: dict[int, list[float]] = {run.pid: [], run.dashboard: []}
        while time.monotonic() < began_s + seconds:
            time.sleep(SAMPLE_S)
            times_s.append(time.monotonic() - began_s)
            for pid, values in memory_mb.items():
                values.append(resident_mb(pid))
        took_s = time.monotonic() - began_s
        print(f"{took_s:.0f} s with three viewers, {(run.published - frames) / took_s:.0f} frames per second\n")
        print("| process | CPU s per s | memory at most (MB) | its slope (MB in 10 min) |\n| --- | --- | --- | --- |")
        for name, pid in (("pipeline", run.pid), ("dashboard", run.dashboard)):
            share, values = (cpu_s(pid) - used[pid]) / took_s, memory_mb[pid]
            print(f"| {name} | {share:.2f} | {max(values):.0f} | {slope_per_600_s(times_s, values):+.1f} |")
        print("\n| viewer | pictures per s | kbit/s | age p50 (ms) | oldest on arrival | oldest on show | backwards |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for viewer in (viewers["good"], viewers["slow"]):
            print(row_of(viewer.name, viewer.since(began_unix_s)))


def row_of(name: str, summaries: list[dict[str, float]]) -> str:
    """Return a viewer's row, from its summaries of one second each."""
    rate = statistics.mean(summary["frames"] for summary in summaries)
    kbit = statistics.mean(summary["bytes"] for summary in summaries) * 8 / 1e3
    age_ms = statistics.median(summary["age_p50_ms"] for summary in summaries)
    arrived_ms, shown_ms = (max(summary[key] for summary in summaries) for key in ("age_max_ms", "oldest_ms"))
    backwards = sum(summary["backwards"] for summary in summaries)
    return f"| {name} | {rate:.0f} | {kbit:.0f} | {age_ms:.0f} | {arrived_ms:.0f} | {shown_ms:.0f} | {backwards} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.load", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40, help="pairs of windows with and without pictures, at least 2")
    parser.add_argument("--window-s", type=float, default=5.0, help="length of a window (s)")
    parser.add_argument("--soak-s", type=float, default=600.0, help="how long all viewers stay (s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Pipeline(Path(folder)) as run:
        time.sleep(10)  # the detector is compiled, memory has its usual size
        if options.pairs:
            compare(run, options.pairs, options.window_s)
        if options.soak_s:
            soak(run, options.soak_s)


if __name__ == "__main__":
    main()
