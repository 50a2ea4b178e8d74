"""ViTPose checkpoints: from a folder or a file on disk to the network that computes heatmaps.

Used by models.description and pose.build_torch. models.vitpose_folder and models.vitpose_file load the weights; no
other file outside evaluate/ imports transformers. The network is the published one, changed when it is loaded. Three of
the changes keep its output and save work: an expert is folded into its layer, the simple head sums in a different
order, and the first layer takes BGR. Another input size changes the output; it is applied only if the configuration
asks for it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, get_args

import torch

from realtime.errors import ModelError
from realtime.models.description import Description, digest_of
from realtime.models.heatmap_network import COCO_EXPERT, HeatmapNetwork, Published, SimpleHead
from realtime.models.vitpose_file import load_file, open_file
from realtime.models.vitpose_folder import describe_folder, load_folder, normalisation, sides
from realtime.skeleton import PartName, Skeleton


def describe(
    path: Path,
    input_size: tuple[int, int] | None = None,
    skeleton: str = "auto",
    parts: Collection[str] | None = None,
) -> Description:
    """Describe a checkpoint without loading its weights.

    Args:
        path: a Hugging Face checkpoint's folder, or a file in the authors' format.
        input_size: width and height of the crops that will be used; None: the size used in training.
        skeleton: `pose.skeleton`: which of the file's heads, or which keypoints those of the folder are; auto: what the
            folder's config.json or the file says.
        parts: `pose.keypoints`: the network will compute the keypoints of these parts only; None: all.

    Raises:
        ModelError: there is no ViTPose checkpoint, or it has no such keypoints.
    """
    whole, trained = _described(path, skeleton)
    used = _only(whole, parts)
    return Description(used, input_size or trained, digest_of(path, f"{whole.name} {used.name} {used.geometry}"))


def load_network(
    path: Path,
    input_size: tuple[int, int] | None = None,
    published: bool = False,
    skeleton: str = "auto",
    parts: Collection[str] | None = None,
) -> HeatmapNetwork:
    """Load a checkpoint's network, plain or MoE (ViTPose+), with a simple or classic head.

    Args:
        path: a folder with config.json, weights and optionally preprocessor_config.json, or a file in the authors'
            format. Nothing is downloaded.
        input_size: width and height of the crops that will be used; None: the size used in training.
        published: True keeps the published form as a reference: no folded expert (of a folder), no reordered head.
        skeleton, parts: as in `describe`.

    Returns:
        The network in float32, on the CPU, in evaluation mode.

    Raises:
        ModelError: there is no ViTPose checkpoint, or tensors are missing, left over, or of another shape.
    """
    module = load_folder(path) if path.is_dir() else load_file(path, skeleton)
    mean, std = normalisation(path)
    if parts is not None:
        _keep(module, _described(path, skeleton)[0], parts)
    if input_size is not None:
        _resize_positions(module, input_size)
    if not published:
        if module.config.backbone_config.num_experts > 1:
            _fold_expert(module)
        if module.config.use_simple_decoder:
            module.head = SimpleHead(module.head, _grid(module.config.backbone_config))
    # Frames are BGR: swap the input channels of the first layer once, instead of those of every crop.
    projection = module.backbone.embeddings.patch_embeddings.projection
    projection.weight.data = projection.weight.data.flip(1).contiguous()
    return HeatmapNetwork(module, mean[::-1].copy(), std[::-1].copy()).eval().requires_grad_(False)


def _fold_expert(module: Published) -> None:
    """Merge fc2 and the one expert in use into a single matrix, in each layer. Exact: no sum changes its order.

    The published layer computes all experts, multiplies all but one by zero, and appends the result to fc2's output.
    """
    from transformers.models.vitpose_backbone.modeling_vitpose_backbone import VitPoseBackboneMLP

    config = module.config.backbone_config
    for layer in module.backbone.encoder.layer:
        published, folded = layer.mlp, VitPoseBackboneMLP(config)
        expert = published.experts[COCO_EXPERT]
        folded.fc1 = published.fc1
        folded.fc2.weight.data = torch.cat([published.fc2.weight.data, expert.weight.data])
        folded.fc2.bias.data = torch.cat([published.fc2.bias.data, expert.bias.data])
        layer.mlp, layer.num_experts = folded.eval(), 1
    config.num_experts = 1


def _resize_positions(module: Published, size: tuple[int, int]) -> None:
    """Change the size of the crops that the network takes.

    Resamples the position embeddings to the new grid of patches, bicubically and without aligned corners, as the
    ViTPose authors do when they load weights (mmcv_custom/checkpoint.py). The embedding of the class token, which
    ViTPose adds to every patch, stays as it is.
    """
    config, embeddings = module.config.backbone_config, module.backbone.embeddings
    trained, patch = sides(config.image_size), sides(config.patch_size)
    height, width = size[1], size[0]
    if (height, width) == trained:
        return
    if height % patch[0] or width % patch[1]:
        raise ModelError(
            f"pose.input_size: got {height}x{width}, expected multiples of {patch[0]}x{patch[1]}, the patch size"
        )
    token, grid = embeddings.position_embeddings.data[:, :1], embeddings.position_embeddings.data[:, 1:]
    grid = grid.reshape(1, trained[0] // patch[0], trained[1] // patch[1], -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(
        grid, size=(height // patch[0], width // patch[1]), mode="bicubic", align_corners=False
    )
    embeddings.position_embeddings.data = torch.cat([token, grid.flatten(2).transpose(1, 2)], dim=1)
    config.image_size = embeddings.patch_embeddings.image_size = (height, width)


def _grid(backbone: Any) -> tuple[int, int]:  # noqa: ANN401 - Any: transformers is not followed by mypy
    """Return height and width of the backbone's features, in patches."""
    height, width = sides(backbone.image_size)
    patch = sides(backbone.patch_size)
    return height // patch[0], width // patch[1]


def _described(path: Path, wanted: str) -> tuple[Skeleton, tuple[int, int]]:
    """Return all keypoints of a checkpoint, and the width and height of the crops that it was trained with."""
    if path.is_dir():
        return describe_folder(path, wanted)
    chosen = open_file(path, wanted)
    return chosen.skeleton, chosen.input_size


def _only(whole: Skeleton, parts: Collection[str] | None) -> Skeleton:
    """Return the skeleton of these parts; all of it if all parts or None are given."""
    if parts is None or set(parts) >= set(get_args(PartName)):
        return whole
    if not whole.parts:
        raise ModelError(f"pose.keypoints: got {', '.join(parts)} with {whole.name}, whose parts are not known")
    if not whole.indices(parts):
        has = ", ".join(part.name for part in whole.parts)
        raise ModelError(f"pose.keypoints: got {', '.join(parts)} with {whole.name}, expected parts that it has: {has}")
    return whole.only(parts)


def _keep(module: Published, whole: Skeleton, parts: Collection[str]) -> None:
    """Remove the rows of the head's last layer that compute the keypoints of other parts."""
    if len(_only(whole, parts)) < len(whole):
        last, kept = module.head.conv, whole.indices(parts)
        last.weight.data, last.bias.data = last.weight.data[kept], last.bias.data[kept]
        last.out_channels = len(kept)
