import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from realtime.errors import RealtimeError
from realtime.evaluate.__main__ import main
from realtime.evaluate.bench import command
from realtime.evaluate.bench.files import read
from realtime.evaluate.bench.sections import Section


def test_all_sections_run_and_one_file_has_their_figures(
    sections: list[Section], measured: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    assert main(["bench", "--json", str(file)]) == 0
    assert measured == [sections[0].words(None, False), ["latency", "demo"]]
    data = json.loads(file.read_text())
    assert data["format"] == 1
    assert data["commands"] == [f"python -m realtime.evaluate {' '.join(words)}" for words in measured]
    assert data["sections"]["other"]["figures"] == {"x": {"median": 2.0, "min": 1.5, "max": None}}
    assert data["sections"]["other"]["data"] == {"title": "t"}
    assert data["machine"]["auto"]["detector_engine"] == "openvino bf16"
    assert {"processor", "instructions", "cores", "memory_gb", "libraries"} <= set(data["machine"])
    shown = capsys.readouterr()
    assert "other    x         2.00   1.50     -" in shown.out
    assert "bench: about 5 min on 2 cores for latency, other\n" in shown.err
    assert "section 2 of 2, other: python -m realtime.evaluate latency demo" in shown.err
    assert read(file).machine.cores >= 1


def test_quick_and_some_sections_take_less_time(
    sections: list[Section], measured: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--quick", "--sections", "latency"]) == 0
    assert measured == [sections[0].words(None, True)]
    assert measured[0][-2:] == ["--camera", "cam9"]
    assert "bench: about 1 min on 2 cores for latency\n" in capsys.readouterr().err


def test_a_section_that_fails_is_named_and_the_others_run(
    sections: list[Section], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The sections run for real here: one finds no camera of that name, the other its recording."""
    file = tmp_path / "a.json"
    clip = tmp_path / "x.jsonl"
    assert main(["bench", "--quick", "--video", str(clip), "--json", str(file)]) == 1
    data = json.loads(file.read_text())["sections"]
    assert data["latency"]["error"].endswith("no poses received from cam9: did that run publish anything?")
    assert data["latency"]["figures"] == {}
    assert data["other"]["error"] is None
    assert "cam0" in data["other"]["data"]["cameras"]
    shown = capfd.readouterr()
    assert shown.out.startswith("warning: latency failed: ")
    assert shown.err.count("no poses received") == 1
    assert "Traceback" not in shown.err


def test_a_section_that_is_killed_says_so(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 12:00:00 info rounds: 1 of 5 >&2\nkill -9 $$\n")
    python.chmod(0o700)
    monkeypatch.setattr(command.sys, "executable", str(python))
    assert main(["bench", "--sections", "other"]) == 1
    shown = capsys.readouterr()
    assert "warning: other failed: killed by signal 9" in shown.out
    assert "rounds: 1 of 5" in shown.err


def test_ctrl_c_keeps_the_finished_sections(
    sections: list[Section], measured: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole = command.measure

    def measure(words: Sequence[str], file: Path) -> None:
        if measured:
            raise KeyboardInterrupt
        whole(words, file)

    monkeypatch.setattr(command, "measure", measure)
    file = tmp_path / "a.json"
    assert main(["bench", "--json", str(file)]) == 1
    assert list(json.loads(file.read_text())["sections"]) == ["latency"]
    assert "warning: interrupted during section 2 of 2, other" in capsys.readouterr().out


def test_the_file_is_there_before_the_last_section_ends(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, seen = tmp_path / "a.json", []

    def measure(words: Sequence[str], result: Path) -> None:
        seen.append(file.read_text())
        result.write_text("{}")

    monkeypatch.setattr(command, "measure", measure)
    main(["bench", "--json", str(file)])
    assert seen[0] == ""
    assert list(json.loads(seen[1])["sections"]) == ["latency"]


def test_a_program_that_fails_with_its_defaults_is_reported(
    sections: list[Section], measured: list[list[str]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def chosen(folder: Path) -> dict[str, str]:
        raise RealtimeError("pose.model: auto found no weights")

    monkeypatch.setattr(command, "chosen", chosen)
    assert main(["bench"]) == 1
    assert len(measured) == 2
    assert "warning: the program failed with its defaults: pose.model: auto found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sections", "latency,speed"], "--sections: got 'speed', expected some of latency, other"),
        (["--video", "/nowhere.mp4"], "--video: /nowhere.mp4: no such file"),
        (["--compare", "a.json"], "argument --compare: expected 2 arguments"),
    ],
)
def test_a_wrong_flag_is_reported_before_any_section_runs(
    words: list[str], said: str, sections: list[Section], measured: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not measured
