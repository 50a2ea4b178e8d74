"""The command as users run it, on a recording of a street, with a stand-in for the detector."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.evaluate.__main__ import main
from realtime.evaluate.activity import command
from tests.evaluate.activity.street import BRANCH, find_dark, pictures, write

CORNERS = "[[95, 15], [145, 15], [145, 55], [95, 55]]"  # round the branch


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_load_detect", lambda config: (find_dark, "stand-in"))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clips") / "street", pictures())


def measured(tmp_path: Path, *words: object) -> dict:
    numbers = tmp_path / "numbers.json"
    assert main(["activity", *map(str, words), "--activity.empty-s", "1", "--json", str(numbers)]) == 0
    return json.loads(numbers.read_text())["recordings"][0]


def test_states_wake_ups_and_false_alarms_are_counted(street: Path, tmp_path: Path) -> None:
    result = measured(tmp_path, street)
    branch, person = result["wake_ups"]
    assert branch["is_false_alarm"]
    assert branch["at_s"] == pytest.approx(3.0, abs=0.15)
    x1, y1, x2, y2 = branch["xyxy"]
    assert x1 <= BRANCH[0] + 2
    assert y1 <= BRANCH[1] + 2
    assert x2 >= BRANCH[2] - 2
    assert y2 >= BRANCH[3] - 2
    assert not person["is_false_alarm"]
    assert person["people_after_s"] <= 0.3
    assert result["false_alarms"] == 1
    assert result["false_alarms_per_hour"] == pytest.approx(3600 / result["length_s"])
    assert sum(result["seconds"].values()) == pytest.approx(result["length_s"])
    assert result["length_s"] == pytest.approx(247 / 30, abs=0.01)
    assert result["seconds"]["empty"] > 1


def test_no_person_is_missed_and_the_detector_runs_less(street: Path, tmp_path: Path) -> None:
    result = measured(tmp_path, street)
    assert len(result["people"]) == 1
    assert result["missed"] == 0
    assert result["people"][0]["late_s"] <= 0.3
    assert result["calls"]["off"]["detect"] == 248
    assert result["calls"]["on"]["detect"] < 220
    assert "gate" not in result["cpu_s"]["off"]


def test_a_mask_prevents_the_false_alarm_and_another_sensitivity_is_used(street: Path, tmp_path: Path) -> None:
    assert measured(tmp_path, street, "--fast", "--mask", CORNERS)["false_alarms"] == 0
    assert measured(tmp_path, street, "--fast", "--mask", f"[{CORNERS}]")["false_alarms"] == 0
    assert measured(tmp_path, street, "--fast", "--mask", "[]")["false_alarms"] == 1


def test_the_mask_of_a_camera_is_used_and_a_flag_replaces_it(street: Path, tmp_path: Path) -> None:
    config = tmp_path / "cameras.yaml"
    config.write_text(f"cameras:\n- {{name: door, source: 'rtsp://10.0.0.5/s1', mask: [{CORNERS}]}}\n")
    assert measured(tmp_path, street, "--fast", "--config", config)["false_alarms"] == 0
    assert measured(tmp_path, street, "--fast", "--config", config, "--mask", "[]")["false_alarms"] == 1
    config.write_text(config.read_text() + "- {name: yard, source: 'rtsp://10.0.0.6/s1'}\n")
    assert measured(tmp_path, street, "--fast", "--config", config, "--camera", "door")["false_alarms"] == 0
    assert measured(tmp_path, street, "--fast", "--config", config, "--camera", "yard")["false_alarms"] == 1


def test_fast_runs_the_detector_only_for_the_gate(street: Path, tmp_path: Path) -> None:
    result = measured(tmp_path, street, "--fast")
    assert result["is_off_estimated"]
    assert result["people"] is None
    assert len(result["wake_ups"]) == 2
    assert result["cpu_s"]["off"]["detect"] > result["cpu_s"]["on"]["detect"]


def test_a_picture_of_each_wake_up_shows_the_area_that_moved(street: Path, tmp_path: Path) -> None:
    result = measured(tmp_path, street, "--fast", "--pictures", tmp_path / "woken")
    files = sorted((tmp_path / "woken").iterdir())
    assert [file.name for file in files] == [each["picture"] for each in result["wake_ups"]]
    shown = cv2.imread(str(files[0])).astype(int)
    is_drawn = np.abs(shown - 110).max(axis=2) > 40
    assert is_drawn[14:19, 95:145].sum() > 40  # a line above the branch
    assert not is_drawn[70:].any()


def test_several_recordings_have_a_row_each_and_one_together(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = write(tmp_path / "still", [np.full((120, 160, 3), 110, np.uint8)] * 90)
    assert main(["activity", str(street), str(still), "--activity.empty-s", "1", "--frames", "180"]) == 0
    out = capsys.readouterr().out
    assert "\nALL" in out
    assert "still: the camera never woke up" in out
    assert "still: the detector found no people, even without the gate" in out
    assert "a false alarm" in out


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_very_short_recording_has_a_result_that_says_why_it_is_never_empty(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write(tmp_path / "short", [np.full((12, 16, 3), 110, np.uint8)] * count)
    assert main(["activity", str(short)]) == 0
    assert "not longer than activity.empty_s (10 s), so the camera is never empty" in capsys.readouterr().out


def test_frames_and_target_fps_limit_what_is_read(street: Path, tmp_path: Path) -> None:
    assert measured(tmp_path, street, "--frames", 10)["frames"] == 10
    slow = measured(tmp_path, street, "--target-fps", 5)
    assert slow["length_s"] == pytest.approx(247 / 30, abs=0.25)
    assert slow["calls"]["off"]["detect"] == pytest.approx(41, abs=2)


def test_the_demo_is_measured_for_some_frames(tmp_path: Path) -> None:
    assert measured(tmp_path, "demo", "--frames", 3)["frames"] == 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["/nowhere/clip.mp4"], 1, "/nowhere/clip.mp4: no such file"),
        (["0"], 2, "0: is a webcam, expected a recording"),
        (["demo"], 2, "demo: never ends, so it needs --frames N"),
        (["STREET", "--frames", "0"], 2, "--frames: got 0, expected at least 1"),
        (["STREET", "--mask", "door"], 2, "--mask: got 'door', expected a polygon such as"),
        (["STREET", "--mask", "[[0, 0], [9, 9]]"], 2, "mask: got 2 corners, expected 3 to 1000"),
        (
            ["STREET", "--mask", "[[0, 0], [160, 0], [160, 120], [0, 120]]"],
            2,
            "mask: got polygons over the whole frame",
        ),
        (["STREET", "--sensitivity", "7"], 2, "sensitivity: got '7'"),
        (["STREET", "--camera", "door"], 2, "--camera: got door, but --config has no cameras"),
        (["STREET", "--config", "configs/rtsp.yaml"], 2, "--camera: got nothing, expected one of door, yard"),
        (["STREET", "--pictures", "STREET"], 2, "is not empty, expected a new or empty folder"),
        (["STREET", "--pictures", "/proc/woken"], 2, "--pictures: can't write to /proc/woken"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], code: int, message: str, street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["activity", *(str(street) if word == "STREET" else word for word in words)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
