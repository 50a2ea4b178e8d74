"""Short runs of the whole program on an unusual machine: `make faults`. tests/machines has a table of such machines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture.clips import write_clip
from tests.test_stdio import break_stream

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

ROOT = Path(__file__).parents[2]
RUN = ["--max-frames", "5", "--detector.size", "160", "--pose.model", "none", "--publish.bind", "tcp://127.0.0.1:*"]


def run(*arguments: str, python: tuple[str, ...] = (), faults: dict[int, str] | None = None, **variables: str):
    """Run the program with five frames."""

    def break_streams() -> None:
        for descriptor, fault in (faults or {}).items():
            break_stream(descriptor, fault)

    return subprocess.run(
        [sys.executable, *python, str(ROOT / "run_realtime.py"), *arguments, *RUN],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=110, check=False,
        env=os.environ | variables, preexec_fn=break_streams,
    )  # fmt: skip


@pytest.mark.parametrize(
    "faults",
    [
        dict.fromkeys(range(3), "closed"),
        {1: "full", 2: "full"},
        {1: "broken", 2: "broken"},
        {0: "broken", 2: "closed"},
    ],
    ids=str,
)
def test_broken_standard_streams_change_nothing(faults, tmp_path):
    record = tmp_path / "poses.jsonl"
    ended = run("--source", "demo", "--record", str(record), "--log-level", "debug", faults=faults)
    assert ended.returncode == 0
    assert ended.stdout == b""
    assert len(record.read_text().splitlines()) == 5


@pytest.mark.parametrize("python", [("-OO",), ("-W", "error"), ("-I",), ("-bb",), ("-X", "dev")], ids=" ".join)
def test_flags_of_python_change_nothing(python):
    ended = run("--source", "demo", python=python)
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"5 published" in ended.stderr


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}], ids=["", "C"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_names_that_are_not_utf8_can_be_read_and_written_in_any_locale(locale, form, tmp_path):
    source, record = (os.fsencode(tmp_path) + b"/caf\xe9 \xe4\xb8\x96" + end for end in (b".mkv", b".jsonl"))
    write_clip(tmp_path / "clip.mkv", frames=5)
    os.rename(os.fsencode(tmp_path) + b"/clip.mkv", source)  # noqa: PTH104 - a path of bytes
    ended = run(
        "--source", os.fsdecode(source), "--record", os.fsdecode(record), "--report", os.fsdecode(record) + ".json",
        "--log-format", form, **locale,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    assert rb"caf\udce9" in ended.stderr
    with open(record, "rb") as file:  # noqa: PTH123 - a path of bytes
        assert len(file.readlines()) == 5
