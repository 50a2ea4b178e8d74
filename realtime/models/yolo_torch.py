"""YOLO networks in torch: loads them, runs them, and converts them for OpenVINO.

models/yolo.py imports it only if a network runs in torch, or has not been converted yet.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.models import openvino
from realtime.models.ultralytics import Module, decode_in_float32, load_network
from realtime.models.yolo_output import KEYPOINTS, LABEL, SCORE, Layout
from realtime.runtime.device import AnyDevice
from realtime.runtime.lane import DTYPES, Lane, exact_float32

log = logging.getLogger(__name__)


class Pictures(torch.nn.Module):
    """A YOLO network that maps images to its predictions before NMS."""

    def __init__(self, module: Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Compute the predictions of uint8 (B, h, w, 3) BGR.

        Returns:
            float32 (B, 4 + classes + 3 K, anchors); (B, n, 6 + 3 K) from an end-to-end network.
        """
        # Normalise the flattened images: OpenVINO is ten times slower on a last axis of length 3.
        batch = (pictures.flatten(1).float() / 255).reshape(pictures.shape).permute(0, 3, 1, 2)
        predictions = self.module(batch.to(self.dtype))
        first: torch.Tensor = predictions[0] if isinstance(predictions, tuple) else predictions
        return first.float()


class TorchForward:
    """The network in torch, copied for each image size because its head caches the anchors of one size only."""

    def __init__(self, module: Module, lane: Lane, dtype: torch.dtype) -> None:
        network = Pictures(module.to(dtype), dtype)
        decode_in_float32(module.model[-1])
        if dtype == torch.float32:
            exact_float32()
        if lane.stream is not None:  # match the memory order of the images, or every call reorders the weights
            network = network.to(memory_format=torch.channels_last)
        self._network, self._lane = network.to(lane.device), lane
        self._by_size: dict[tuple[int, ...], Pictures] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Compute the predictions of uint8 (B, h, w, 3) BGR on the lane's device; call it within `lane.run`."""
        network = self._of(pictures.shape[1:3])
        if not isinstance(pictures, torch.Tensor):
            pictures = self._lane.upload(pictures)
        with self._lane.compute():
            return network(pictures)  # type: ignore[no-any-return]  # torch

    def _of(self, size: tuple[int, ...]) -> Pictures:
        with self._lock:
            if size not in self._by_size:
                weights = {id(weight): weight for weight in self._network.parameters()}
                self._by_size[size] = copy.deepcopy(self._network, weights)  # the copies share the weights
            return self._by_size[size]

    def drop(self, height: int, width: int) -> None:
        """Free the copy for this size."""
        with self._lock:
            self._by_size.pop((height, width), None)


def load(path: Path, classes: Sequence[str], device: AnyDevice, precision: str) -> tuple[Layout, Lane, TorchForward]:
    """Load a network for torch.

    Args:
        path: a .pt file that the caller trusts, because loading it unpickles it.
        classes: the classes to look for, by name or number.
        device: where it will run.
        precision: the precision that it computes in.

    Raises:
        ModelError: the file is not a YOLO detection or pose network, or the network has not these classes.
    """
    module, layout = load_network(path, classes)
    lane = Lane(device)
    return layout, lane, TorchForward(module, lane, DTYPES[precision])


def on_device(labels: Sequence[int], lane: Lane) -> torch.Tensor:
    """Return labels as a tensor on a lane's device, int64."""
    return torch.tensor(labels, device=lane.device)


def convert(path: Path, classes: Sequence[str]) -> tuple[Layout, Any]:
    """Load a network and convert it for OpenVINO.

    Args:
        path: a .pt file that the caller trusts, because loading it unpickles it.
        classes: the classes to look for, by name or number.

    Returns:
        Its layout, and the converted network, as openvino.OpenVinoNetwork takes it.

    Raises:
        ModelError: as for `load`.
        EngineError: the network can't be converted.
    """
    module, layout = load_network(path, classes)
    log.info("%s: converting the network to OpenVINO, once", path.name)
    for layer in module.modules():
        if hasattr(layer, "dynamic"):
            layer.dynamic = True  # the head then computes its anchors in each call
    pictures = torch.zeros((2, 480, 640, 3), dtype=torch.uint8)
    return layout, openvino.convert(Pictures(module, torch.float32), pictures, free_size=True)


# ---- the likely boxes, as models.yolo_output selects them in numpy


def likely_on_device(predictions: torch.Tensor, min_score: float, labels: torch.Tensor, end2end: bool) -> torch.Tensor:
    """Select the likely boxes on the device of the predictions: yolo_output.likely in torch.

    Args:
        predictions, min_score, end2end: as there.
        labels: int64 (classes,).

    Returns:
        The same as there.
    """
    select = _of_end2end if end2end else _of_anchors
    picture, rows = select(predictions, min_score, labels)
    return torch.cat((picture[:, None], rows), 1)


def _of_end2end(predictions: torch.Tensor, min_score: float, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    picture, place = (predictions[..., SCORE] > min_score).nonzero(as_tuple=True)
    found = predictions[picture, place]
    which = found[:, LABEL].long().clamp(0, len(labels) - 1)  # a broken engine may return anything
    return picture, torch.cat((found[:, :LABEL], labels[which, None], found[:, KEYPOINTS:]), 1)


def _of_anchors(predictions: torch.Tensor, min_score: float, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    classes = len(labels)
    best, which = predictions[:, 4 : 4 + classes].max(1)
    picture, place = (best > min_score).nonzero(as_tuple=True)
    found = predictions.transpose(1, 2)[picture, place]
    half = found[:, 2:4] / 2
    boxes = torch.cat((found[:, :2] - half, found[:, :2] + half), 1)
    scores = torch.stack((best[picture, place], labels[which[picture, place]].to(best.dtype)), 1)
    return picture, torch.cat((boxes, scores, found[:, 4 + classes :]), 1)
