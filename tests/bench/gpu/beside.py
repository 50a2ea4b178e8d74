"""Step `beside`: the same frames through our program and through loops that users would write, side by side.

The loops are those of `python -m realtime.evaluate compare`. All sides load their models at the same time and then
wait, because loading takes longer than measuring; they run one after the other, for one round. Each side decodes the
same video file of the built-in demo.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import zmq

from realtime import wire
from realtime.evaluate.speed import compare
from realtime.evaluate.speed.compare import HALF
from realtime.evaluate.speed.ratios import OURS
from realtime.evaluate.speed.runs import WARM_FRAMES, Run, Scene
from realtime.evaluate.speed.sides import read_ours, words_of_loop, words_of_ours
from tests.bench.gpu.steps import Job

# Orientation only, and never part of a ratio: another card, another detector, other frames.
_RT_POSE = {"frame_ms": 21.3, "source": "github.com/qubvel/rt-pose, on an NVIDIA L4"}
# Loading must leave this much time (s) for measuring.
_KEPT_FOR_RUNS_S = 12.0
# The end of the step: the last side's process ends, and the results are written.
_END_S = 2.0
# A shorter run (s) says nothing.
_LEAST_S = 0.5


class SideError(Exception):
    """A side failed, or did not finish in time."""


class Key(NamedTuple):
    """A scene's title, and a side."""

    title: str
    side: str

    def __str__(self) -> str:
        return f"{self.title}: {self.side}"


class Length(NamedTuple):
    """How long a side runs at most: `frames` frames, and `seconds` seconds."""

    frames: int
    seconds: float


def run(job: Job) -> None:
    job.record.put("rt-pose, as published, not measured here", **_RT_POSE)
    length = Length(36, 4.0) if job.is_short else Length(400, 9.0)
    if job.is_short:  # threads that spin would stall a side while other programs use the cores
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory(prefix="realtime-pose-beside-") as name, contextlib.ExitStack() as stack:
        sides: dict[Key, Side] = {}
        for title, scene in _scenes(job, Path(name), length.frames):
            for side in sides_of(scene, job.is_cuda):
                folder = Path(name) / f"{len(sides)}"
                folder.mkdir()
                sides[Key(title, side)] = started = Ours(scene, folder) if side == OURS else Loop(side, scene, folder)
                stack.callback(started.close)
        _await(job, sides)
        _measure(job, sides, length.seconds)


def _await(job: Job, sides: dict[Key, Side]) -> None:
    """Wait until all sides have loaded their models; remove those that fail or take too long."""
    waiting = dict(sides)
    while waiting:
        for key, side in list(waiting.items()):
            try:
                if side.is_ready():
                    del waiting[key]
                elif job.left_s < _KEPT_FOR_RUNS_S:
                    raise SideError("its models were not loaded in time")
            except SideError as error:
                _tell(job, key, error)
                del waiting[key]
                sides.pop(key).close()
        time.sleep(0.02)


def _measure(job: Job, sides: Mapping[Key, Side], most_s: float) -> None:
    """Run the sides one after the other, each for at most `most_s` seconds, and record them."""
    runs: dict[Key, Run] = {}
    for number, (key, side) in enumerate(sides.items()):
        try:
            seconds = share_s(job.left_s - _END_S, len(sides) - number, most_s)
            if seconds < _LEAST_S:
                raise SideError("no time was left")
            runs[key] = side.measure(seconds)
            if len(runs[key].frames) < WARM_FRAMES + 2:
                raise SideError(f"{len(runs.pop(key).frames)} frames in {seconds:.1f} s are too few")
        except SideError as error:
            _tell(job, key, error)
            continue
        job.record.put(str(key), **entry(runs[key]))
        if key.side == OURS:  # the last one of its scene
            for other in [other for other in runs if other.title == key.title and other != key]:
                job.record.put(str(other), **entry(runs[other], ours=runs[key]))


def _tell(job: Job, key: Key, error: SideError) -> None:
    """Record that a side has no result. Only ours is our fault."""
    (job.record.fail if key.side == OURS else job.record.leave_out)(f"{key}: {error}")


def sides_of(scene: Scene, is_cuda: bool) -> list[str]:
    """Return the sides of a scene in the order in which they run. Ours runs last, when it has long been ready."""
    if scene.pose == "none":
        return ["track", OURS]
    return [*([HALF] if is_cuda else []), "sequential", OURS]


def share_s(left_s: float, sides: int, most_s: float) -> float:
    """Return how long (s) the next of `sides` sides may run, when `left_s` are left for all of them."""
    return max(0.0, min(most_s, left_s / sides))


def entry(run: Run, ours: Run | None = None) -> dict[str, object]:
    """Return the figures of a side, and of ours divided by them.

    Args:
        run: the side's run.
        ours: our run of the same scene; None: not known yet, or `run` is ours.
    """
    figures = run.figures()
    told: dict[str, object] = {name: figures[name] for name in ("fps", "p50_ms", "p95_ms", "people")}
    told |= {"frames": len(run.frames)}
    if ours is not None:
        mine = ours.figures()
        told |= {f"ours_{name}_ratio": _ratio(mine[name], figures[name]) for name in ("fps", "p50_ms", "p95_ms")}
        told |= {"boxes_that_ours_has_share": run.share_found_by(ours)}
    return told | {"engine": run.engine, "rounds": 1}


def _ratio(mine: float, theirs: float) -> float:
    return mine / theirs if theirs else float("nan")


def _scenes(job: Job, folder: Path, frames: int) -> Iterator[tuple[str, Scene]]:
    """Yield the scenes and their titles. The first can load while the second, which imports torch, is made."""
    parser = argparse.ArgumentParser()
    compare.add_scene_arguments(parser)
    words = ["--pose", "none", "--device", job.device, "--frames", str(frames)]
    plain = compare.make_scene(parser.parse_args(words), folder)
    if job.is_short:
        job.record.leave_out("no pose model: the short form runs one scene")
    else:
        yield "no pose model", plain
    from realtime.evaluate.speed.random_vitpose import SMALL, TINY, save_checkpoint

    title, size = ("tiny ViTPose", TINY) if job.is_short else ("ViTPose-S", SMALL)
    # Random weights may fail the self-test of low precisions.
    settings = {"pose.self_test": "warn"} | ({"pose.precision": "fp16"} if job.is_cuda else {})
    pose = str(save_checkpoint(folder / "vitpose", size=size))
    yield title, dataclasses.replace(plain, pose=pose, settings=settings)


class Side(Protocol):
    """A side's process, which loads its models and then waits."""

    def is_ready(self) -> bool:
        """Whether the models are loaded.

        Raises:
            SideError: the process ended.
        """
        ...

    def measure(self, seconds: float) -> Run:
        """Let it run, for at most `seconds`, and return its result.

        Raises:
            SideError: it failed, or did not end in time.
        """
        ...

    def close(self) -> None:
        """End the process."""
        ...


class Loop:
    """One of `realtime.evaluate.speed.loops`. It is told the time limit, and ends by itself."""

    # Longer than the limit (s): the last frame, and the end of the process.
    _MORE_S = 4.0

    def __init__(self, side: str, scene: Scene, folder: Path) -> None:
        self._result = folder / "run.json"
        held = dataclasses.replace(scene, held=True)
        self._process = _Process(words_of_loop(side, held, self._result), folder)

    def is_ready(self) -> bool:
        self._process.check()
        return self._process.has_said("ready\n")

    def measure(self, seconds: float) -> Run:
        self._process.say(f"{seconds:.2f}\n")
        self._process.wait(seconds + self._MORE_S)
        return Run.read(self._result)

    def close(self) -> None:
        self._process.close()


class Ours:
    """Our program. `publish.wait_for_subscribers` holds its first frame until this process subscribes to the poses."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self._folder = folder
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.subscribe(wire.info_topic("cam0"))  # sent once the models are loaded; doesn't open the door
        self._socket.connect(endpoint)
        more = {"publish.bind": endpoint, "publish.wait_for_subscribers": "1"}
        held = dataclasses.replace(scene, settings=scene.settings | more)
        self._process = _Process(words_of_ours(held, folder), folder)

    def is_ready(self) -> bool:
        self._process.check()
        return bool(self._socket.poll(0))

    def measure(self, seconds: float) -> Run:
        self._socket.subscribe(wire.pose_topic("cam0"))
        self._process.wait(seconds + Loop._MORE_S)
        return read_ours(self._folder)

    def close(self) -> None:
        self._socket.close(linger=0)
        self._process.close()


class _Process:
    """A Python process whose output goes to a file."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._output = folder / "output.txt"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *words], stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
            )

    def check(self) -> None:
        """Raise SideError if the process has ended."""
        if (code := self._process.poll()) is not None:
            lines = self._output.read_text(errors="replace").strip().splitlines() or ["no error message"]
            raise SideError(f"exit code {code}: {lines[-1][:200]}")

    def has_said(self, text: str) -> bool:
        return text in self._output.read_text(errors="replace")

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `wait` reports why it has ended
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()

    def wait(self, limit_s: float) -> None:
        """Wait for the process to end.

        Raises:
            SideError: it failed, or did not end in time.
        """
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise SideError(f"did not end within {limit_s:.0f} s") from None
        if code:
            self.check()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
