"""Building an engine by means of torch: networks that run in torch, and the conversion of the others for OpenVINO.

pose.build imports it only if a network runs in torch, or has not been converted yet.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ConfigError
from realtime.models import openvino
from realtime.models.choice import Choice
from realtime.models.vitpose import load_network
from realtime.models.vitpose_folder import quiet
from realtime.pose.build import Setup
from realtime.pose.crop import Crowd, crop_people
from realtime.pose.engine import Engine, HostEngine
from realtime.pose.on_device import DeviceEngine
from realtime.runtime.lane import DTYPES, Lane, exact_float32

log = logging.getLogger(__name__)

# Layers of an int8 network that stay in float (regular expressions). A quantised head changed the scores of the trained
# tiny network by up to 0.15 and more than doubled its keypoint error (p99 1.06 instead of 0.43 pixels).
_NOT_QUANTIZED = (r".*module\.head[./].*",)
# Calibration crops: every box is used _JITTERED times, moved and resized by up to _JITTER of its sides, because a
# tracker's boxes vary too.
_JITTER = 0.15
_JITTERED = 24


def torch_engine(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32]]:
    """Build an engine that runs in torch, and return it with the first person's heatmaps from fp32."""
    size, sigma, device = setup.about.input_size, setup.config.decode_sigma, torch.device(str(setup.device))
    network = load_network(setup.path, size, skeleton=setup.config.skeleton, parts=setup.config.keypoints)
    expected = _reference(network, setup)
    network.compute_in(DTYPES[choice.precision])
    if choice.precision == "fp32":
        exact_float32()
    if device.type == "cpu":
        _copy_weights(network)
        return HostEngine(TorchNetwork(network), size, sigma, str(choice)), expected
    return DeviceEngine(network, device, size, sigma, f"{choice} on {device}"), expected


def _copy_weights(network: torch.nn.Module) -> None:
    """Copy the weights into memory. Those of a mapped file would be lost, and the program with them, if it is replaced.

    A training that writes its best checkpoint does that. On other devices, the weights are copies anyway.
    """
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.clone()
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.clone())  # a view, which would keep its base


def convert(setup: Setup, *, quantized: bool) -> tuple[Any, NDArray[np.float32]]:
    """Convert a network for OpenVINO.

    Args:
        setup: what it is built from.
        quantized: convert it to int8.

    Returns:
        The converted network, as openvino.OpenVinoNetwork takes it, and the first person's heatmaps from the same
        network in float32 in torch.

    Raises:
        ConfigError: int8 needs a package that is not installed.
        ModelError: the path holds no ViTPose checkpoint.
        EngineError: the network can't be converted.
    """
    log.info("pose: converting the network to OpenVINO, once; for a large one this takes a minute")
    size = setup.about.input_size
    network = load_network(setup.path, size, skeleton=setup.config.skeleton, parts=setup.config.keypoints)
    expected = _reference(network, setup)
    with quiet():
        model = openvino.convert(network, torch.from_numpy(_crops(setup)))
    return (_quantized(model, setup) if quantized else model), expected


def _quantized(model: Any, setup: Setup) -> Any:  # noqa: ANN401 - OpenVINO ships no types
    log.info("pose: converting the network to int8, once; this takes a minute")
    try:
        return openvino.quantize(model, _calibration_crops(setup), _NOT_QUANTIZED)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"pose.precision: int8 needs the extra 'int8' ({error.name} is not installed): "
            "pip install 'realtime-pose[int8]'"
        ) from None


def _crops(setup: Setup) -> NDArray[np.uint8]:
    """Return the crops of the test image's people, uint8 (N, h, w, 3) BGR."""
    return _crops_of(setup.people.xyxy, setup)


def _reference(network: torch.nn.Module, setup: Setup) -> NDArray[np.float32]:
    """Return the first person's heatmaps float32 (1, K, h', w'), from the network in float32 on the CPU."""
    return TorchNetwork(network)(_crops(setup)[:1])


def _calibration_crops(setup: Setup) -> NDArray[np.uint8]:
    """Return the crops that calibrate an int8 network: the people in jittered boxes, every second crop mirrored.

    Returns:
        uint8 (24 N, h, w, 3) BGR, always the same for the same people.
    """
    boxes = np.repeat(setup.people.xyxy, _JITTERED, axis=0)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    shifts = np.random.default_rng(0).uniform(-_JITTER, _JITTER, boxes.shape)
    crops = _crops_of((boxes + shifts * sides).astype(np.float32), setup)
    crops[::2] = crops[::2, :, ::-1]
    return crops


def _crops_of(xyxy: NDArray[np.float32], setup: Setup) -> NDArray[np.uint8]:
    size = setup.about.input_size
    return crop_people(*Crowd.of([setup.people.image], [xyxy], size, setup.about.skeleton.geometry), size)


class TorchNetwork:
    """A torch network on the CPU, with numpy arrays in and out.

    Example:
        >>> class MeanColour(torch.nn.Module):  # a stand-in for the network
        ...     def forward(self, crops: torch.Tensor) -> torch.Tensor:
        ...         return crops.float().mean(dim=3)
        >>> TorchNetwork(MeanColour())(np.full((1, 2, 2, 3), 7, np.uint8)).tolist()
        [[[7.0, 7.0], [7.0, 7.0]]]
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network
        self._lane = Lane(torch.device("cpu"))

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute heatmaps float32 (P, K, h', w') from crops uint8 (P, h, w, 3) BGR."""
        with self._lane.run(), self._lane.compute():
            return np.asarray(self._lane.download(self._network(self._lane.upload(crops))), np.float32)
