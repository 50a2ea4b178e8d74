"""A ViTPose file in its authors' format as transformers' network.

Used by models.vitpose, which treats the result like that of a Hugging Face folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from realtime.errors import ModelError
from realtime.models.checkpoint import ATTENTION_HEADS, Contents, Head, check, choose, converted, examine
from realtime.models.checkpoint_file import read_tensors
from realtime.models.heatmap_network import Published
from realtime.skeleton import CROP_PER_HEATMAP, Skeleton

# The authors' LayerNorm; transformers' default is 1e-12.
_EPSILON = 1e-6
_PATCH = 16


class Chosen(NamedTuple):
    """A file, and the head of it that is used."""

    tensors: dict[str, torch.Tensor]  # by the authors' names
    contents: Contents
    head: Head
    skeleton: Skeleton

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the crops that the network was trained with."""
        height, width = self.contents.grid
        return width * _PATCH, height * _PATCH


def open_file(file: Path, wanted: str) -> Chosen:
    """Open a file and choose its head. Only the names and shapes of its tensors are read.

    Args:
        file: a .pth, .pt or .safetensors file.
        wanted: `pose.skeleton`.

    Raises:
        ModelError: it holds no ViTPose network, `wanted` doesn't name one of its heads, or tensors are missing, left
            over, of another shape or not of floating-point numbers.
    """
    tensors = read_tensors(file)
    try:
        contents = examine(tensors, file.stem)
        head, skeleton = choose(contents, wanted)
        check(tensors, contents, head)
        return Chosen(tensors, contents, head, skeleton)
    except ModelError as error:
        raise ModelError(f"{file}: {error}") from None


def load_file(file: Path, wanted: str) -> Published:
    """Load the network of a file, with the expert of its head folded in, in float32 and evaluation mode.

    Raises:
        ModelError: `open_file` failed.
    """
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

    chosen = open_file(file, wanted)
    contents = chosen.contents
    backbone = VitPoseBackboneConfig(
        image_size=[side * _PATCH for side in contents.grid],
        patch_size=[_PATCH, _PATCH],
        hidden_size=contents.width,
        num_hidden_layers=contents.depth,
        num_attention_heads=ATTENTION_HEADS[contents.width],
        num_experts=1,
        layer_norm_eps=_EPSILON,
    )
    config = VitPoseConfig(
        backbone_config=backbone,
        num_labels=len(chosen.skeleton),
        use_simple_decoder=chosen.head.is_simple,
        scale_factor=CROP_PER_HEATMAP,
    )
    with torch.device("meta"):  # no random weights, which would take a second and twice the memory
        module = VitPoseForPoseEstimation(config).eval()
    expected = module.state_dict()
    tensors = converted(chosen.tensors, chosen.head, expected)
    counts = {name: torch.zeros((), dtype=torch.long) for name in expected if name not in tensors}
    module.load_state_dict(tensors | counts, assign=True)
    return module
