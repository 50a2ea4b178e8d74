"""A YOLO network on an engine, torch or OpenVINO: from images to its predictions before NMS.

models/yolo.py uses it. Each engine keeps one network per image size, built on first use and freed by `drop`.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.models import openvino, ultralytics
from realtime.models.cache import built_once
from realtime.models.ultralytics import Module, decode_in_float32
from realtime.runtime.device import Lane, exact_float32

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


class OpenVinoForward:
    """The network in OpenVINO, compiled for each image size on first use; separately for one image and for batches."""

    def __init__(self, model: Any, precision: openvino.Precision) -> None:  # noqa: ANN401 - OpenVINO ships no types
        self._model, self._precision = model, precision
        self._by_shape: dict[tuple[int, int, int], openvino.OpenVinoNetwork] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: NDArray[np.uint8] | torch.Tensor) -> torch.Tensor:
        """Compute the predictions of uint8 (B, h, w, 3) BGR, valid until this thread's next call."""
        assert isinstance(pictures, np.ndarray)  # OpenVINO runs on CPUs only
        count, height, width, _ = pictures.shape
        shape = 1 if count == 1 else -1, height, width
        with self._lock:
            if shape not in self._by_shape:
                self._by_shape[shape] = openvino.OpenVinoNetwork(self._model, self._precision, shape)
            network = self._by_shape[shape]
        return torch.from_numpy(network(pictures))

    def drop(self, height: int, width: int) -> None:
        """Free the networks for this size."""
        with self._lock:
            for count in (1, -1):
                self._by_shape.pop((count, height, width), None)


def converted(module: Module, path: Path, kept: Sequence[int], cache: Path) -> Any:  # noqa: ANN401 - OpenVINO ships no types
    """Return the network converted for OpenVINO, from the cache if it is there.

    Args:
        module: the network.
        path: the file that it was loaded from.
        kept: the classes that its head was reduced to (ultralytics.Layout.kept).
        cache: the folder for converted networks.

    Raises:
        EngineError: the network can't be converted.
    """

    def build() -> Any:  # noqa: ANN401 - as above
        log.info("%s: converting the network to OpenVINO, once", path.name)
        for layer in module.modules():
            if hasattr(layer, "dynamic"):
                layer.dynamic = True  # the head then computes its anchors in each call
        pictures = torch.zeros((2, 480, 640, 3), dtype=torch.uint8)
        return openvino.convert(Pictures(module, torch.float32), pictures, free_size=True)

    def write(model: Any, folder: Path) -> None:  # noqa: ANN401 - as above
        openvino.save(model, folder / "network.xml")

    versions = [importlib.metadata.version(library) for library in ("torch", "ultralytics")]
    # These two files modify the network, so their own text is part of the key.
    sources = Path(__file__).read_bytes() + Path(ultralytics.__file__).read_bytes()
    digest = hashlib.sha256(path.read_bytes() + sources).hexdigest()
    key = ["yolo", digest, ",".join(map(str, kept)), openvino.version(), *versions]
    return built_once(cache, key, build, write, lambda folder: openvino.read(folder / "network.xml"))
