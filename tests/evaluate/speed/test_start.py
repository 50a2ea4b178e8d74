import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from realtime.errors import RealtimeError
from realtime.evaluate.__main__ import main
from realtime.evaluate.speed import start as command
from realtime.evaluate.speed.start import Start, phases, start


def line(second: int, message: str) -> dict[str, str]:
    return {"time": f"1970-01-01T00:00:{second:02}+00:00", "message": message}


def test_a_start_is_divided_at_its_log_lines() -> None:
    lines = [
        line(11, "device: cpu"),
        line(12, "detector: loading x"),
        line(15, "models: compiling"),
        line(17, "publish"),
    ]
    assert phases(lines, began_unix_s=10, wall_s=9) == pytest.approx(
        {"libraries": 1, "find": 1, "detector": 3, "pose": 0, "warm-up": 2, "to the first pose": 2}
    )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Replace the program by a fake, and return the starts: the pose model, and whether it has a cache of its own."""
    found: list[tuple[str, bool]] = []

    def fake(words: Sequence[str], environment: dict[str, str]) -> Start:
        model = words[0]
        is_first = (model, True) not in found
        found.append((model, environment.get("XDG_CACHE_HOME") != os.environ.get("XDG_CACHE_HOME")))
        return Start(9.0 if is_first else 1.0 + len(found), 0.5, 250.0, {"libraries": 0.25})

    monkeypatch.setattr(command, "words_of", lambda model, source, folder: [model])
    monkeypatch.setattr(command, "start", fake)
    return found


def test_each_model_starts_with_an_empty_cache_and_then_in_turns(
    started: list[tuple[str, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.json"
    assert main(["start", "--models", "none", "offline", "--rounds", "2", "--json", str(file)]) == 0
    assert started == [("none", True), ("offline", True)] * 3
    none = json.loads(file.read_text())["models"]["none"]
    assert none["first"]["wall_s"]["median"] == 9
    assert none["second"]["wall_s"] == {"median": 5, "min": 4, "max": 6}
    assert none["second"]["phases_s"] == {"libraries": 0.25}
    assert "none        second  5.00   4.00  6.00   0.50   250.00" in capsys.readouterr().out


def test_second_starts_alone_use_the_cache_of_the_user(
    started: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", "--models", "none", "--rounds", "1", "--second-only"]) == 0
    assert started == [("none", False)] * 2  # the first one fills the cache, and does not count
    assert "none        first" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rounds", "0"], "--rounds: got 0"),
        (["--video", "/nowhere.mp4"], "--video: /nowhere.mp4: no such file"),
        (["--models", "vitpose-xl"], "invalid choice: 'vitpose-xl'"),
    ],
)
def test_a_wrong_flag_is_reported_before_any_start(
    words: list[str], said: str, started: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", *words]) == 2
    assert said in capsys.readouterr().err
    assert not started


def test_a_program_that_fails_is_reported_with_its_last_line() -> None:
    with pytest.raises(RealtimeError, match=r"exit code 3: cam0: /nowhere.mp4: no such file"):
        start(["--source=cam0=/nowhere.mp4"], dict(os.environ))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_program_starts(yolov8n: Path) -> None:
    words = ["--source=demo", "--realtime", f"--detector.weights={yolov8n}", "--pose.model=none"]
    found = start(words, dict(os.environ))
    assert found.cpu_s > 0
    assert found.peak_mb > 50
    assert sum(found.phases.values()) == pytest.approx(found.wall_s)
