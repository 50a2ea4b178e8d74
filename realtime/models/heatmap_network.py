"""ViTPose as a torch module: crops in, heatmaps out, with a faster simple head.

models.vitpose fills it with the weights of a checkpoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import realtime.runtime.torch_settings  # noqa: F401 - before other libraries change torch's settings

# ViTPose+ has one expert per dataset. Hugging Face's checkpoints contain only the head for COCO.
COCO_EXPERT = 0

# A module of transformers: VitPoseForPoseEstimation, or its head. Any, because mypy does not follow transformers.
Published = Any


class HeatmapNetwork(torch.nn.Module):
    """A network that maps crops to heatmaps, on any device, in the precision of its weights."""

    def __init__(self, module: Published, mean: NDArray[np.float32], std: NDArray[np.float32]) -> None:
        super().__init__()
        self.module = module
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.from_numpy(mean), persistent=False)
        self.register_buffer("std", torch.from_numpy(std), persistent=False)
        experts = module.config.backbone_config.num_experts
        self.register_buffer("expert", torch.tensor([COCO_EXPERT]) if experts > 1 else None, persistent=False)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Compute the heatmaps.

        Args:
            crops: uint8 (P, h, w, 3) BGR.

        Returns:
            Heatmaps float32 (P, K, h / 4, w / 4).
        """
        # The normalisation is bit-identical to transformers' rescale_and_normalize. It works on whole rows, because
        # OpenVINO is ten times slower on an innermost axis of length 3.
        rows = crops.flatten(2).float()
        mean, std = (colour.repeat(crops.shape[2]) for colour in (self.mean, self.std))
        pixels = ((rows - mean) / std).reshape(crops.shape).permute(0, 3, 1, 2)
        heatmaps: torch.Tensor = self.module(pixels.to(self.module.dtype), dataset_index=self.expert).heatmaps
        return heatmaps.float()

    def compute_in(self, dtype: torch.dtype) -> None:
        """Convert the weights to `dtype`; the normalisation stays in float32."""
        self.module.to(dtype)


class SimpleHead(torch.nn.Module):
    """The simple head (ReLU, upsampling by 4, 3x3 convolution) as three matrix products.

    The convolution is a sum of nine 1x1 convolutions, each shifted by at most one pixel per axis. A 1x1 convolution
    acts on channels and the upsampling on pixels, so their order can be swapped: the convolutions then run before the
    upsampling, on 16 times fewer pixels, and produce 9 K maps. The rest (upsampling, shifting and adding these maps) is
    linear and separable into rows and columns: two matrices whose entries are multiples of 1/8. The sums are the same
    up to rounding, and a whole ViTPose-S is 6 % faster than with the published head.
    """

    def __init__(self, published: Published, grid: tuple[int, int]) -> None:
        """Build the equivalent of a published head.

        Args:
            published: the simple head of transformers' network.
            grid: height and width of the backbone's features, in patches.
        """
        super().__init__()
        weight = published.conv.weight.data  # (K, C, 3, 3)
        self._keypoints, channels = weight.shape[:2]
        self._grid = grid
        self.activation = published.activation
        self.products = torch.nn.Linear(channels, 9 * self._keypoints, bias=False)
        self.products.weight.data = weight.permute(0, 2, 3, 1).reshape(9 * self._keypoints, channels).contiguous()
        self.bias = torch.nn.Parameter(published.conv.bias.data.reshape(-1, 1, 1))
        scale = published.upsampling.scale_factor
        self.rows = torch.nn.Parameter(_upsample_and_add(grid[0], scale))
        self.columns = torch.nn.Parameter(_upsample_and_add(grid[1], scale).T.contiguous())

    def forward(self, hidden_state: torch.Tensor, flip_pairs: None = None) -> torch.Tensor:
        """Compute heatmaps (P, K, h / 4, w / 4) from features (P, C, h / 16, w / 16). `flip_pairs` is ignored."""
        height, width = self._grid
        features = self.activation(hidden_state.flatten(2).transpose(1, 2))
        products = self.products(features).reshape(-1, height, width, self._keypoints, 3, 3)
        products = products.permute(0, 3, 4, 1, 5, 2).reshape(-1, self._keypoints, 3 * height, 3 * width)
        heatmaps: torch.Tensor = self.rows @ (products @ self.columns) + self.bias
        return heatmaps


def _upsample_and_add(count: int, scale: float) -> torch.Tensor:
    """Return the matrix that upsamples three rows of numbers bilinearly, shifts them by 1, 0 and -1, and adds them.

    Args:
        count: length of a row before upsampling.
        scale: upsampling factor.

    Returns:
        float32 (scale * count, 3 * count), to multiply with the three rows, concatenated. Positions outside count as 0.
    """
    once = torch.nn.functional.interpolate(
        torch.eye(count)[None, None], size=(int(scale * count), count), mode="bilinear", align_corners=False
    )[0, 0]
    nothing = torch.zeros((1, count))
    return torch.cat((torch.cat((nothing, once[:-1])), once, torch.cat((once[1:], nothing))), dim=1)
