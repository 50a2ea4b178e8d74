"""One cell of the table: starts the program on a machine, reads its stream, and collects what it left."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.rig import QUICK, Subscriber

from .namespace import STRANGER, Namespace, NotMade, Terminal
from .table import USUAL, Machine

# Frames of each run; two seconds for a run during which something happens, whose files are played at 30 fps.
FRAMES, FRAMES_PACED = 20, 75
# A start takes 3 s, or 7 s if the network is converted first; more while the machine is busy.
TIMEOUT_S = 60.0
# A name that ASCII does not have.
CLIP, RECORDING, REPORT = "/mnt/run-café.mp4", "/mnt/out/poses-café.jsonl", "/mnt/out/report-café.json"
SOCKET = "/mnt/run/stream"
PASSWORD = "hunter2-secret"
CACHE = "/mnt/home/.cache/realtime-pose"


@dataclass
class Result:
    """What a run said and left.

    Args:
        code: the exit code; None if it did not end in time.
        stderr: lines of standard error; empty where the machine has none.
        stdout: text of standard output.
        poses, states: the messages of the stream.
        recording: text of the recording; None without one.
        report: text of the report; None without one.
        left: files, folders and processes that the run should have removed.
        open_to_all: paths in the cache that other users could write.
    """

    code: int | None
    stderr: list[str] = field(default_factory=list)
    stdout: str = ""
    poses: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    recording: str | None = None
    report: str | None = None
    left: list[str] = field(default_factory=list)
    open_to_all: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kit:
    """What all machines share.

    Args:
        app: folder with the program.
        clip: a video file of `FRAMES_PACED` frames at 30 fps.
        camera_url: URL of an RTSP camera with a login, without it.
        cache: folder with the converted network; None to start without.
    """

    app: Path
    clip: Path
    camera_url: str
    cache: Path | None = None


def prepare(space: Namespace, machine: Machine, kit: Kit, terminal: Terminal | None = None) -> None:
    """Make a machine out of an ordinary one.

    Raises:
        NotMade: it can't be made here.
    """
    for command, package in {"setpriv": "util-linux", **machine.needs}.items():
        if shutil.which(command) is None:
            raise NotMade(f"needs {command} (package {package})")
    other = f"--reuid={STRANGER} --regid={STRANGER} --clear-groups"
    if space.do(f"setpriv {other} {shlex.quote(sys.executable)} -c pass < /dev/null") != 0:
        raise NotMade(f"needs a Python that other users can run: {sys.executable}: {space.said}")
    shutil.copy(kit.clip, space.root / CLIP[1:])
    if kit.cache is not None and machine.has_cache:
        shutil.copytree(kit.cache, space.root / CACHE[1:])
    space.make(
        f"user={machine.user} tty={terminal.name if terminal else ''}; chown -R $user:$user /mnt/home /mnt/out /mnt/run"
    )
    space.make(machine.setup)


def arguments_of(run: str, machine: Machine, kit: Kit) -> list[str]:
    """Return the command line of a run."""
    frames = FRAMES_PACED if machine.is_paced or (machine.during and run == "camera") else FRAMES
    words = ["--publish.bind", f"ipc://{SOCKET}", "--publish.wait-for-subscribers", "1", "--max-frames", str(frames)]
    words += [word for key, value in QUICK.items() for word in (f"--{key}", value)]
    scheme, _, rest = kit.camera_url.partition("://")
    words += {
        "demo": ["--source", "demo"],
        "file": ["--source", CLIP, "--record", RECORDING, "--report", REPORT],
        "camera": ["--source", f"{scheme}://anna:{PASSWORD}@{rest}", "--record", RECORDING],
    }[run]
    words += ["--realtime"] if machine.is_paced and run != "camera" else []
    return [*words, *machine.arguments.get(run, ())]


def run_on(space: Namespace, machine: Machine, words: Sequence[str], terminal: Terminal | None = None) -> Result:
    """Start the program with these arguments, wait for its end and collect what it said and left."""
    changed = {**USUAL, **machine.environment, **({"TTY": terminal.name} if terminal else {})}
    environment = {name: value for name, value in changed.items() if value is not None}
    with Subscriber(f"ipc://{space.root}{SOCKET}") as subscriber:
        space.start([sys.executable, "/mnt/app/run_realtime.py", *words], environment, machine.user, machine.door)
        end_s = time.monotonic() + TIMEOUT_S
        is_done = not machine.during and terminal is None
        while not space.has_ended():
            if time.monotonic() > end_s:
                return Result(None, space.read("/mnt/log/stderr").splitlines())
            if not is_done and subscriber.of("pose"):
                is_done = True
                if terminal is not None:
                    terminal.close()
                for line in filter(None, map(str.strip, machine.during.splitlines())):
                    space.do(line)
            time.sleep(0.02)
        code = space.wait()
        until_s = time.monotonic() + 2
        while code == 0 and not _has_ended(subscriber) and time.monotonic() < until_s:
            time.sleep(0.02)
    return Result(
        code,
        space.read("/mnt/log/stderr").splitlines(),
        space.read("/mnt/log/stdout"),
        [told.body for told in subscriber.of("pose")],
        [told.body for told in subscriber.of("status")],
        _text(space, RECORDING),
        _text(space, REPORT),
        left_by(space),
        open_to_all(space),
    )


def left_by(space: Namespace) -> list[str]:
    """Return the processes and files that are left, without outputs and the cache."""
    left = [f"process {name}" for name in space.processes()]
    left += [
        f"{folder}/{path}" for folder in ("/tmp", "/dev/shm", "/mnt/run", "/mnt/home") for path in space.files(folder)
    ]
    ours = re.compile(rf"{CACHE}(?!.*/begun-)|{Path(CACHE).parent}$|.*/(filler|pipe|\S*faketime_\S*)$")
    return [path for path in left if not ours.match(path)]


def open_to_all(space: Namespace) -> list[str]:
    """Return the paths in the cache that other users can write."""
    top = space.root / CACHE.lstrip("/")
    paths = [path for path in [top, *top.rglob("*")] if path.exists()]
    return [str(path.relative_to(top)) for path in paths if path.lstat().st_mode & 0o022]


def whole_lines(text: str) -> list[dict[str, Any]]:
    """Return the lines of a recording.

    Raises:
        ValueError: a line is not whole.
    """
    if text and not text.endswith("\n"):
        raise ValueError(f"the last line of the recording is cut off: {text[-60:]!r}")
    return [json.loads(line) for line in text.splitlines()]


def _has_ended(subscriber: Subscriber) -> bool:
    states = subscriber.of("status")
    return bool(states) and states[-1].body["state"] in ("ended", "failed")


def _text(space: Namespace, path: str) -> str | None:
    try:
        return space.read(path)
    except OSError:
        return None
