import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.errors import RealtimeError
from realtime.evaluate.__main__ import main
from realtime.evaluate.presets import command
from realtime.evaluate.presets.outcome import Outcome
from realtime.evaluate.speed.videos import write_video
from realtime.flags import parse
from tests.evaluate.presets.made import message, outcome


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    file = tmp_path / "clip.mp4"
    write_video((np.full((48, 64, 3), 10 * k, np.uint8) for k in range(5)), 10, file)
    return file


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the program by a fake, and return the list of the settings that ran, in order."""
    settings: list[str] = []

    def run_program(words: Sequence[str], folder: Path) -> Outcome:
        parse(words)
        setting = shlex.join(words[: next(i for i, word in enumerate(words) if word.startswith("--device="))])
        settings.append(setting)
        if "input-size" in setting:
            raise RealtimeError("pose.input_size: not with this model")
        is_fast = "fast" in setting
        return outcome(*(message(i, shift=4 * is_fast) for i in range(40)), fps=30.0 if is_fast else 10.0)

    monkeypatch.setattr(command, "run_program", run_program)
    return settings


def test_each_setting_is_compared_with_the_defaults(
    ran: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.json"
    assert main(["presets", str(clip), "--json", str(file)]) == 0
    out, data = capsys.readouterr().out, json.loads(file.read_text())
    rows = [re.split(r" {2,}", line) for line in out.splitlines() if line.startswith("--")]
    lines = {setting: figures for setting, *figures in rows}
    assert list(lines) == [command.DEFAULT, *command.SETTINGS[:-1]]
    assert lines["--preset fast"] == ["30.00", "3.00", "1.00", "1.00", "4.00", "4.00"]
    assert "not measured: --pose.input-size 192x144: pose.input_size: not with this model" in out
    assert "models: yolov8n in openvino bf16, no keypoints: --preset balanced, --preset fast," in out
    assert data["settings"]["--preset fast"]["speed"] == 3
    assert data["failed"] == {"--pose.input-size 192x144": "pose.input_size: not with this model"}
    assert set(data) >= {"processor", "instructions", "cores", "device", "frames"}


def test_the_settings_take_turns_and_one_that_failed_is_not_tried_again(ran: list[str], clip: Path) -> None:
    failing = "--pose.input-size 64x64"
    words = ["--setting=--preset fast", f"--setting={failing}", "--setting=--preset fast", "--rounds=2"]
    assert main(["presets", str(clip), *words]) == 0
    assert ran == [command.DEFAULT, "--preset fast", failing, "--preset fast", command.DEFAULT]


def test_the_fastest_round_counts_and_a_disturbed_measurement_says_so(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fps = iter([20.0, 50.0, 100.0, 40.0])  # of the default and the setting, and of the setting and the default
    monkeypatch.setattr(command, "run_program", lambda words, folder: outcome(message(0), fps=next(fps)))
    assert main(["presets", str(clip), "--setting=--preset fast", "--rounds=2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"--preset fast +100.00 +2.50 ", out)
    assert "differed by a factor of up to 2.0 between rounds" in out


def test_the_program_must_run_with_the_defaults(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: Sequence[str], folder: Path) -> Outcome:
        raise RealtimeError("the file is truncated")

    monkeypatch.setattr(command, "run_program", fail)
    assert main(["presets", str(clip)]) == 1
    assert "error: the file is truncated" in capsys.readouterr().err


def test_a_clip_that_shows_little_is_mentioned(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run_program", lambda words, folder: outcome(message(0, [])))
    assert main(["presets", str(clip)]) == 0
    out = capsys.readouterr().out
    assert "only 1 frames" in out
    assert "finds no people in this clip" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.mp4"], "clip: nowhere.mp4: no such file"),
        (["one.png"], "clip: one.png is a single image, expected a video or a folder of images"),
        (["0"], "clip: 0 is a webcam, expected a recording"),
        (["rtsp://me:s3cret@10.0.0.1/x"], "clip: rtsp://***@10.0.0.1/x is a network source, expected a recording"),
        (["demo", "--frames", "0"], "--frames: got 0"),
        (["demo", "--rounds", "0"], "--rounds: got 0"),
        (["demo", "--setting=--sise 3"], "--setting: --sise 3: unknown flag --sise"),
        (["demo", "--setting=--detector.size 3"], "--setting: --detector.size 3: detector.size: got '3'"),
        (["demo", "--setting='"], "--setting: ': No closing quotation"),
        (["demo", "--setting=--source 1"], "--setting: got --source, expected only flags that change how"),
        (["demo", "--setting=--realtime"], "--setting: got --realtime, expected only flags that change how"),
        (["demo", "--setting=--dry-run"], "--setting: got --dry-run, expected only flags that change how"),
    ],
)
def test_a_wrong_clip_or_flag_is_reported_before_anything_runs(
    words: list[str],
    said: str,
    ran: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("one.png", np.zeros((8, 8, 3), np.uint8))
    assert main(["presets", *words]) == 2
    assert said in capsys.readouterr().err
    assert not ran


def test_the_program_gets_flags_that_it_accepts_and_its_error_line_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(RealtimeError, match=r"^no source: use --source"):
        command.run_program(["--device=cpu"], tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_settings_run_on_the_demo_source(tmp_path: Path, yolo11n_pose: Path) -> None:
    file = tmp_path / "x.json"
    assert main(["presets", "demo", "--frames", "20", "--rounds", "1", "--json", str(file)]) == 0
    settings = json.loads(file.read_text())["settings"]
    assert settings["--preset fast"]["people"] == pytest.approx(5, abs=0.5)
    assert settings["--preset fast"]["found"] > 0.9
