"""ViTPose checkpoints with random weights, for measurements of speed, which does not depend on the weights.

`compare` and `cost` use them if no checkpoint is given. Tests use them too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor
from transformers.utils import logging

# Network sizes: a tiny one for quick tests, and the published ViTPose-S and ViTPose-B.
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2, "part_features": 8}
SMALL = {"hidden_size": 384, "num_attention_heads": 12, "part_features": 96}
BASE = {"hidden_size": 768, "num_attention_heads": 12, "part_features": 192}


def save_checkpoint(folder: Path, simple: bool = True, experts: int = 1, size: Mapping[str, int] = TINY) -> Path:
    """Save a ViTPose with random weights, scaled so that its heatmaps peak at about 0.5.

    Args:
        folder: where the checkpoint is written.
        simple: use the simple decoder, otherwise the classic one.
        experts: number of experts, as in ViTPose+; 1: a plain ViTPose.
        size: parameters of the backbone, e.g. SMALL.

    Returns:
        The folder.
    """
    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(num_experts=experts, **size)
    module = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=simple)
    ).eval()
    with torch.no_grad():
        for weights in module.backbone.parameters():
            weights.mul_(2)  # with their initial weights, the layers hardly respond to the image
        noise = torch.randn(4, 3, 256, 192)
        peaks = module(noise, dataset_index=torch.zeros(1, dtype=torch.long)).heatmaps.amax()
        module.head.conv.weight.mul_(0.5 / peaks)
    with quietly():
        module.save_pretrained(folder)
        VitPoseImageProcessor().save_pretrained(folder)
    return folder


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Hide the progress bars of transformers inside the `with` block."""
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
