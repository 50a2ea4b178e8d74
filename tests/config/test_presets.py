from pathlib import Path

import pytest

from realtime.config import PRESETS, AppConfig, Presets, changes, leaves, load
from realtime.errors import ConfigError
from realtime.models import weights

FOLDER = Path(load.__code__.co_filename).parents[1] / "presets"


def test_each_preset_is_a_file_of_the_package() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(PRESETS)


def test_balanced_is_the_defaults() -> None:
    assert changes(load(environment={}), load(environment={}, flags={"preset": "balanced"})) == ["preset"]


def test_fast_uses_the_keypoints_of_the_detector() -> None:
    config = load(environment={}, flags={"preset": "fast"})
    assert (config.preset, config.detector.weights, config.pose.model) == ("fast", "yolo11n-pose", "detector")


def test_a_preset_is_overridden_by_files_which_the_environment_overrides(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("detector: {size: 320, weights: yolov8n}\npose: {model: none}\npreset: fast\n")
    config = load([file], {"REALTIME_DETECTOR__SIZE": "480"}, {"preset": "accurate"})
    assert (config.detector.size, config.detector.weights, config.pose.model) == (480, "yolov8n", "none")


def accurate(*here: str) -> tuple[AppConfig, list[str]]:
    told: list[str] = []
    presets = Presets(lambda model: model in here, told.append)
    return load(environment={}, flags={"preset": "accurate"}, presets=presets), told


def test_accurate_takes_the_largest_models_on_this_machine_and_says_so() -> None:
    config, told = accurate("yolov8m", "yolov8s", "vitpose-plus-huge")
    assert (config.detector.weights, config.pose.model) == ("yolov8m", "vitpose-plus-huge")
    assert told == [
        "preset accurate: detector.weights is yolov8m, the largest of its models on this machine (not here: yolo11m)",
        "preset accurate: pose.model is vitpose-plus-huge, the largest of its models on this machine",
    ]


def test_accurate_leaves_the_choice_to_auto_if_none_of_its_models_is_here_and_says_so() -> None:
    config, told = accurate()
    assert (config.detector.weights, config.pose.model) == ("auto", "auto")
    assert told[0] == (
        "preset accurate: detector.weights stays auto, the default, because none of its models is on this machine "
        "(yolo11m, yolov8m, yolo11s, yolov8s)"
    )


def test_no_model_is_looked_for_if_its_key_is_set() -> None:
    told: list[str] = []
    flags = {"preset": "accurate", "pose.model": "none", "detector.weights": "auto"}
    load(environment={}, flags=flags, presets=Presets(lambda model: 1 / 0 > 0, told.append))
    assert not told


def test_a_model_is_looked_for_once() -> None:
    asked: list[str] = []
    presets = Presets(lambda model: bool(asked.append(model)), lambda line: None)
    for _ in range(2):
        load(environment={}, flags={"preset": "accurate"}, presets=presets)
    assert len(asked) == len(set(asked)) > 5


def test_every_candidate_is_a_name_that_can_be_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(weights, "local_checkpoint", looked.append)
    load(environment={}, flags={"preset": "accurate"}, presets=Presets(weights.is_here))
    assert looked[0] == "usyd-community/vitpose-plus-huge"
    assert all(name.startswith("usyd-community/vitpose-") for name in looked)  # the others are published YOLO models


@pytest.mark.parametrize("name", ["turbo", "Fast", "fast ", ["fast"], 3])
def test_an_unknown_preset_is_an_error_that_names_all(name: object) -> None:
    with pytest.raises(ConfigError, match=r"^preset: .*'fast', 'balanced' or 'accurate'"):
        load(environment={}, flags={"preset": name})


def test_a_preset_sets_only_keys_that_exist() -> None:
    keys = {key.name: key.kind for key in leaves()}
    for name in PRESETS:
        assert set(Presets().layer(name, keys, {})) <= set(keys) - {"preset"}
