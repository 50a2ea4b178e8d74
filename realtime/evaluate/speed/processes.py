"""Overloaded live cameras: one process that serves all of them, against one process for each.

`cost` uses this module for its table `processes`. All cameras play the same video as a live source, faster than the
machine can process it, so each side drops frames. The sides run in turns.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.errors import RealtimeError
from realtime.evaluate.progress import progress
from realtime.evaluate.speed.compare import recording_of_ours, words_of_ours
from realtime.evaluate.speed.runs import Scene
from realtime.evaluate.speed.videos import images_of, write_video
from realtime.recordings.reading import open_recording

# Numbers of cameras.
CAMERAS = (2, 4)
# What counts begins this long after the last camera's first frame, and ends before the first camera's last one: then
# all of them run.
_WARM_S = 2.0
_END_S = 0.5
# The least length of that time.
_LEAST_S = 3.0


class Served(NamedTuple):
    """What one side did while all of its cameras ran.

    Attributes:
        fps: published frames of all cameras per second.
        p50_ms, p95_ms: time from capture to publishing, in milliseconds.
    """

    fps: float
    p50_ms: float
    p95_ms: float


def of_processes(scene: Scene, rounds: int, folder: Path) -> dict[int, list[tuple[Served, Served]]]:
    """Measure both sides for each number of cameras.

    Args:
        scene: a live scene: its `fps` is the frame rate of each camera, its `frames` the length of a run.
        rounds: number of repetitions.
        folder: where the video and the recordings are written.

    Returns:
        By number of cameras, for each round: one process, and as many processes as cameras.

    Raises:
        RealtimeError: the program failed, or was too slow to start.
    """
    assert scene.fps is not None
    video = folder / "overload.mp4"
    endless = itertools.chain.from_iterable(images_of(scene.video) for _ in itertools.count())
    write_video(itertools.islice(endless, scene.frames), scene.fps, video)
    scene = replace(scene, video=str(video))
    found: dict[int, list[tuple[Served, Served]]] = {cameras: [] for cameras in CAMERAS}
    for number, cameras in progress([(i, n) for i in range(rounds) for n in CAMERAS], "processes", unit="rounds"):
        turn = (1, cameras) if number % 2 == 0 else (cameras, 1)
        sides = {processes: _run(scene, cameras, processes, folder) for processes in turn}
        found[cameras].append((sides[1], sides[cameras]))
    return found


def _run(scene: Scene, cameras: int, processes: int, folder: Path) -> Served:
    folders = [folder / f"process-{i}" for i in range(processes)]
    running = []
    for each in folders:
        each.mkdir(exist_ok=True)
        recording_of_ours(each).unlink(missing_ok=True)
        words = [sys.executable, *words_of_ours(scene, each, cameras // processes)]
        running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))  # noqa: S603
    errors = [program.communicate()[1] for program in running]
    for program, error in zip(running, errors, strict=True):
        if program.returncode:
            raise RealtimeError(f"cost processes: exit code {program.returncode}: {(error.splitlines() or [''])[-1]}")
    return served([times for each in folders for times in _times(recording_of_ours(each))])


def _times(recording: Path) -> list[NDArray[np.float64]]:
    """Return the times of each camera's frames in seconds: float64 (N, 2), capture and publishing."""
    times: dict[str, list[tuple[float, float]]] = {}
    for message in open_recording(recording).messages():
        times.setdefault(message.camera, []).append((message.captured_ns / 1e9, message.published_ns / 1e9))
    return [np.array(each) for each in times.values()]


def served(cameras: Sequence[NDArray[np.float64]]) -> Served:
    """Return what was done while all cameras ran.

    Args:
        cameras: for each camera, the capture and publishing times of its frames in seconds, float64 (N, 2).

    Raises:
        RealtimeError: they did not run at the same time for long enough.

    >>> times = np.array([[second, second + 0.1] for second in np.arange(0, 12, 0.1)])
    >>> [round(figure) for figure in served([times, times])]
    [20, 100, 100]
    """
    begin_s = max(times[0, 1] for times in cameras) + _WARM_S
    end_s = min(times[-1, 1] for times in cameras) - _END_S
    if end_s - begin_s < _LEAST_S:
        raise RealtimeError("cost processes: the cameras did not run at the same time for long enough; add --live-s 60")
    inside = np.concatenate([times[(times[:, 1] >= begin_s) & (times[:, 1] < end_s)] for times in cameras])
    ages_ms = (inside[:, 1] - inside[:, 0]) * 1e3
    p50_ms, p95_ms = np.percentile(ages_ms, (50, 95)).tolist()
    return Served(len(inside) / (end_s - begin_s), p50_ms, p95_ms)
