from pathlib import Path

import pytest

from realtime.config import CameraConfig, leaves, sections
from realtime.errors import ConfigError
from realtime.flags import help_text, parse


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")


def test_the_help_lists_every_flag_once() -> None:
    text = help_text()
    for key in leaves():
        flag = "--" + key.name.replace("_", "-")
        assert sum(line.split()[:1] == [flag] for line in text.splitlines()) == 1, flag


def test_the_help_starts_with_the_few_flags_that_people_need_first() -> None:
    most_used = help_text().split("most used:")[1].split("general:")[0]
    assert most_used.split()[0] == "--source"
    assert len([line for line in most_used.splitlines() if line.startswith("  --")]) == 12


def test_the_help_shows_choices_and_defaults() -> None:
    text = help_text()
    assert "--pose.engine auto|torch|openvino" in text
    assert "multiple of 32 (default: 640)" in text
    assert "every Nth frame; boxes are extrapolated in between (default: 1)" in text
    assert "(default: cadence, people, size)" in text
    assert "VALUE" not in text


@pytest.mark.parametrize("name", ["pose", "pose.model", "--pose.model"])
def test_one_group_can_be_shown_alone(name: str) -> None:
    text = help_text(name)
    assert "--pose.model" in text
    assert "--detector.size" not in text


def test_the_keys_of_a_camera_can_be_shown() -> None:
    text = help_text("cameras")
    assert all(f"  {name}: " in text for name in CameraConfig.model_fields)


def test_an_unknown_group_is_an_error_that_lists_the_groups() -> None:
    with pytest.raises(ConfigError, match=r"got .nope., expected one of detector, tracker, .*cameras"):
        parse(["--help", "nope"])


def test_the_help_is_printed_although_other_flags_follow(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--help", "--source", "0"])
    assert end.value.code == 0
    assert capsys.readouterr().out == help_text()


def test_every_section_has_a_description() -> None:
    assert all(description.endswith(".") for description in sections().values())


@pytest.mark.parametrize("words", [["--config", "~/x.yaml"], ["--config=~/x.yaml"]])
def test_a_tilde_is_the_home_folder_in_the_path_of_a_configuration_file(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse(words)[0].config == [Path("/home/me/x.yaml")]


def test_a_tilde_without_a_home_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")
    with pytest.raises(ConfigError, match="argument --config: this user has no home folder for the ~"):
        parse(["--config=~/x.yaml"])


@pytest.mark.parametrize("second", ["fast", "accurate"])
def test_a_preset_that_is_given_twice_is_an_error(second: str) -> None:
    with pytest.raises(ConfigError, match=f"--preset: given twice, fast and {second}; expected one"):
        parse(["--preset", "fast", f"--preset={second}"])
