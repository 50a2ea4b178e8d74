from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from realtime.errors import ModelError
from realtime.skeleton import COCO17
from tests.pose.checkpoints import KINDS, load_vitpose, picture, save_checkpoint

BOXES = np.array([[20, 30, 120, 280], [100, 10, 290, 200], [-20, -20, 40, 60]], np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("vitpose"), **KINDS["classic"])


@pytest.fixture(scope="module")
def model(checkpoint):
    return load_vitpose(checkpoint)


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy to break."""
    return shutil.copytree(checkpoint, tmp_path / "vitpose")


def load(folder):
    return load_vitpose(folder)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_model_names_its_engine_and_its_skeleton(model):
    assert model.engine_name == "torch fp32"
    assert model.skeleton == COCO17


def test_a_custom_skeleton_is_read_from_the_config(folder):
    names = {str(i): f"L_Part{i}" for i in range(17)}
    edit(folder / "config.json", id2label=names, label2id={v: int(k) for k, v in names.items()}, edges=[[0, 1], [1, 2]])
    skeleton = load(folder).skeleton
    assert skeleton.name == "custom17"
    assert skeleton.keypoint_names[3] == "left_part3"
    assert skeleton.edges == ((0, 1), (1, 2))


def test_people_of_two_images_equal_those_of_each_image_alone(model):
    images = [picture(300, 320, seed=1), picture(200, 260, seed=2)]
    together = model.estimate(images, [BOXES, BOXES[:2]])
    assert [found.shape for found in together] == [(3, 17, 3), (2, 17, 3)]
    assert all(found.dtype == np.float32 for found in together)
    for image, boxes, found in zip(images, (BOXES, BOXES[:2]), together, strict=True):
        np.testing.assert_allclose(model.estimate([image], [boxes])[0], found, atol=1e-3)


def test_more_people_than_fit_into_one_batch_are_all_found(model):
    image = picture(300, 320)
    many = np.tile(BOXES, (12, 1))  # 36 people in batches of 32
    found = model.estimate([image], [many])[0]
    np.testing.assert_allclose(found, np.tile(found[:3], (12, 1, 1)), atol=1e-3)


def test_320_people_in_one_image_equal_each_person_alone(tmp_path):
    # Hugging Face's decoder is 12 to 35 px off from about 299 people on.
    model = load_vitpose(save_checkpoint(tmp_path / "vitpose", **KINDS["simple"]))  # the faster head
    image = picture(300, 320)
    rng = np.random.default_rng(0)
    corners = rng.uniform(-20, 200, (320, 2))
    many = np.concatenate((corners, corners + rng.uniform(20, 120, (320, 2))), axis=1).astype(np.float32)
    found = model.estimate([image], [many])[0]
    for person in (0, 150, 298, 299, 319):
        alone = model.estimate([image], [many[person : person + 1]])[0][0]
        np.testing.assert_allclose(found[person], alone, atol=1e-2)


NOBODY = [
    ([], []),  # no image
    ([picture(30, 20)], [np.zeros((0, 4), np.float32)]),  # an image without people
    ([picture(30, 20)] * 2, [np.zeros((0, 4), np.float32)] * 2),  # two images without people
]


@pytest.mark.parametrize(("images", "boxes"), NOBODY)
def test_without_people_the_network_does_not_run(model, monkeypatch, images, boxes):
    monkeypatch.setattr(model, "_engine", None)
    found = model.estimate(images, boxes)
    assert [part.shape for part in found] == [(0, 17, 3)] * len(images)


def test_images_with_and_without_people_can_share_a_call(model):
    image = picture(300, 320)
    found = model.estimate([image, image, image], [np.zeros((0, 4), np.float32), BOXES, np.zeros((0, 4), np.float32)])
    assert [len(part) for part in found] == [0, 3, 0]


def test_coordinates_and_scores_are_finite_for_any_box(model):
    boxes = np.array([[0, 0, 1, 1], [-9000, -9000, 9000, 9000], [5000, 5000, 5001, 5002], [7, 7, 7, 7]], np.float32)
    found = model.estimate([picture(300, 320)], [boxes])[0]
    assert np.isfinite(found).all()
    assert ((found[..., 2] >= 0) & (found[..., 2] <= 1)).all()


def test_the_folders_own_normalisation_is_used(folder, model):
    edit(folder / "preprocessor_config.json", image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.5, 0.5])
    image = picture(300, 320)
    assert not np.allclose(load(folder).estimate([image], [BOXES])[0], model.estimate([image], [BOXES])[0], atol=1)


def test_the_default_normalisation_is_imagenets(folder, model):
    (folder / "preprocessor_config.json").unlink()
    image = picture(300, 320)
    np.testing.assert_array_equal(load(folder).estimate([image], [BOXES])[0], model.estimate([image], [BOXES])[0])


def test_the_warm_up_runs_the_network_on_one_and_on_two_people(model, monkeypatch):
    batches = []
    network = model._engine._network
    monkeypatch.setattr(model._engine, "_network", lambda crops: batches.append(crops.shape) or network(crops))
    model.warm_up()
    assert batches == [(1, 256, 192, 3), (2, 256, 192, 3)]


def test_weights_are_float32_even_if_the_file_holds_float16(folder):
    change_weights(folder, lambda weights: weights.update({k: v.astype(np.float16) for k, v in weights.items()}))
    assert {p.dtype for p in load(folder)._engine._network._network.parameters()} == {torch.float32}


def test_missing_batch_counters_are_no_error(folder):
    change_weights(folder, lambda weights: [weights.pop(key) for key in list(weights) if key.endswith("tracked")])
    load(folder)


def test_loading_prints_nothing(folder, capfd):
    load(folder).warm_up()
    assert capfd.readouterr() == ("", "")


# ---- folders without a ViTPose


def change_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fewer_layers(folder):
    config = json.loads((folder / "config.json").read_text())
    config["backbone_config"] |= {"num_hidden_layers": 1, "stage_names": ["stem", "stage1"]}
    config["backbone_config"] |= {"out_indices": [1], "out_features": ["stage1"]}
    (folder / "config.json").write_text(json.dumps(config))


BROKEN = [
    # the damage, part of the message
    (lambda f: shutil.rmtree(f), "No such file"),  # no such folder
    (lambda f: [p.unlink() for p in f.iterdir()], "no config.json"),  # an empty folder
    (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),  # a damaged config
    (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "not valid JSON"),  # not text
    (lambda f: (f / "config.json").write_text("[]"), "got JSON of type list"),  # JSON, but not a config
    (lambda f: edit(f / "config.json", model_type="bert"), "'bert'"),  # another kind of network
    (lambda f: (f / "config.json").write_text("{}"), "model type None"),  # not a Hugging Face config
    (lambda f: edit(f / "config.json", backbone_config={"hidden_size": "wide"}), "can't be loaded"),  # nonsense
    (lambda f: (f / "model.safetensors").unlink(), "can't be loaded"),  # no weights
    (lambda f: truncate(f / "model.safetensors"), "can't be loaded"),  # a partial download
    (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "can't be loaded"),  # not a weights file
    (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "can't be loaded"),  # needs unpickling
    (lambda f: (f / "more.safetensors").symlink_to(f / "nothing"), "can't be read"),  # a broken link
    (lambda f: edit(f / "config.json", use_simple_decoder=True, scale_factor=2), "1/8 of the crop"),  # smaller heatmaps
    (lambda f: change_weights(f, lambda w: w.pop("head.conv.weight")), "1 missing, e.g. head.conv.weight"),  # a gap
    (lambda f: change_weights(f, lambda w: w.update({"head.conv.bias": np.zeros(5, np.float32)})), "the wrong shape"),
    (
        lambda f: change_weights(f, lambda w: w.update({"head.extra": np.zeros(5, np.float32)})),
        "unexpected, e.g. head.extra",
    ),
    (fewer_layers, "unexpected"),  # the weights of a deeper network
    (lambda f: edit(f / "config.json", use_simple_decoder=True), "missing|shape|unexpected"),  # another head
    (lambda f: (f / "preprocessor_config.json").write_text("no"), "preprocessor_config.json: not valid JSON"),
    (lambda f: edit(f / "preprocessor_config.json", image_mean=[0.5]), "three numbers"),  # a grey image's
    (lambda f: edit(f / "preprocessor_config.json", image_std=[0, 1, 1]), "std > 0"),  # would divide by zero
    (lambda f: edit(f / "preprocessor_config.json", image_std="wide"), "three numbers"),  # not numbers
]


@pytest.mark.parametrize(("damage", "says"), BROKEN)
def test_a_folder_without_a_vitpose_is_refused_with_a_one_line_message(folder, capfd, damage, says):
    damage(folder)
    with pytest.raises(ModelError, match=says) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
