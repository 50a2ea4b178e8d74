"""Runs each side of a comparison in a process of its own, and reads its result.

`compare` and `cost` use it. Our side is the program itself, the others are in `loops` and `one_liner_loop`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from realtime.errors import RealtimeError
from realtime.evaluate.speed.one_liner import LOOPS
from realtime.evaluate.speed.runs import Run, Scene
from realtime.machine import environment_without_settings
from realtime.recordings.reading import open_recording
from realtime.wire import PoseMessage

_ENTRY = "import sys; from realtime.cli import main; sys.exit(main())"
_RECORDING, _REPORT = "ours.jsonl", "ours.json"


def run_ours(scene: Scene, folder: Path) -> Run:
    """Run our program once.

    Args:
        scene: the scene.
        folder: where the recording and the report are written.

    Returns:
        The frames of all cameras.

    Raises:
        RealtimeError: the program failed.
    """
    started_s = time.time()
    _start(*words_of_ours(scene, folder))
    return replace(read_ours(folder), started_s=started_s)


def words_of_ours(scene: Scene, folder: Path) -> list[str]:
    """Return Python's arguments that run our program once; see `run_ours`."""
    flags = {"publish.bind": "tcp://127.0.0.1:*"} | scene.configuration | {
        "max_frames": str(scene.frames),
        "realtime": str(scene.fps is not None).lower(),
        "record": str(folder / _RECORDING),
        "report": str(folder / _REPORT),
        "log_level": "warning",
    }  # fmt: skip
    words = [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    return ["-c", _ENTRY, *(f"--source=cam{i}={scene.video}" for i in range(scene.cameras)), *words]


def words_of_loop(side: str, scene: Scene, result: Path) -> list[str]:
    """Return Python's arguments that run a loop once; it writes its `Run` to the file `result`."""
    module = "one_liner_loop" if side in LOOPS else "loops"
    return ["-m", f"realtime.evaluate.speed.{module}", side, scene.to_json(), str(result)]


def read_ours(folder: Path) -> Run:
    """Read the result of our program from the folder that `words_of_ours` named."""
    told = json.loads((folder / _REPORT).read_text())
    run = Run(", ".join(f"{key} {Path(name).name}" for key, name in told["models"].items()))
    for message in messages_of_ours(folder):
        run.add(message.frame, message.captured_ns / 1e9, message.published_ns / 1e9, message.boxes_array())
    run.thrown_away = sum(c["captured"] - c["published"] - sum(c["drops"].values()) for c in told["cameras"].values())
    return run


def messages_of_ours(folder: Path) -> list[PoseMessage]:
    """Read what our program published from the folder that `words_of_ours` named, in the order of time."""
    return sorted(open_recording(folder / _RECORDING).messages(), key=lambda message: message.published_ns)


def run_loop(side: str, scene: Scene, folder: Path) -> Run:
    """Run a loop once.

    Args:
        side: its name.
        scene: the scene.
        folder: where the result is written.

    Raises:
        RealtimeError: the loop failed.
    """
    result, started_s = folder / "loop.json", time.monotonic()
    _start(*words_of_loop(side, scene, result))
    return replace(Run.read(result), started_s=started_s)


def _start(*words: str) -> None:
    environment = environment_without_settings()
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - ourselves
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no error message"]
        raise RealtimeError(f"{' '.join(words[1:3])[:80]}: exit code {done.returncode}: {last[0]}")
