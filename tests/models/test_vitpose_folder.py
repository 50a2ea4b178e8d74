"""A Hugging Face folder whose config.json has a mistake: named at once, in one line, before anything is imported."""

from __future__ import annotations

import json
import sys

import pytest

from realtime.errors import ModelError
from realtime.models.vitpose import describe
from realtime.skeleton import COCO17
from realtime.skeletons import AP10K, SKELETONS
from tests.pose.checkpoints import save_checkpoint

BROKEN = [
    # config.json, pose.skeleton, part of the error
    ("{bad", "auto", "config.json: not valid JSON"),
    ("[]", "auto", "config.json: got JSON of type list, expected an object"),
    ("{}", "auto", "got a checkpoint of model type None, expected 'vitpose'"),
    ({"id2label": {"0": "a", "2": "b"}}, "auto", "numbered from 0"),  # a keypoint is missing
    ({"id2label": ["nose"]}, "auto", "numbered from 0"),
    ({"id2label": {"0": None}}, "auto", "numbered from 0"),
    ({"id2label": {}}, "auto", "numbered from 0"),
    ({"edges": 3}, "auto", "got other edges"),
    ({"edges": [["a", "b"]]}, "auto", "got other edges"),
    ({"edges": [[0, 1, 2]]}, "auto", "got other edges"),
    ({"backbone_config": 3}, "auto", "got int for backbone_config"),
    ({"backbone_config": {"patch_size": 0}}, "auto", "got 0 for patch_size"),
    ({"backbone_config": {"image_size": [256, "x"]}}, "auto", "for image_size, expected its height and width"),
    ({"backbone_config": {"patch_size": 14}}, "auto", "got heatmaps of 1/3.5 of the crop's size, expected 1/4"),
    ({"scale_factor": 0}, "auto", "got 0 for scale_factor"),
    ({"scale_factor": 2}, "auto", "got heatmaps of 1/8 of the crop's size, expected 1/4"),
    # a number of keypoints that does not fit the set
    ({"id2label": {str(i): f"LABEL_{i}" for i in range(17)}}, "wholebody133", "with 17 keypoints, expected coco17, "),
    ({"id2label": {str(i): f"LABEL_{i}" for i in range(20)}}, "coco17", "with 20 keypoints, expected auto only"),
    # names that say which set it is
    ({"id2label": dict(enumerate(COCO17.keypoint_names))}, "ap10k", "with the keypoints of coco17, expected coco17"),
    ({"id2label": dict(enumerate(AP10K.keypoint_names))}, "coco17", "the keypoints of ap10k, expected ap10k, apt36k"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "wanted", "says"), BROKEN)
def test_a_mistake_in_config_json_is_named_in_one_line(tmp_path, config, wanted, says):
    text = config if isinstance(config, str) else json.dumps({"model_type": "vitpose"} | config)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError) as raised:
        describe(tmp_path, skeleton=wanted)
    assert says in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_it_is_named_before_transformers_is_imported_which_takes_seconds(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vitpose", "id2label": {"1": "nose"}}))
    with pytest.raises(ModelError, match="numbered from 0"):
        describe(tmp_path)


@pytest.mark.parametrize("wanted", ["auto", "coco17", "ap10k"])
def test_a_folder_with_17_unnamed_keypoints_is_coco_s_or_the_set_that_is_asked_for(tmp_path, wanted):
    skeleton = describe(save_checkpoint(tmp_path), skeleton=wanted).skeleton
    assert skeleton.name == ("coco17" if wanted == "auto" else wanted)
    assert (skeleton is COCO17) == (wanted != "ap10k")


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (SKELETONS["wholebody133"].keypoint_names, "auto", "wholebody133"),
        (AP10K.keypoint_names, "apt36k", "apt36k"),
        ([f"point {index}" for index in range(17)], "auto", "custom17"),
        ([f"point {index}" for index in range(17)], "ap10k", "ap10k"),  # another spelling, perhaps
    ],
)
def test_names_in_config_json_say_which_set_it_is(tmp_path, names, wanted, expected):
    config = {"model_type": "vitpose", "id2label": dict(enumerate(names))}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert describe(tmp_path, skeleton=wanted).skeleton.name == expected


def test_parts_of_keypoints_whose_parts_are_not_known_are_refused(tmp_path):
    config = {"model_type": "vitpose", "id2label": {index: f"point {index}" for index in range(20)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert len(describe(tmp_path, parts=["face", "hands", "feet", "body"]).skeleton) == 20
    with pytest.raises(ModelError, match=r"pose\.keypoints: got hands with custom20, whose parts are not known"):
        describe(tmp_path, parts=["hands"])


def test_a_folder_of_files_names_some_of_them(tmp_path):
    for name in ("b.pth", "a.pth"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"no config\.json found: give one of its files, such as a\.pth, b\.pth"):
        describe(tmp_path)
