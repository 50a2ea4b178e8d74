"""Tiny random ViTPose checkpoints, and what tests of them share."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor
from transformers.utils import logging

from realtime.capture.demo import demo_canvas, demo_people
from realtime.config import PoseConfig
from realtime.pose.engine import People
from realtime.pose.vitpose import VitPose

CPU = torch.device("cpu")

# What a checkpoint on the hub can be: head and experts.
KINDS = {
    "simple": {"simple": True, "experts": 1},
    "classic": {"simple": False, "experts": 1},
    "plus": {"simple": False, "experts": 3},
}


# The sizes of networks: what tests are quick with, and the published ViTPose-S and -B.
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2, "part_features": 8}
SMALL = {"hidden_size": 384, "num_attention_heads": 12, "part_features": 96}
BASE = {"hidden_size": 768, "num_attention_heads": 12, "part_features": 192}


def save_checkpoint(folder: Path, simple: bool = True, experts: int = 1, size: dict[str, int] = TINY) -> Path:
    """A ViTPose with random weights whose heatmaps have clear maxima of about 0.5."""
    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(num_experts=experts, **size)
    module = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=simple)
    ).eval()
    with torch.no_grad():
        for weights in module.backbone.parameters():
            weights.mul_(2)  # freshly initialised layers hardly look at the picture
        noise = torch.randn(4, 3, 256, 192)
        peaks = module(noise, dataset_index=torch.zeros(1, dtype=torch.long)).heatmaps.amax()
        module.head.conv.weight.mul_(0.5 / peaks)
    with quietly():
        module.save_pretrained(folder)
        VitPoseImageProcessor().save_pretrained(folder)
    return folder


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' progress bars."""
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


@functools.cache
def people() -> People:
    """The built-in source's five people: what engines are tested and calibrated with."""
    return People(demo_canvas(), demo_people())


def load_vitpose(folder: Path, cache: Path | None = None, device: torch.device = CPU, **config: object) -> VitPose:
    """The checkpoint behind the published path: torch in float32, unless `config` says something else."""
    section = PoseConfig.model_validate({"engine": "torch", "precision": "fp32"} | config)
    where = cache or Path(tempfile.mkdtemp(prefix="realtime-pose-test-"))
    return VitPose(folder, device, section, folder.name, people(), where)


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """A BGR picture with detail at all sizes."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return (coarse[:height, :width] + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)


def xywh(xyxy: NDArray[np.float32]) -> list[list[float]]:
    """Boxes as Hugging Face wants them."""
    corners = xyxy.astype(np.float64)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1).tolist()
