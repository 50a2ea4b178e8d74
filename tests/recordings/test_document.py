"""The commands and the example of docs/recordings.md, run in a folder with a recording."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from realtime import convert, replay
from realtime.recordings import replay as publishing
from realtime.recordings.convert.openpose import BODY_25
from realtime.recordings.parquet_writing import ParquetWriter
from tests.publish.test_mp4 import write
from tests.recordings.recorded import of_camera, record

TEXT = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text()
COMMANDS = re.findall(r"^    python (.*)", TEXT, re.MULTILINE)

CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    record(tmp_path / "x.jsonl", *of_camera(1000, n=1, k=17))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("-m realtime.replay")])
def test_the_commands_that_replay_do_so(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing.Replay, "_wait_until", lambda self, moment_s: True)
    monkeypatch.setattr(publishing.Replay, "_begin_again", publishing.Replay.stop)
    words = shlex.split(command)[2:]
    if "--publish.wait-for-subscribers" in words:
        monkeypatch.setattr(publishing.Stream, "readers", lambda self: 1)
    assert replay.main([*words, "--publish.bind", "tcp://127.0.0.1:*"]) == 0


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("-m realtime.convert")])
def test_the_commands_that_convert_do_so(command: str, folder: Path) -> None:
    if "--to rerun" in command and not importlib.util.find_spec("rerun"):
        pytest.skip("needs rerun-sdk: make convert")
    (folder / "results").mkdir()
    write(folder / "clip.mp4", [0.0, 0.1], np.zeros((480, 640, 3), np.uint8))
    words = shlex.split(command)[2:]
    assert convert.main(words) == 0
    assert (folder / words[words.index("--out") + 1]).exists()


def test_the_example_writes_the_trajectory_of_one_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert.main(["x.jsonl", "--to", "csv", "--out", "x.csv"]) == 0
    [code] = [code for code in CODE if "csv" in code]
    exec(compile(code, "recordings.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1000
    assert re.fullmatch(r"[\d.]*,\d+\.\d+,\d+\.\d+,[01]\.\d+", lines[0])


def test_the_order_of_openpose_is_that_of_the_converter() -> None:
    listed = re.search(r"OpenPose's order: (.*?)\. ", " ".join(TEXT.split()))
    assert listed
    assert listed[1].split(", ") == [f"{index} {name}" for index, name in enumerate(BODY_25)]


def test_the_example_that_reads_does_so(capsys: pytest.CaptureFixture[str]) -> None:
    code = CODE[-1]
    exec(compile(code, "recordings.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[0]) == (1000, "cam0 1000000000000000000 [1] 17 (1, 17, 3)")


@pytest.mark.parametrize("code", [code for code in CODE if "x.parquet" in code or "x.frames.parquet" in code])
def test_other_libraries_read_parquet_as_the_examples_do(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(re.search(r"import .*?(\w+)\n", code)[1])
    first, second = Path("x.parquet"), Path("x.frames.parquet")
    with first.open("wb") as people, second.open("wb") as frames, ParquetWriter(people, frames) as writer:
        writer.write(of_camera(10, n=2, k=17))
    assert convert.main(["x.jsonl", "--to", "csv", "--out", "x.csv"]) == 0
    found: dict[str, object] = {}
    exec(compile(code, "recordings.md", "exec"), found)
    assert "keypoints" not in found or found["keypoints"].shape == (20, 17, 3)
    assert "wrist" not in found or found["wrist"].shape == (1000, 4)
