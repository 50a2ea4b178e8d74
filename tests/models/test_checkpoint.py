from __future__ import annotations

import io
import json
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from realtime.errors import ModelError
from realtime.models.checkpoint import examine
from realtime.models.checkpoint_file import YoloFileError, read_tensors
from realtime.models.ultralytics import tame
from realtime.models.vitpose import describe, load_network
from realtime.models.weights import find_detector
from realtime.skeletons import SKELETONS
from tests.models.published import SIX_SETS, Reference, original
from tests.pose.checkpoints import picture

PLUS = {"experts": 6, "associated": SIX_SETS[1:]}
FILES = [
    # name of the file, how it is made, pose.skeleton, the set, prefix of its head, its expert, the family
    ("vitpose-s-coco", {}, "auto", "coco17", "keypoint_head", None, "one data set"),
    ("vitpose-s-coco-simple", {"simple": True}, "coco17", "coco17", "keypoint_head", None, "one data set"),
    ("vitpose-s-coco_25", {"keypoints": 25}, "auto", "coco25", "keypoint_head", None, "one data set"),
    ("anything", {"keypoints": 133}, "auto", "wholebody133", "keypoint_head", None, "one data set"),
    ("mpii", {"keypoints": 16}, "auto", "mpii16", "keypoint_head", None, "one data set"),
    ("vitpose-s-aic", {"keypoints": 14}, "auto", "aic14", "keypoint_head", None, "one data set"),
    ("vitpose-s-crowdpose", {"keypoints": 14}, "auto", "crowdpose14", "keypoint_head", None, "one data set"),
    ("vitpose-s-ap10k", {}, "auto", "ap10k", "keypoint_head", None, "one data set"),
    ("vitpose-s-apt36k", {}, "auto", "apt36k", "keypoint_head", None, "one data set"),
    ("vitpose-b-posetrack", {}, "auto", "posetrack18", "keypoint_head", None, "one data set"),
    ("posetrack18", {}, "auto", "posetrack18", "keypoint_head", None, "one data set"),
    ("large", {"grid": (24, 18)}, "coco17", "coco17", "keypoint_head", None, "one data set"),
    ("three", {"associated": (14, 16)}, "aic14", "aic14", "associate_keypoint_heads.0", None, "COCO, AIC and MPII"),
    ("three", {"associated": (14, 16)}, "mpii16", "mpii16", "associate_keypoint_heads.1", None, "COCO, AIC and MPII"),
    ("three", {"associated": (16, 14)}, "aic14", "aic14", "associate_keypoint_heads.1", None, "COCO, AIC and MPII"),
    *(
        ("plus", PLUS, name, name, f"associate_keypoint_heads.{i - 1}" if i else "keypoint_head", i, "ViTPose+")
        for i, name in enumerate(("coco17", "aic14", "mpii16", "ap10k", "apt36k", "wholebody133"))
    ),
    # model_split.py leaves the experts in the file, and cuts only what it must
    ("coco", PLUS | {"split": True}, "auto", "coco17", "keypoint_head", None, "split from ViTPose+"),
    # a head with more rows than its set has keypoints is cut
    ("more", {"experts": 6, "associated": (17, 17, 17, 17, 133)}, "aic14", "aic14", "associate_keypoint_heads.0", 1,
     "ViTPose+"),
]  # fmt: skip


def saved(folder: Path, name: str, tensors, suffix=".pth") -> Path:
    file = folder / f"{name}{suffix}"
    torch.save(tensors, file)
    return file


def crops_of(width, height):
    return torch.from_numpy(np.stack([picture(width, height, seed=i) for i in range(2)]))


@pytest.mark.parametrize(("name", "made", "wanted", "keypoints", "prefix", "expert", "family"), FILES)
def test_every_family_computes_the_heatmaps_of_the_published_network(
    tmp_path, name, made, wanted, keypoints, prefix, expert, family
):
    tensors = original(**made)
    file = saved(tmp_path, name, tensors)
    about, network = describe(file, skeleton=wanted), load_network(file, skeleton=wanted)
    assert (about.skeleton, examine(tensors, name).family) == (SKELETONS[keypoints], family)
    crops = crops_of(*about.input_size)
    pixels = ((crops.float() - network.mean) / network.std).permute(0, 3, 1, 2).flip(1)
    with torch.inference_mode():
        expected = Reference(tensors, prefix, expert)(pixels)[:, : len(about.skeleton)]
        torch.testing.assert_close(network(crops), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1


WRAPPED = {
    "module.": lambda tensors: {f"module.{key}": tensor for key, tensor in tensors.items()},
    "a state_dict": lambda tensors: {"meta": {"epoch": 210}, "state_dict": tensors, "optimizer": {"step": 3}},
    "weights and their average": lambda tensors: {"state_dict": tensors, "state_dict_ema": dict.fromkeys(tensors, 0)},
    "half precision": lambda tensors: {key: t.half() if t.is_floating_point() else t for key, t in tensors.items()},
    "a class token": lambda tensors: tensors | {"backbone.cls_token": torch.zeros(1, 1, 384)},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_files_as_people_save_them_load(tmp_path, wrapper):
    tensors = original()
    network = load_network(saved(tmp_path, "vitpose-coco", WRAPPED[wrapper](tensors)))
    plain = load_network(saved(tmp_path, "plain-coco", tensors))
    with torch.inference_mode():
        crops = crops_of(192, 256)
        # 16 bits change the weights by up to 1/2048
        close = {"rtol": 0.05, "atol": 0.05} if wrapper == "half precision" else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(network(crops), plain(crops), **close)


def test_safetensors_and_old_pickles_load_too(tmp_path):
    tensors = original()
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / "x-coco.safetensors")
    torch.save(tensors, tmp_path / "old-coco.pth", _use_new_zipfile_serialization=False)
    for name in ("x-coco.safetensors", "old-coco.pth"):
        assert describe(tmp_path / name).skeleton.name == "coco17"
        load_network(tmp_path / name)


def test_a_renamed_copy_of_a_file_is_the_same_network_but_other_keypoints_are_not(tmp_path):
    file = saved(tmp_path, "vitpose-s-coco", original())
    copies = [shutil.copy(file, tmp_path / f"{name}.pth") for name in ("copy-coco", "copy-ap10k")]
    digests = [describe(each).digest for each in (file, *copies)]
    assert digests[0] == digests[1] != digests[2]


class Attack:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def header_of_ten_gigabytes() -> bytes:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10_000_000_000]}}).encode()
    return struct.pack("<Q", len(header)) + header


def damaged() -> dict[str, tuple[str, bytes | object, str]]:
    """What: the file's suffix, its content (bytes or what torch.save writes), and what the error says."""
    good = original()
    stored = io.BytesIO()
    torch.save(good, stored)
    renamed = {key.replace("norm1", "ln1"): tensor for key, tensor in good.items()}
    without = {key: tensor for key, tensor in good.items() if "norm2" not in key}
    mixed = good | {k: t for k, t in original(width=768).items() if "blocks.1" in k}
    return {
        "cut": (".pth", stored.getvalue()[:-1000], "not a whole file"),
        "empty": (".pth", b"", "an empty file, expected a checkpoint"),
        "text": (".pth", b"<html>404</html>", "not a file of torch.save|not a whole file"),
        "code": (".pth", Attack(), "getattr, which is no part of a checkpoint"),
        "a list": (".pth", [1, 2], "contains list"),
        "an average alone": (".pth", {"state_dict_ema": good}, "contains state_dict_ema"),
        "renamed": (".pth", renamed, "4 tensors missing: .*norm1.* and 1 more"),
        "missing": (".pth", without, r"4 tensors missing: backbone.blocks.0.norm2.bias, "),
        "left over": (".pth", good | {"backbone.extra": torch.zeros(3)}, "1 tensors unexpected: backbone.extra"),
        "two sizes": (".pth", mixed, "of the wrong shape: backbone.blocks.1"),
        "another width": (".pth", {"backbone.patch_embed.proj.weight": torch.zeros(32, 3, 16, 16)}, "width 32"),
        "no head": (".pth", {k: t for k, t in good.items() if "head" not in k}, "no tensor keypoint_head"),
        "odd input": (".pth", good | {"backbone.pos_embed": torch.zeros(1, 101, 384)}, "got 100 patches"),
        "hugging face's": (
            ".safetensors",
            save({"backbone.embeddings.position_embeddings": torch.zeros(1, 193, 384)}),
            "of a Hugging Face checkpoint, expected its folder",
        ),
        "a lost layer": (
            ".pth",
            {k.replace("blocks.1", "blocks.2"): t for k, t in good.items()},
            "12 tensors missing: .*blocks.1",
        ),
        "a claimed layer": (
            ".pth",
            good | {"backbone.blocks.99999999.x": torch.zeros(1)},
            "12 tensors missing: .*blocks.2",
        ),
        "whole numbers": (".pth", {k: t.to(torch.int8) for k, t in good.items()}, "not of floating-point numbers"),
        "complex": (
            ".pth",
            good | {"backbone.last_norm.bias": torch.zeros(384) * 1j},
            "1 tensors not of floating-point",
        ),
        "a number alone": (".pth", good | {"backbone.blocks.1.attn.qkv.bias": torch.tensor(0.0)}, "of the wrong shape"),
        "a huge input": (
            ".pth",
            good | {"backbone.pos_embed": torch.zeros(1, 1, 384).expand(-1, 1 + 12 * 1000**2, -1)},
            "12000000 patches",
        ),
        "a claim": (".safetensors", header_of_ten_gigabytes(), "not a whole safetensors file"),
        "a long header": (".safetensors", struct.pack("<Q", 2**60) + b"{}", "not a whole safetensors file"),
    }


def test_a_huge_expert_is_refused_before_it_is_folded(tmp_path):
    huge = {"backbone.blocks.0.mlp.experts.0.weight": torch.zeros(1, 1536).expand(10**9, -1)}
    with pytest.raises(ModelError, match=r"1 tensors of the wrong shape: backbone\.blocks\.0\.mlp\.experts\.0\.weight"):
        load_network(saved(tmp_path, "plus", original(**PLUS) | huge), skeleton="coco17")


@pytest.mark.parametrize("what", damaged())
def test_other_files_are_refused_in_one_line_and_nothing_runs(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    suffix, content, message = damaged()[what]
    file = tmp_path / f"x-coco{suffix}"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ModelError, match=message) as raised:
        describe(file)  # before any model is loaded
    assert "\n" not in str(raised.value)
    assert str(file) in str(raised.value)
    assert not Path("executed").exists()


def test_a_file_of_ultralytics_is_told_apart(tmp_path):
    with pytest.raises(YoloFileError, match=r"contains ultralytics\.nn\."):
        read_tensors(find_detector("yolov8n", on_gpu=False, cache=tmp_path).path)


def test_a_network_of_ultralytics_is_told_apart_whatever_else_is_in_its_file(tmp_path):
    tame()  # imports it
    network = type("Network", (), {"__module__": "ultralytics.nn.tasks", "__qualname__": "Network"})
    stored = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:  # a checkpoint of a training: the number comes first
        patch.setattr(sys.modules["ultralytics.nn.tasks"], "Network", network, raising=False)
        torch.save({"best_fitness": np.float64(0.3), "model": network()}, stored)
    file = tmp_path / "last.pt"
    file.write_bytes(stored.getvalue())
    with pytest.raises(YoloFileError, match=r"contains ultralytics\.nn\.tasks\.Network"):
        read_tensors(file)


def test_a_pipe_is_refused_without_waiting_for_its_other_end(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(ModelError, match="no regular file"):
        read_tensors(tmp_path / "pipe.pth")


UNCLEAR = [
    # name, how the file is made, pose.skeleton, what the error names
    ("vitpose-b", {}, "auto", "coco17, ap10k, apt36k, posetrack18"),  # 17 keypoints
    ("vitpose-b", {"keypoints": 14}, "auto", "aic14, crowdpose14"),
    ("plus", PLUS, "auto", "coco17, aic14, mpii16, ap10k, apt36k, wholebody133"),
    ("x-coco", {}, "wholebody133", "expected one that the file has: coco17"),
    ("x", {"keypoints": 20}, "auto", "none"),
    # two heads of 14 keypoints, AI Challenger's and CrowdPose's, in an order that is not known
    ("four", {"associated": (14, 16, 14)}, "aic14", "expected one that the file has: coco17, mpii16"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "made", "wanted", "choices"), UNCLEAR)
def test_the_keypoints_are_never_guessed(tmp_path, name, made, wanted, choices):
    with pytest.raises(ModelError, match=choices):
        describe(saved(tmp_path, name, original(**made)), skeleton=wanted)
