"""Overloaded live cameras: one process that serves all of them, against one process for each.

`compare` uses this module for its mode `cameras`. All cameras play the same video as a live source, faster than the
machine can process it, so that both sides drop frames. Only the time in which all cameras run counts.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from realtime.errors import RealtimeError
from realtime.evaluate.speed.runs import Run, Scene
from realtime.evaluate.speed.sides import messages_of_ours, read_ours, words_of_ours
from realtime.machine import environment_without_settings
from realtime.wire import PoseMessage

# The name of the side, and the default numbers of cameras.
PROCESSES = "processes"
CAMERAS = (2, 4)
# The time that counts begins this long after the last camera's first result, and ends this long before the first
# camera's last one. It must be at least as long as the third number.
_WARM_NS, _END_NS, _LEAST_NS = 2_000_000_000, 500_000_000, 3_000_000_000


def run_processes(processes: int, scene: Scene, folder: Path) -> Run:
    """Run our program in several processes at the same time.

    Args:
        processes: how many; each serves an equal part of the scene's cameras.
        scene: a live scene of several cameras.
        folder: where the recordings and the reports are written.

    Returns:
        The frames of all cameras in the time in which all of them ran.

    Raises:
        RealtimeError: the program failed, or the cameras did not run at the same time for long enough.
    """
    part = replace(scene, cameras=scene.cameras // processes)
    folders = [folder / f"process-{number}" for number in range(processes)]
    programs = []
    for each in folders:
        each.mkdir(exist_ok=True)
        command, environment = [sys.executable, *words_of_ours(part, each)], environment_without_settings()
        programs.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))  # noqa: S603 - ourselves
    errors = [program.communicate()[1] for program in programs]
    for program, error in zip(programs, errors, strict=True):
        if program.returncode:
            last = error.strip().splitlines()[-1:] or ["no error message"]
            raise RealtimeError(f"{PROCESSES}: exit code {program.returncode}: {last[0]}")
    told = [read_ours(each) for each in folders]
    run = Run(told[0].engine, thrown_away=sum(each.thrown_away for each in told))
    for message in together([messages for each in folders for messages in _by_camera(each)]):
        run.add(message.frame, message.captured_ns / 1e9, message.published_ns / 1e9, message.boxes_array())
    return run


def _by_camera(folder: Path) -> Iterable[list[PoseMessage]]:
    cameras: defaultdict[str, list[PoseMessage]] = defaultdict(list)
    for message in messages_of_ours(folder):
        cameras[message.camera].append(message)
    return cameras.values()


def together(cameras: Sequence[Sequence[PoseMessage]]) -> list[PoseMessage]:
    """Return what several cameras published while all of them ran, in the order of time.

    Args:
        cameras: each camera's messages, in order.

    Raises:
        RealtimeError: they did not run at the same time for long enough.
    """
    begin_ns = max(messages[0].published_ns for messages in cameras) + _WARM_NS
    end_ns = min(messages[-1].published_ns for messages in cameras) - _END_NS
    if end_ns - begin_ns < _LEAST_NS:
        raise RealtimeError(
            f"{PROCESSES}: all cameras ran together for {max(0, end_ns - begin_ns) / 1e9:.1f} s, expected at least "
            f"{_LEAST_NS / 1e9:g} s; set a longer --live-s"
        )
    inside = [one for messages in cameras for one in messages if begin_ns <= one.published_ns < end_ns]
    return sorted(inside, key=lambda message: message.published_ns)
