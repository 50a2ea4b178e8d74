"""Tiny random ViTPose checkpoints, and helpers for tests that use them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.capture.demo import demo_canvas, demo_people
from realtime.config import PoseConfig
from realtime.evaluate.speed.random_vitpose import BASE as BASE
from realtime.evaluate.speed.random_vitpose import SMALL as SMALL
from realtime.evaluate.speed.random_vitpose import TINY as TINY
from realtime.evaluate.speed.random_vitpose import quietly as quietly
from realtime.evaluate.speed.random_vitpose import save_checkpoint as save_checkpoint
from realtime.models.choice import choose
from realtime.models.vitpose import describe
from realtime.pose.build import People, Setup, build_engine
from realtime.pose.vitpose import VitPose

CPU = torch.device("cpu")

# The kinds of checkpoints on the Hugging Face hub, by head and number of experts.
KINDS = {
    "simple": {"simple": True, "experts": 1},
    "classic": {"simple": False, "experts": 1},
    "plus": {"simple": False, "experts": 3},
}


@functools.cache
def people() -> People:
    """The five people of the built-in source, which engines are tested and calibrated with."""
    return People(demo_canvas(), demo_people())


def load_vitpose(folder: Path, cache: Path | None = None, device: torch.device = CPU, **config: object) -> VitPose:
    """Load a checkpoint on the reference path, torch in float32, unless `config` overrides it."""
    section = PoseConfig.model_validate({"engine": "torch", "precision": "fp32"} | config)
    where = cache or Path(tempfile.mkdtemp(prefix="realtime-pose-test-"))
    about = describe(folder, section.input_size)
    choice = choose("pose", device, section, None)
    return VitPose(about, build_engine(Setup(folder, about, device, choice, section, people(), where)))


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """A random BGR image with coarse and fine detail."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3)).repeat(16, axis=0).repeat(16, axis=1)
    return (coarse[:height, :width] + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)


def xywh(xyxy: NDArray[np.float32]) -> list[list[float]]:
    """Boxes in the format that the Hugging Face processor takes: x, y, width, height."""
    corners = xyxy.astype(np.float64)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1).tolist()
