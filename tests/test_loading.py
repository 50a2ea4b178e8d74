"""Mistakes that `load_models` reports, and that it reports them before it loads a model, which takes seconds.

In most tests the detector is a file that is not a model. An error about anything else shows that it was not loaded yet.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from pathlib import Path

import pytest
import torch

from realtime import loading, plan
from realtime.config import load
from realtime.errors import ConfigError, DeviceError, ModelError
from realtime.loading import load_models
from realtime.models import choice
from realtime.skeleton import COCO17, Skeleton, from_labels
from realtime.skeletons.animals import AP10K, APT36K
from tests.fake_cuda import cuda_error, out_of_memory
from tests.models.published import original


@pytest.fixture
def unloadable(tmp_path: Path) -> Path:
    path = tmp_path / "unloadable.pt"
    path.write_bytes(b"not a model")
    return path


def error_of(kind: type[Exception], weights: Path, **keys: object) -> str:
    """Load the models of a configuration, which must fail with an error of this kind; return its message."""
    flags = {"cameras": [{"name": "cam0", "source": "demo"}], "device": "cpu", "detector.weights": str(weights)}
    given = {key: value if isinstance(value, list) else str(value) for key, value in keys.items()}
    flags |= {"pose.model": "none"} | {key.replace("__", "."): value for key, value in given.items()}
    with pytest.raises(kind) as caught:
        load_models(load(environment={}, flags=flags))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_is_not_a_model_is_an_error_once_it_is_loaded(unloadable: Path) -> None:
    assert error_of(ModelError, unloadable).startswith(f"{unloadable}: not a YOLO model")


# ---- the device


def test_a_missing_gpu_is_reported_before_a_model_is_loaded(unloadable: Path) -> None:
    said = error_of(ConfigError, unloadable, device="cuda:99")
    assert said.startswith(f"device: got cuda:99, but torch {torch.__version__} ")
    assert said.endswith("; or use --device auto")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (out_of_memory(2**20), "cuda:0: not enough memory (CUDA out of memory. Tried to allocate 1.00 MiB. "),
        (cuda_error("out of memory"), "cuda:0: not enough memory (CUDA error: out of memory): choose "),
        (DeviceError("cuda:0: raised by a lane"), "cuda:0: raised by a lane"),
    ],
)
def test_a_gpu_that_fails_while_the_models_load_is_an_error_of_the_model(
    yolov8n: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    monkeypatch.setattr(plan, "resolve_device", lambda name: torch.device("cuda:0"))
    monkeypatch.setattr(loading, "build_net", lambda *arguments: (_ for _ in ()).throw(error))
    fixed = {"detector__precision": "fp32", "tracker__method": "bytetrack"}
    assert error_of(ModelError, yolov8n, **fixed).startswith(says)


def test_a_missing_apple_gpu_is_reported_before_a_model_is_loaded(
    unloadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert error_of(ConfigError, unloadable, device="mps").startswith("device: got mps, but this machine has no Apple")


def test_a_missing_device_is_reported_before_a_missing_model(tmp_path: Path) -> None:
    assert error_of(ConfigError, tmp_path / "none.pt", device="cuda:99").startswith("device: ")


# ---- keys that the device or the model does not support


@pytest.mark.parametrize("model", ["none", "detector"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("engine", "openvino"),
        ("precision", "bf16"),
        ("precision", "fp16"),
        ("precision", "int8"),
        ("input_size", "128x96"),
        ("keypoints", ["body"]),
    ],
)
def test_a_key_of_the_pose_model_is_refused_if_no_pose_model_runs(
    unloadable: Path, model: str, key: str, value: str | list[str]
) -> None:
    said = error_of(ConfigError, unloadable, pose__model=model, **{f"pose__{key}": value})
    text = value if isinstance(value, str) else ", ".join(value)
    assert said == f"pose.{key}: got {text} with {model}, expected a ViTPose model"


@pytest.mark.parametrize(
    ("key", "value"),
    [("input_size", "128x96"), ("precision", "int8"), ("skeleton", "ap10k"), ("keypoints", ["body", "feet"])],
)
def test_a_key_of_vitpose_is_refused_for_a_yolo_pose_model(
    unloadable: Path, tmp_path: Path, yolo11n_pose: Path, key: str, value: str | list[str]
) -> None:
    pose = tmp_path / "people-pose.pt"
    pose.symlink_to(yolo11n_pose)
    said = error_of(ConfigError, unloadable, pose__model=pose, **{f"pose__{key}": value})
    text = value if isinstance(value, str) else ", ".join(value)
    assert said == f"pose.{key}: got {text} with people-pose, expected a ViTPose model"


def test_int8_without_openvino_is_refused(unloadable: Path, tmp_path: Path) -> None:
    said = error_of(ConfigError, unloadable, pose__model=tmp_path, pose__engine="torch", pose__precision="int8")
    assert said.startswith("pose.precision: got int8 with torch on cpu")


@pytest.mark.parametrize("section", ["detector", "pose"])
def test_openvino_is_refused_if_it_is_not_installed(
    unloadable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name == "openvino" else found(name, *of))
    said = error_of(ConfigError, unloadable, pose__model=tmp_path, **{f"{section}__engine": "openvino"})
    assert said.startswith(f"{section}.engine: got openvino, which is not installed; ")


def test_a_missing_appearance_network_is_reported_before_a_model_is_loaded(unloadable: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none.pt"
    said = error_of(ConfigError, unloadable, tracker__method="botsort", tracker__reid=missing)
    assert said == f"tracker.reid: got {missing}, expected an existing .pt or .pth file"


# ---- models that are missing, or do not fit together


@pytest.mark.parametrize("config", [None, "{}", '{"model_type": "vitpose", "id2label": {"1": "nose"}}'])
def test_a_wrong_pose_folder_is_reported_before_the_detector_is_loaded(
    unloadable: Path, tmp_path: Path, config: str | None
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    assert error_of(ModelError, unloadable, pose__model=folder).startswith(str(folder))


def test_a_pose_file_whose_keypoints_are_not_clear_is_reported_before_the_detector_is_loaded(
    unloadable: Path, tmp_path: Path
) -> None:
    file = tmp_path / "people.pth"
    torch.save(original(), file)
    said = error_of(ModelError, unloadable, pose__model=file)
    assert said.endswith("set pose.skeleton to one of coco17, ap10k, apt36k, posetrack18")
    said = error_of(ModelError, unloadable, pose__model=file, pose__skeleton="wholebody133")
    assert said == (
        f"{file}: pose.skeleton: got wholebody133, expected one that the file has: coco17, ap10k, apt36k, posetrack18"
    )
    feet = {"pose__skeleton": "coco17", "pose__keypoints": ["feet"]}
    assert error_of(ModelError, unloadable, pose__model=file, **feet).endswith("expected parts that it has: body")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("{tmp}/none", "pose.model: no such folder: {tmp}/none"),
        ("{tmp}/none.pt", "pose.model: no such file: {tmp}/none.pt; expected the path of a .pt file or one of "),
        (
            "{tmp}/notes.txt",
            "pose.model: got the file {tmp}/notes.txt, expected a .pth or .safetensors file of ViTPose",
        ),
    ],
)
def test_a_missing_pose_model_is_reported_before_the_detector_is_loaded(
    unloadable: Path, tmp_path: Path, model: str, says: str
) -> None:
    (tmp_path / "notes.txt").touch()
    said = error_of(ModelError, unloadable, pose__model=model.format(tmp=tmp_path))
    assert said.startswith(says.format(tmp=tmp_path))


@pytest.mark.parametrize("weights", ["none.pt", "yolo99"])
def test_a_missing_detector_is_an_error_that_lists_the_published_ones(tmp_path: Path, weights: str) -> None:
    where = tmp_path / weights if weights.endswith(".pt") else Path(weights)
    said = error_of(ModelError, where)
    assert said.startswith("detector.weights: ")
    assert f": {where}; expected the path of a .pt file or one of yolo11n, " in said


def test_the_detector_s_keypoints_are_refused_if_it_has_none(yolov8n: Path) -> None:
    said = error_of(ConfigError, yolov8n, pose__model="detector", detector__engine="torch", detector__precision="fp32")
    assert said == (
        "pose.model: got detector, but the detector has no keypoints; set detector.weights to a YOLO pose model, such "
        "as yolo11n-pose (preset fast sets both keys)"
    )


# ---- the plan


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
def test_the_engine_of_each_model_is_chosen_once_per_start(yolov8n, yolo11n_pose, chosen, precision, caplog):
    caplog.set_level(logging.INFO, "realtime")
    keys = {"detector__weights": str(yolov8n), "detector__size": "320", "pose__model": str(yolo11n_pose)}
    models = loading.load_models(config_of(**keys, detector__precision=precision, pose__precision=precision))
    assert models.detect.engine_name
    assert sorted(chosen) == ["detector", "pose"]
    # Each step that may take long is announced.
    said = [line for line in caplog.messages if "loading" in line or "warming up" in line]
    assert said == [
        f"detector: loading {yolov8n.name}",
        f"pose: loading {yolo11n_pose.name}",
        "models: compiling and warming up on cpu",
    ]


@pytest.mark.parametrize(
    ("source", "is_tuned", "warmed_up"),
    [
        ("demo", False, True),
        ("demo", True, False),  # the shape of its frames is compiled when it is opened
        ("rtsp://127.0.0.1/a", True, True),  # its frames go into this shape until their own is compiled
    ],
)
def test_the_shape_of_usual_frames_is_compiled_unless_each_file_gets_its_own(yolov8n, source, is_tuned, warmed_up):
    config = config_of(cameras=[{"name": "cam0", "source": source}], detector__weights=str(yolov8n), pose__model="none")
    models = loading.load_models(config, is_tuned=is_tuned)
    assert bool(models.detect.shapes.compiled) == warmed_up


def test_a_plan_names_the_models_and_their_engines(yolov8n, tmp_path):
    keys = {"detector__weights": str(yolov8n), "detector__engine": "torch", "pose__model": "none"}
    made = plan.make_plan(config_of(**keys))
    assert (made.device.type, made.detector.found.path) == ("cpu", yolov8n)
    assert made.detector.choice == ("torch", "fp32")
    assert (made.pose.found.kind, made.pose.choice) == ("none", None)


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


# ---- keypoints and classes


# The classes, the skeleton of the pose model, and the warning.
MISFITS = [
    (["person"], COCO17, None),
    (["cat", "dog"], AP10K, None),
    (["goldfish", "person"], from_labels({0: "tail"}), None),  # a custom skeleton may be anyone's
    (
        ["person", "cat"],
        COCO17,
        "cat: the pose model finds a person's keypoints (coco17), .*; use a run for each, or use",
    ),
    (["person", "cat"], AP10K, "person: the pose model finds an animal's keypoints (ap10k), .*; use a run for each"),
    (["cat"], COCO17, "cat: the pose model finds a person's keypoints (coco17), .*; set pose.skeleton, or use"),
    (["Person"], APT36K, "Person: the pose model finds an animal's keypoints .*; look for animals, or use"),
]


@pytest.mark.parametrize(("classes", "skeleton", "warning"), MISFITS)
def test_classes_that_the_keypoints_do_not_fit_are_warned_about(
    classes: list[str], skeleton: Skeleton, warning: str | None
) -> None:
    said = loading._misfit(skeleton, classes)
    assert (said is None) == (warning is None)
    if said is not None and warning is not None:
        assert re.search(re.escape(warning).replace(r"\.\*", ".*"), said)
        assert "\n" not in said
