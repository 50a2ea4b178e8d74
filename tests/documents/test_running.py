"""The commands of the documents, run in a folder with small files: `make documents`.

Each gets at most a few frames. What needs a device or a server of the reader gets a file or a publisher of this test
instead (STAND_INS); what can't run here is skipped with its reason (ELSEWHERE).
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import ROOT, Command, commands, documents
from tests.documents import reader

pytestmark = [pytest.mark.documents, pytest.mark.timeout(400)]

PAGES = [name for name in documents() if name not in ("CONTRIBUTING.md", "ARCHITECTURE.md", "docs/reliability.md")]
OURS = re.compile(r"python run_realtime|python -m realtime\.(?!wire|config)|python examples/|realtime-pose [a-z]")
SHOWN = [
    command
    for page in PAGES
    for command in commands(page, (ROOT / page).read_text())
    if command.is_whole and OURS.match(" ".join(command.words))
]
# Commands that run elsewhere, and where.
ELSEWHERE = {
    r"--config configs/": "network cameras: tests/capture and make faults",
    r"--preview": "a window: tests/publish/test_preview.py",
    r"examples/draw_": "a window: tests/examples/test_stream.py",
    r"examples/demo|examples/space": "make demo, make space",
    r"examples/alert": "watches until it is stopped: tests/examples/test_documents.py",
    r"^docs/light.md": "an installation without torch: make light, tests/test_export.py",
    r"^docs/benchmarks.md": "minutes on an idle machine: make bench, tests/evaluate/speed",
    r"-m cProfile": "a profile of the command above it",
    r"--to (?:rerun|mcap)": "make convert",
    r"alice\.key_secret": "a publisher with keys: tests/wire/test_keys.py",
    r"realtime\.dashboard": "serves until it is stopped: tests/dashboard",
    r"--video vtest.avi": "needs the ground truth of that video: tests/evaluate/tracking",
}
# What a reader has, and what stands for it here.
STAND_INS = [
    (r"(--source )(?:(\w+=)?(?:\d+|rtsp://\S+|/dev/stdin|demo\S*))(?= |$)", r"\1\2clip.mp4"),
    (r"(--publish\.(?:bind|pictures|local-bind)) tcp://\S+", r"\1 tcp://127.0.0.1:*"),
    (r"(--web(?:-\w+)? )(?:0\.0\.0\.0|127\.0\.0\.1):\d+", r"\g<1>127.0.0.1:{port}"),
    (r"--(?:loop|publish\.wait-for-subscribers \d+)(?= |$)", ""),
    (r"(realtime\.replay \S+)(?: --speed \d+)?", r"\1 --speed inf"),
    (r"(--publish\.local-bind) ipc://\S+", r"\1 ipc://*"),
    (
        r"(?<= )keys/(publisher|clients/\w+)(?= |$)",
        r"new/\1",
    ),  # beside the pairs that are there
    (r"(--connect) \S+", r"\1 {endpoint}"),
    (r"(evaluate presets \S+)( --frames \d+)?", r"\1 --frames 3 --rounds 1"),
    (r"--seconds \d+", "--seconds 3"),
    (r"RECORDING|(?<=convert )REC\b|(?<=smoothing )run\.jsonl", "x.jsonl"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    reader.fill(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy for one command, because two recordings of one name are refused."""
    return shutil.copytree(made, tmp_path / "reader")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def endpoint(made: Path, environment: dict[str, str]) -> Iterator[str]:
    """A publisher that repeats a recording."""
    at = f"tcp://127.0.0.1:{free_port()}"
    words = ["-m", "realtime.replay", "x.jsonl", "--loop", "--restamp", "--publish.bind", at]
    with subprocess.Popen([sys.executable, *words], cwd=made, env=environment) as publisher:
        try:
            yield at
        finally:
            publisher.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("command", [pytest.param(command, id=str(command)) for command in SHOWN])
def test_a_command_runs(
    command: Command, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if reason := next((why for pattern, why in ELSEWHERE.items() if re.search(pattern, str(command))), None):
        pytest.skip(reason)
    told = "\0".join(command.words).replace(" ", "\1").replace("\0", " ")
    for pattern, stand_in in STAND_INS:
        told = re.sub(pattern, stand_in, told)
    reads = "{endpoint}" in told or "realtime.client" in told or "examples/" in told
    told = told.replace("{port}", str(free_port()))
    words = [word.replace("\1", " ") for word in told.split(" ") if word]
    at = request.getfixturevalue("endpoint") if reads else ""
    words = [word.replace("{endpoint}", at) for word in words]
    if "run_realtime.py" in words and not {"--dry-run", "--print-config"} & {*words}:
        words += ["--max-frames", "3"] + ([] if "--publish.bind" in words else ["--publish.bind", "tcp://127.0.0.1:*"])
    if "realtime.replay" in words:
        words += ["--publish.bind", "tcp://127.0.0.1:*"]
    if "realtime.client" in words and "--connect" not in words:
        words += ["--connect", at]
    if "realtime.client" in words:
        words += ["--count", "2"]
    words = [str(ROOT / word) if re.match(r"run_realtime\.py$|examples/", word) else word for word in words]
    words = [
        each
        for word in words
        for each in (sorted(map(str, folder.glob(word))) if word.endswith("*_30hz.npz") else [word])
    ]
    if "--record" in words:
        (folder / "x.jsonl").unlink()
    program = [sys.executable] if words[0] == "python" else [sys.executable, str(ROOT / "run_realtime.py")]
    done = subprocess.run(
        [*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
