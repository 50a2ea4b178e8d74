"""ViTPose: the keypoints of people in their boxes. The only importer of transformers.

Run by pose.stage, between the tracker and the smoother. We crop and decode ourselves: the Hugging Face processor does
it with scipy for one person and keypoint after the other, and is wrong from about 300 people on. Parity with it is
tested.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ModelError
from realtime.pose.crop import crop_people, windows
from realtime.pose.decode import decode, to_frame
from realtime.runtime.device import Lane
from realtime.skeleton import Skeleton, from_labels

# People in one forward pass. Bounds the memory: crops and heatmaps of this many; a CPU gains nothing from more than 4.
_LARGEST_BATCH = 32
# What ViTPose was trained with, RGB of range 0..1, where a folder doesn't say (ImageNet's).
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# ViTPose+ has an expert for each data set. COCO's is the only one whose head Hugging Face's checkpoints carry.
_COCO_EXPERT = 0


class VitPose:
    """One ViTPose network on its lane, float32.

    Attributes:
        name: what the stream calls it.
        skeleton: its K keypoints.
    """

    def __init__(self, folder: Path, device: torch.device, decode_sigma: float, name: str) -> None:
        """Load a checkpoint: plain or MoE (ViTPose+), simple or classic head.

        Args:
            folder: with config.json, weights and, if it likes, preprocessor_config.json. Nothing is downloaded.
            device: where to run.
            decode_sigma: the decoder's blur in heatmap pixels, see pose.decode.
            name: what the stream calls it.

        Raises:
            ModelError: the folder holds no ViTPose checkpoint, or its weights are not those of its config.
        """
        self.name = name
        self._decode_sigma = decode_sigma
        self._lane = Lane(device)
        self._module = _load(folder).to(device)
        config = self._module.config
        self.skeleton: Skeleton = from_labels(config.id2label, getattr(config, "edges", None) or [])
        sides = config.backbone_config.image_size
        height, width = (sides, sides) if isinstance(sides, int) else sides
        self._input_size = int(width), int(height)
        mean, std = _normalisation(folder)
        self._mean, self._std = torch.tensor(mean, device=device), torch.tensor(std, device=device)
        experts = config.backbone_config.num_experts
        self._expert = torch.tensor([_COCO_EXPERT], device=device) if experts > 1 else None

    def warm_up(self) -> None:
        """Run once on a grey picture, so that the first frame is not the slow one."""
        width, height = self._input_size
        grey = np.full((height, width, 3), 114, np.uint8)
        self.estimate([grey], [np.array([[0, 0, width, height]], np.float32)])

    def estimate(
        self, images: Sequence[NDArray[np.uint8]], xyxy: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """The keypoints of all people of all images, in one batch.

        Args:
            images: uint8 (H, W, 3) BGR each, sizes may differ.
            xyxy: for each image, its people's boxes float32 (N, 4), pixels of the image. N may be 0.

        Returns:
            For each image float32 (N, K, 3): x, y in pixels of the image, may lie outside it, and score 0..1.
        """
        counts = [len(boxes) for boxes in xyxy]
        owners = np.repeat(np.arange(len(counts)), counts)
        centers, scales = windows(np.concatenate([np.zeros((0, 4), np.float32), *xyxy]), self._input_size)
        keypoints = np.empty((len(owners), len(self.skeleton), 3), np.float32)
        for start in range(0, len(owners), _LARGEST_BATCH):
            part = slice(start, start + _LARGEST_BATCH)
            crops = crop_people(images, owners[part], centers[part], scales[part], self._input_size)
            heatmaps = self._heatmaps(crops)
            places, scores = decode(heatmaps, self._decode_sigma)
            size = heatmaps.shape[3], heatmaps.shape[2]
            keypoints[part, :, :2] = to_frame(places, centers[part], scales[part], size)
            keypoints[part, :, 2] = scores
        ends = np.cumsum(counts, dtype=np.intp)
        return [keypoints[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def _heatmaps(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Crops uint8 (P, h, w, 3) BGR to heatmaps float32 (P, K, h', w'). Only these come back from the device."""
        with self._lane.run():
            # Bytes travel, not floats. The arithmetic is that of transformers' rescale_and_normalize, to the bit.
            rgb = self._lane.upload(crops).flip(3).float()
            pixels = rgb.sub_(self._mean).div_(self._std).permute(0, 3, 1, 2).contiguous()
            heatmaps = self._module(pixels, dataset_index=self._expert).heatmaps
            return np.asarray(self._lane.download(heatmaps), np.float32)


def _load(folder: Path) -> Any:  # noqa: ANN401 - Any: transformers is not followed by mypy
    """The network of a folder, float32, in evaluation mode, every weight from its file."""
    kind = _read_json(folder / "config.json", "is this the folder of a Hugging Face checkpoint?").get("model_type")
    if kind != "vitpose":
        raise ModelError(f"{folder}: got a checkpoint of model type {kind!r}, expected 'vitpose'")
    with _quiet():
        from transformers import VitPoseForPoseEstimation

        try:
            # Without the two flags, sizes that don't match raise an error that refers to a report we keep quiet, and
            # whatever is missing is filled with random numbers under a mere warning: ask, and judge below.
            module, report = VitPoseForPoseEstimation.from_pretrained(
                folder,
                local_files_only=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except Exception as error:  # whatever configs and unpicklers meet in files that aren't a model
            raise ModelError(f"{folder}: not a ViTPose checkpoint that can be loaded ({_summary(error)})") from error
    _check_complete(folder, report)
    return module.eval().requires_grad_(False)


def _check_complete(folder: Path, report: dict[str, Any]) -> None:  # Any: transformers' loading_info
    """Raise ModelError unless the weights in the file are exactly those that the config asks for."""
    mismatched = [entry[0] for entry in report["mismatched_keys"]]
    faults = {
        "missing": sorted(report["missing_keys"]),
        "of another shape": sorted(mismatched),
        "too many": sorted(report["unexpected_keys"]),
    }
    for fault, keys in faults.items():
        # How many batches a BatchNorm was trained on means nothing here, and converted checkpoints leave it out.
        keys = [key for key in keys if not key.endswith("num_batches_tracked")]
        if keys:
            raise ModelError(f"{folder}: the weights don't match config.json: {len(keys)} {fault}, {keys[0]} for one")


def _normalisation(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the input, float32 (3,) RGB each, in grey levels 0..255."""
    path = folder / "preprocessor_config.json"
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


def _read_json(path: Path, hint: str) -> dict[str, Any]:  # Any: what a file holds
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: no {path.name} there: {hint}") from None
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: not JSON text") from None
    if not isinstance(data, dict):
        raise ModelError(f"{path}: expected keys and values, got a {type(data).__name__}")
    return data


def _summary(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and warnings off the terminal: what matters becomes a ModelError."""
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
