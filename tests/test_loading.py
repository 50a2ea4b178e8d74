import sys

import pytest

from realtime import loading
from realtime.config import load
from realtime.errors import ConfigError
from realtime.models import choice


def config_of(**flags):
    keys = {key.replace("__", "."): value for key, value in flags.items()}
    return load(environment={}, flags={"device": "cpu"} | keys)


@pytest.fixture
def chosen(monkeypatch):
    """The sections for which an engine was chosen, by whichever module."""
    sections = []

    def count(section, *args):
        sections.append(section)
        return original(section, *args)

    original = choice.choose
    for name, module in list(sys.modules.items()):
        if name.startswith("realtime.") and getattr(module, "choose", None) is original:
            monkeypatch.setattr(module, "choose", count)
    return sections


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_the_engine_of_each_model_is_chosen_once_per_start(yolov8n, yolo11n_pose, chosen, precision):
    keys = {"detector__weights": str(yolov8n), "pose__model": str(yolo11n_pose)}
    models = loading.load_models(config_of(**keys, detector__precision=precision, pose__precision=precision))
    assert models.detect.engine_name
    assert sorted(chosen) == ["detector", "pose"]


def test_a_plan_names_the_models_and_their_engines(yolov8n, tmp_path):
    keys = {"detector__weights": str(yolov8n), "detector__engine": "torch", "pose__model": "none"}
    plan = loading.make_plan(config_of(**keys))
    assert (plan.device.type, plan.detector.found.path) == ("cpu", yolov8n)
    assert plan.detector.choice == ("torch", "fp32")
    assert (plan.pose.found.kind, plan.pose.choice) == ("none", None)


MISTAKES = [
    ({"detector__engine": "torch", "device": "cuda:99"}, "device: got cuda:99"),
    ({"pose__engine": "torch", "pose__precision": "int8"}, "pose.precision: got int8 with torch"),
    ({"pose__model": "none", "pose__engine": "openvino"}, "pose.engine: got openvino with none"),
    ({"pose__model": "detector", "pose__precision": "bf16"}, "pose.precision: got bf16 with detector"),
    ({"pose__model": "none", "pose__input_size": "192x144"}, "pose.input_size: got 192x144 with none"),
]


@pytest.mark.parametrize(("keys", "says"), MISTAKES, ids=[says for _, says in MISTAKES])
def test_a_mistake_is_reported_before_any_model_is_loaded(monkeypatch, yolov8n, yolo11n_pose, keys, says):
    for loader in ("build_net", "build_engine", "TrackStage"):
        monkeypatch.setattr(loading, loader, None)
    known = {"detector__weights": str(yolov8n), "pose__model": str(yolo11n_pose)}
    with pytest.raises(ConfigError, match=says):
        loading.load_models(config_of(**known | keys))
