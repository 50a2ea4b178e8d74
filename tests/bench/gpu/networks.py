"""ViTPose networks of the published sizes with random weights: speed doesn't depend on the weights.

They have the classic head, like most published checkpoints. A step loads one as the program does, from a checkpoint
that is written once for all steps; or it makes one in place, which takes a second even for the largest.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

from realtime.models.heatmap_network import HeatmapNetwork
from realtime.models.vitpose_folder import _MEAN, _STD

# Width, layers and heads of the backbone, as in the configurations of usyd-community/vitpose-plus-* on Hugging Face.
# ViTPose+ folds to the same networks (models.vitpose). TINY is for the rehearsal on a CPU.
SIZES = {
    "TINY": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2},
    "S": {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 12},
    "B": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "L": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    "H": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16},
}
KEYPOINTS = 17
CROP_SIZE = (192, 256)  # width and height
# Random numbers that fill all weights, again and again: drawing 637 million of them would take many seconds. It is a
# prime number, so that the rows of a matrix differ.
_BLOCK = 1_000_003


class Cost(NamedTuple):
    """What a network computes and reads.

    Attributes:
        parameters: how many.
        flops: of the products for one person; a multiplication and an addition are two.
    """

    parameters: int
    flops: int


@functools.cache
def cost(size: str) -> Cost:
    """Return the cost of a network, from its form alone."""
    module = _empty(size, attention="eager")  # written as products, which are counted
    crop = torch.empty(1, 3, CROP_SIZE[1], CROP_SIZE[0], device="meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(crop)
    return Cost(sum(weights.numel() for weights in module.parameters()), counter.get_total_flops())


def checkpoint(size: str, folder: Path) -> Path:
    """Return the folder of a checkpoint, FOLDER/vitpose-SIZE, which is written at the first call.

    The weights are stored in float16, which halves the time to write and read them; the program loads float32 from it.
    """
    path = folder / f"vitpose-{size.lower()}"
    if not (path / "model.safetensors").exists():
        module = _empty(size)
        weights = _weights(module, torch.float16, torch.device("cpu"))
        path.mkdir(parents=True, exist_ok=True)
        module.config.save_pretrained(path)
        VitPoseImageProcessor().save_pretrained(path)
        save_file(weights, path / "new.safetensors", metadata={"format": "pt"})
        (path / "new.safetensors").replace(path / "model.safetensors")  # never half a file
    return path


def network(size: str, dtype: torch.dtype, device: torch.device) -> HeatmapNetwork:
    """Return a network that has these weights on a device, like models.vitpose.load_network with `compute_in`."""
    module = _empty(size)
    module.load_state_dict(_weights(module, dtype, device), assign=True)
    projection = module.backbone.embeddings.patch_embeddings.projection
    projection.weight.data = projection.weight.data.flip(1).contiguous()  # frames are BGR
    mean, std = (np.float32(255) * np.array(colour[::-1], np.float32) for colour in (_MEAN, _STD))
    return HeatmapNetwork(module, mean, std).eval().requires_grad_(False).to(device)


def _empty(size: str, attention: str | None = None) -> VitPoseForPoseEstimation:
    """The network without memory for its weights; its attention is written as usual, unless another way is named."""
    config = VitPoseConfig(
        backbone_config=VitPoseBackboneConfig(**SIZES[size]), num_labels=KEYPOINTS, use_simple_decoder=False
    )
    with torch.device("meta"):
        return VitPoseForPoseEstimation._from_config(config, attn_implementation=attention).eval()


def _weights(module: torch.nn.Module, dtype: torch.dtype, device: torch.device) -> dict[str, torch.Tensor]:
    random = torch.Generator(device).manual_seed(0)
    block = torch.randn(_BLOCK, generator=random, device=device).to(dtype)
    return {name: _filled(name, like, block) for name, like in module.state_dict().items()}


def _filled(name: str, like: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """Random weights that keep the size of values from layer to layer, so that nothing overflows in float16."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype, device=block.device)
    if like.ndim == 1:  # of normalisations and biases
        return torch.full_like(block[:1], float(name.endswith(("weight", "running_var")))).repeat(like.shape[0])
    values = block.repeat(-(-like.numel() // _BLOCK))[: like.numel()].reshape(like.shape)
    return values * _spread(name, like.shape)


def _spread(name: str, shape: torch.Size) -> float:
    """The standard deviation of a layer's weights: its outputs then vary as much as its inputs."""
    if "position_embeddings" in name:
        return 0.5
    if "deconv" in name:  # (inputs, outputs, 4, 4) with stride 2: each output sums a quarter of the kernel
        return 1 / math.sqrt(shape[0] * math.prod(shape[2:]) / 4)
    # The last layer's are smaller: heatmaps are between -1 and 1.
    return (0.2 if name.startswith("head.conv") else 1.0) / math.sqrt(math.prod(shape[1:]))
