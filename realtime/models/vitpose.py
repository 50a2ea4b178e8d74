"""ViTPose checkpoints: from a folder or a file on disk to the network that computes heatmaps.

Used by loading and pose.build; no other file outside evaluate/ imports transformers. The network is the published one,
changed when it is loaded. Three of the changes keep its output and save work: an expert is folded into its layer, the
simple head sums in a different order, and the first layer takes BGR. Another input size changes the output; it is
applied only if the configuration asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ModelError, first_line
from realtime.models import checkpoint, heatmap_network, vitpose_file
from realtime.models.heatmap_network import COCO_EXPERT, HeatmapNetwork, Published, SimpleHead
from realtime.models.vitpose_file import load_file, open_file
from realtime.skeleton import CROP_PER_HEATMAP, Skeleton, from_labels
from realtime.skeletons import SKELETONS

# Default normalisation if a folder has none, RGB in 0..1: ImageNet's, which ViTPose was trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Description:
    """The properties of a network that are known without its weights.

    Attributes:
        skeleton: the network's K keypoints.
        input_size: width and height of its crops in pixels.
        digest: sha256 of the checkpoint's files, of this source file and of heatmap_network.py.
    """

    skeleton: Skeleton
    input_size: tuple[int, int]
    digest: str


def describe(path: Path, input_size: tuple[int, int] | None = None, skeleton: str = "auto") -> Description:
    """Describe a checkpoint without loading its weights.

    Args:
        path: a Hugging Face checkpoint's folder, or a file in the authors' format.
        input_size: width and height of the crops that will be used; None: the size used in training.
        skeleton: `pose.skeleton`: which of the file's heads, or which keypoints those of the folder are; auto: what the
            folder's config.json or the file says.

    Raises:
        ModelError: there is no ViTPose checkpoint, or it has no such keypoints.
    """
    if not path.is_dir():
        chosen = open_file(path, skeleton)
        return Description(chosen.skeleton, input_size or chosen.input_size, _digest_of([path], chosen.skeleton.name))
    config = _read_config(path)
    told = from_labels(config.id2label, getattr(config, "edges", None) or [])
    return Description(
        told if skeleton == "auto" else _named(path, skeleton, len(told)),
        input_size or _sides(config.backbone_config.image_size)[::-1],
        _digest_of([*path.glob("*.json"), *path.glob("*.safetensors")]),
    )


def load_network(
    path: Path, input_size: tuple[int, int] | None = None, published: bool = False, skeleton: str = "auto"
) -> HeatmapNetwork:
    """Load a checkpoint's network, plain or MoE (ViTPose+), with a simple or classic head.

    Args:
        path: a folder with config.json, weights and optionally preprocessor_config.json, or a file in the authors'
            format. Nothing is downloaded.
        input_size: width and height of the crops that will be used; None: the size used in training.
        published: True keeps the published form as a reference: no folded expert (of a folder), no reordered head.
        skeleton: as in `describe`.

    Returns:
        The network in float32, on the CPU, in evaluation mode.

    Raises:
        ModelError: there is no ViTPose checkpoint, or tensors are missing, left over, or of another shape.
    """
    module = _load(path) if path.is_dir() else load_file(path, skeleton)
    mean, std = _normalisation(path)
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
    trained, patch = _sides(config.image_size), _sides(config.patch_size)
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
    height, width = _sides(backbone.image_size)
    patch = _sides(backbone.patch_size)
    return height // patch[0], width // patch[1]


def _sides(sides: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width from an entry of transformers' configs: a pair, or one number for both."""
    height, width = (sides, sides) if isinstance(sides, int) else sides
    return int(height), int(width)


def _named(path: Path, name: str, keypoints: int) -> Skeleton:
    """Return the keypoint set of this name, if it has as many keypoints as the checkpoint of a folder."""
    fitting = [each for each, skeleton in SKELETONS.items() if len(skeleton) == keypoints]
    if name not in fitting:
        choices = ", ".join(fitting) or "auto only"
        raise ModelError(f"pose.skeleton: got {name} for {path} with {keypoints} keypoints, expected {choices}")
    return SKELETONS[name]


def _digest_of(files: Sequence[Path], what: str = "") -> str:
    """Return the sha256 of everything that determines a network: its files, what of them is used, and our source."""
    modules = sys.modules[__name__], heatmap_network, vitpose_file, checkpoint
    sources = [Path(str(module.__file__)).read_bytes() for module in modules]
    total = hashlib.sha256(b"".join(sources) + what.encode())
    for path in sorted(files):
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            total.update(os.fsencode(path.name) + f"\0{digest}\0".encode())
        except OSError as error:
            raise ModelError(f"{path}: can't be read: {error.strerror}") from None
    return total.hexdigest()


def _read_config(folder: Path) -> Any:  # noqa: ANN401 - Any: transformers is not followed by mypy
    told = _read_json(folder / "config.json", "is this the folder of a Hugging Face checkpoint?")
    if told.get("model_type") != "vitpose":
        raise ModelError(f"{folder}: got a checkpoint of model type {told.get('model_type')!r}, expected 'vitpose'")
    with quiet():
        from transformers import VitPoseConfig

        try:
            config = VitPoseConfig.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # a malformed config can raise anything
            raise _not_loaded(folder, error) from error
    patch = _sides(config.backbone_config.patch_size)[0]
    # The classic head doubles the resolution twice.
    pixels = patch / config.scale_factor if config.use_simple_decoder else patch / 4
    if pixels != CROP_PER_HEATMAP:
        raise ModelError(f"{folder}: got heatmaps of 1/{pixels:g} of the crop's size, expected 1/{CROP_PER_HEATMAP}")
    return config


def _not_loaded(folder: Path, error: Exception) -> ModelError:
    reason = f"{type(error).__name__}: {first_line(error)}"
    return ModelError(f"{folder}: can't be loaded as a ViTPose checkpoint ({reason})")


def _load(folder: Path) -> Any:  # noqa: ANN401 - Any: transformers is not followed by mypy
    """Load transformers' network in float32 and evaluation mode, with every weight from the checkpoint's file."""
    _read_config(folder)
    with quiet():
        from transformers import VitPoseForPoseEstimation

        try:
            # The last two flags return all mismatches, which _check_complete then judges. Without them, a shape that
            # doesn't match raises an error that points to a report we silence, and a missing weight is filled with
            # random numbers after a mere warning.
            module, report = VitPoseForPoseEstimation.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,  # never unpickle, and load only files that _digest covers
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except Exception as error:  # files that aren't a model can raise anything
            raise _not_loaded(folder, error) from error
    _check_complete(folder, report)
    return module


def _check_complete(folder: Path, report: dict[str, Any]) -> None:  # Any: transformers' loading_info
    """Raise ModelError unless the file holds exactly the weights that the config requires."""
    mismatched = [entry[0] for entry in report["mismatched_keys"]]
    faults = {
        "missing": sorted(report["missing_keys"]),
        "of the wrong shape": sorted(mismatched),
        "unexpected": sorted(report["unexpected_keys"]),
    }
    for fault, keys in faults.items():
        # The number of batches that a BatchNorm was trained on has no effect here, and converted checkpoints lack it.
        keys = [key for key in keys if not key.endswith("num_batches_tracked")]
        if keys:
            raise ModelError(f"{folder}: the weights don't match config.json: {len(keys)} {fault}, e.g. {keys[0]}")


def _normalisation(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and standard deviation of the input, float32 (3,) RGB each, in grey levels 0..255."""
    path = folder / "preprocessor_config.json"  # of a file, there is none
    told = _read_json(path, "") if path.exists() else {}
    mean, std = told.get("image_mean", _MEAN), told.get("image_std", _STD)
    try:
        levels = np.float32(1.0 / told.get("rescale_factor", 1 / 255))
        means, stds = np.array(mean, np.float32) * levels, np.array(std, np.float32) * levels
    except (TypeError, ValueError, ZeroDivisionError):
        means = stds = np.zeros(0, np.float32)
    if means.shape != (3,) or stds.shape != (3,) or not np.isfinite((means, stds)).all() or not (stds > 0).all():
        raise ModelError(f"{path}: got image_mean {mean} and image_std {std}, expected three numbers each, std > 0")
    return means, stds


def _read_json(path: Path, hint: str) -> dict[str, Any]:  # Any: a file can hold anything
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: no {path.name} found: {hint}") from None
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: not valid JSON") from None
    if not isinstance(data, dict):
        raise ModelError(f"{path}: got JSON of type {type(data).__name__}, expected an object")
    return data


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and warnings off the terminal. Problems that matter become a ModelError."""
    from transformers.utils import logging

    verbosity, progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if progress:
            logging.enable_progress_bar()
