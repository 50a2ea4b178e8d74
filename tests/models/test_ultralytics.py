"""YOLO files: what loading one checks, and what it leaves unchanged."""

import os
from pathlib import Path

import pytest
import torch
from ultralytics.nn import tasks

from realtime.errors import ModelError
from realtime.models.ultralytics import load_network, tame


def test_loading_a_model_leaves_the_thread_count_of_torch_unchanged(yolov8n, monkeypatch):
    def load(*args, **keywords):
        torch.set_num_threads(1)  # as importing ultralytics does
        return load_checkpoint(*args, **keywords)

    load_checkpoint = tasks.load_checkpoint
    monkeypatch.setattr(tasks, "load_checkpoint", load)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        load_network(yolov8n)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_network_without_a_yolo_head_is_refused(yolov8n, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "SAFE_LOAD", False)  # Decoder is a class of this file
    stored = torch.load(yolov8n, map_location="cpu", weights_only=False)
    head = stored["model"].model[-1]
    head.__class__ = type("Decoder", (torch.nn.Module,), {"__module__": __name__})
    globals()["Decoder"] = head.__class__
    torch.save(stored, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"other.pt: got a network that ends in Decoder"):
        load_network(tmp_path / "other.pt")


def test_a_network_without_a_class_for_people_is_refused(yolov8n, tmp_path):
    stored = torch.load(yolov8n, map_location="cpu", weights_only=False)
    stored["model"].names = {index: f"fish {index}" for index in range(80)}
    torch.save(stored, tmp_path / "fish.pt")
    with pytest.raises(ModelError, match=r"fish.pt: has no class person .*; its 80 classes, .* are fish 0, fish 1"):
        load_network(tmp_path / "fish.pt")


# Classes that a network of the 80 classes of COCO does not have, and how the message goes on.
UNKNOWN = [
    ("cat, Dog", "; write each class by itself: the flag several times, or [a, b]"),
    ("catt", "; did you mean cat or carrot? It has 80 classes"),  # a typo
    ("Giraf", "; did you mean giraffe? It has 80 classes"),
    (
        "unicorn",
        "; its 80 classes, numbered from 0, are person, bicycle, car, motorcycle, airplane, ...",
    ),  # nothing like it
    ("80", "; its 80 classes, numbered from 0, are person, "),  # the number after the last
    ("1\x1b[2J", "; its 80 classes, "),  # characters that a terminal acts on
]


@pytest.mark.parametrize(("wanted", "advice"), UNKNOWN)
def test_an_unknown_class_is_refused_with_names_that_are_close(yolov8n, wanted, advice):
    with pytest.raises(ModelError) as caught:
        load_network(yolov8n, ["person", wanted])
    message = str(caught.value)
    assert message.startswith(f"{yolov8n}: has no class ")
    assert advice in message
    assert message.isprintable()


def test_a_class_by_its_name_and_number_is_refused(yolov8n):
    with pytest.raises(ModelError, match=r"detector.classes: got the class person twice"):
        load_network(yolov8n, ["person", "0"])


def test_a_pose_network_finds_people_only(yolo11n_pose):
    assert load_network(yolo11n_pose, ["0"])[1].names == ("person",)
    with pytest.raises(ModelError, match=r"has no class cat .*; this pose network has only one, person"):
        load_network(yolo11n_pose, ["cat"])


def test_the_head_is_reduced_to_the_chosen_classes_and_one_more(yolov8n):
    module, layout = load_network(yolov8n, ["Cat", "0", "dog"])
    assert module.model[-1].nc == 4
    assert (layout.names, layout.labels, layout.kept) == (("cat", "person", "dog"), (0, 1, 2, -1), (15, 0, 16))


class Evil:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_is_not_run(yolov8n, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "SAFE_LOAD", True)  # as the first import of ultralytics sets it by the variable below
    stored = torch.load(yolov8n, map_location="cpu", weights_only=False)
    stored["model"].note = Evil(tmp_path / "ran")
    torch.save(stored, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match=r"evil.pt: contains pathlib.Path, .* not loaded; .*_SAFE_LOAD=false"):
        load_network(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_ultralytics_is_told_to_run_no_code_and_to_install_nothing(monkeypatch):
    for name in ("ULTRALYTICS_SAFE_LOAD", "YOLO_AUTOINSTALL"):
        monkeypatch.setenv(name, "")  # or it would not be restored
        monkeypatch.delenv(name)
    tame()
    assert os.environ["ULTRALYTICS_SAFE_LOAD"] == "true"
    assert os.environ["YOLO_AUTOINSTALL"] == "false"
