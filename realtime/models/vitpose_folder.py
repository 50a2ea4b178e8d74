"""A Hugging Face folder of a ViTPose checkpoint: its config.json, its weights and its preprocessor_config.json.

Used by models.vitpose. Nothing is downloaded and nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ModelError, first_line
from realtime.skeleton import CROP_PER_HEATMAP, Skeleton, from_labels
from realtime.skeletons import SKELETONS

# Transformers' defaults for a config.json without these keys: sides of a patch, and height and width of the input.
_PATCH, _SIZE = [16, 16], [256, 192]
# Default normalisation if a folder has none, RGB in 0..1: ImageNet's, which ViTPose was trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def describe_folder(folder: Path, wanted: str) -> tuple[Skeleton, tuple[int, int]]:
    """Return the keypoints and the trained input size (width, height) of a folder's checkpoint.

    Args:
        folder: with a config.json.
        wanted: `pose.skeleton`: what its keypoints are; auto: what config.json says.

    Raises:
        ModelError: the folder holds no ViTPose checkpoint, or one with another number of keypoints.
    """
    config = _read_config(folder, wanted)
    told = from_labels(config.id2label, getattr(config, "edges", None) or [])
    told = next(iter(_with_names(told)), told)
    size = sides(config.backbone_config.image_size)[::-1]
    return (told if wanted == "auto" else _named(folder, wanted, config.id2label)), size


def load_folder(folder: Path) -> Any:  # noqa: ANN401 - Any: transformers is not followed by mypy
    """Load transformers' network in float32 and evaluation mode, with every weight from the checkpoint's file.

    Raises:
        ModelError: the folder holds no ViTPose checkpoint, or the weights don't match config.json.
    """
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


def normalisation(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and standard deviation of the input, float32 (3,) RGB each, in grey levels 0..255.

    Args:
        folder: a checkpoint's folder. If it has no preprocessor_config.json, or is a file, they are ImageNet's.

    Raises:
        ModelError: the file holds other values than three numbers each.
    """
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


def sides(sides: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width from an entry of transformers' configs: a pair, or one number for both."""
    height, width = (sides, sides) if isinstance(sides, int) else sides
    return int(height), int(width)


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


def _read_config(folder: Path, wanted: str = "auto") -> Any:  # noqa: ANN401 - Any: transformers is not followed by mypy
    files = sorted(file.name for file in folder.glob("*.pth"))[:3]
    hint = f"give one of its files, such as {', '.join(files)}" if files else "is it a folder of the Hugging Face hub?"
    told = _read_json(folder / "config.json", hint)
    # Before transformers is imported, which takes seconds.
    _check_config(folder, told, wanted)
    with quiet():
        from transformers import VitPoseConfig

        try:
            config = VitPoseConfig.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # a malformed config can raise anything
            raise _not_loaded(folder, error) from error
    return config


def _check_config(folder: Path, told: Mapping[str, Any], wanted: str) -> None:  # Any: a file can hold anything
    """Check all that a config.json says about the keypoints and the heatmaps. A key that it lacks has a default.

    Raises:
        ModelError: it is not of a ViTPose checkpoint that this program can run, or not with the keypoints `wanted`.
    """
    file = folder / "config.json"
    if told.get("model_type") != "vitpose":
        raise ModelError(f"{folder}: got a checkpoint of model type {told.get('model_type')!r}, expected 'vitpose'")
    labels, edges = told.get("id2label"), told.get("edges")
    if labels is not None:
        numbers = sorted(map(str, range(len(labels)))) if isinstance(labels, dict) else None
        if not labels or sorted(labels) != numbers or not all(isinstance(name, str) for name in labels.values()):
            raise ModelError(f"{file}: got another id2label than the names of the keypoints, numbered from 0")
        if wanted != "auto":
            _named(folder, wanted, {int(index): name for index, name in labels.items()})
    pairs = edges if isinstance(edges, list) else [] if edges is None else [edges]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_whole, pair)) for pair in pairs):
        raise ModelError(f"{file}: got other edges than pairs of numbers of keypoints")
    backbone = told.get("backbone_config") or {}
    if not isinstance(backbone, dict):
        raise ModelError(f"{file}: got {type(backbone).__name__} for backbone_config, expected keys and values")
    patch, size = backbone.get("patch_size", _PATCH), backbone.get("image_size", _SIZE)
    for key, value in {"patch_size": patch, "image_size": size}.items():
        pair = value if isinstance(value, list) else [value, value]
        if len(pair) != 2 or not all(_is_whole(side) and side > 0 for side in pair):
            raise ModelError(f"{file}: got {value} for {key}, expected its height and width in pixels")
    scale = told.get("scale_factor", CROP_PER_HEATMAP)
    if not _is_whole(scale) or scale < 1:
        raise ModelError(f"{file}: got {scale} for scale_factor, expected a whole number from 1")
    # The classic head doubles the resolution twice.
    pixels = sides(patch)[0] / (scale if told.get("use_simple_decoder", True) else 4)
    if pixels != CROP_PER_HEATMAP:
        raise ModelError(f"{folder}: got heatmaps of 1/{pixels:g} of the crop's size, expected 1/{CROP_PER_HEATMAP}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _named(path: Path, wanted: str, labels: Mapping[int, str]) -> Skeleton:
    """Return the keypoint set that is wanted, if it fits the number and the names of a folder's keypoints.

    LABEL_0 and so on are no names. Names that no set has may be another spelling of any set's.
    """
    is_named = set(labels.values()).isdisjoint(f"LABEL_{index}" for index in labels)
    known = _with_names(from_labels(labels)) if is_named else []
    fitting = known or [each for each in SKELETONS.values() if len(each) == len(labels)]
    if wanted not in (names := [each.name for each in fitting]):
        have = f"the keypoints of {names[0]}" if known else f"{len(labels)} keypoints"
        choices = ", ".join(names) or "auto only"
        raise ModelError(f"pose.skeleton: got {wanted} for {path} with {have}, expected {choices}")
    return SKELETONS[wanted]


def _with_names(told: Skeleton) -> list[Skeleton]:
    """The keypoint sets with these names, which `from_labels` spelled, so that "face-0" is "face_0"."""
    names = [name.replace("-", "_") for name in told.keypoint_names]
    return [each for each in SKELETONS.values() if [name.replace("-", "_") for name in each.keypoint_names] == names]


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


def _not_loaded(folder: Path, error: Exception) -> ModelError:
    reason = f"{type(error).__name__}: {first_line(error)}"
    return ModelError(f"{folder}: can't be loaded as a ViTPose checkpoint ({reason})")


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
