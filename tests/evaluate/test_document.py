"""The commands of docs/speed.md, run in a folder with a clip and a recording."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from realtime.config import load
from realtime.evaluate import latency
from realtime.evaluate.__main__ import main
from realtime.evaluate.presets import command as presets
from realtime.evaluate.speed.videos import write_video
from realtime.flags import parse
from realtime.wire import command as client
from tests.evaluate.presets.made import message, outcome
from tests.recordings.recorded import of_camera, record

TEXT = (Path(__file__).parents[2] / "docs" / "speed.md").read_text()
COMMANDS = re.findall(r"^    python (.*)", TEXT, re.MULTILINE)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "x.jsonl", *of_camera(1000, n=1, k=17))
    for name in ("clip.mp4", "vtest.avi"):
        write_video((np.full((48, 64, 3), 10 * k, np.uint8) for k in range(5)), 10, tmp_path / name)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("run_realtime.py")])
def test_the_commands_that_run_the_program_are_accepted(command: str) -> None:
    arguments, flags = parse(shlex.split(command)[1:])
    assert load(arguments.config, environment={}, flags=flags).cameras


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("-m realtime.evaluate")])
def test_the_commands_that_measure_do_so(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(presets, "run_program", lambda words, folder: outcome(*map(message, range(40))))
    monkeypatch.setattr(latency, "_listen", lambda options: iter(map(message, range(40))))
    assert main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out


def test_every_other_command_is_one_of_the_client() -> None:
    others = [line for line in COMMANDS if not line.startswith(("run_realtime.py", "-m realtime.evaluate"))]
    assert len(others) == 1
    client._parser().parse_args(shlex.split(others[0].removeprefix("-m realtime.client")))


def test_the_table_has_the_settings_that_the_command_measures() -> None:
    assert all(f"`{setting}`" in TEXT for setting in presets.SETTINGS)


def test_the_help_says_which_command_answers_which_question(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "latency why is it slow:" in words
    assert "presets make it faster:" in words
