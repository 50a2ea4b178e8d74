"""Building an engine: from a ViTPose checkpoint to an `Engine` that has passed its self-test.

Used by realtime.loading at the start, before any camera opens. The self-test compares the engine's heatmaps of a real
person with those of the network in float32.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime import __version__
from realtime.config import PoseConfig
from realtime.errors import ConfigError
from realtime.models import openvino
from realtime.models.cache import built_once
from realtime.models.choice import DTYPES, Choice
from realtime.models.proof import Verdict, proven
from realtime.models.vitpose import Description, load_network
from realtime.models.vitpose_folder import quiet
from realtime.pose.crop import Crowd, crop_people
from realtime.pose.engine import Engine, HostEngine, TorchNetwork
from realtime.pose.on_device import DeviceEngine
from realtime.runtime.device import exact_float32

log = logging.getLogger(__name__)

# Largest `deviation` of an engine's heatmaps from those of float32 that passes the self-test. Measured on random and
# trained networks, tiny to B: fp32 1e-6, fp16 0.002, bf16 0.007 to 0.02, int8 0.03 to 0.05. A wrong kernel, an overflow
# or a swapped axis yields 1 or more.
TOLERANCE = {"fp32": 0.01, "fp16": 0.05, "bf16": 0.15, "int8": 0.5}
# Layers of an int8 network that stay in float (regular expressions). A quantised head changed the scores of the trained
# tiny network by up to 0.15 and more than doubled its keypoint error (p99 1.06 instead of 0.43 pixels).
_NOT_QUANTIZED = (r".*module\.head[./].*",)
# Calibration crops: every box is used _JITTERED times, moved and resized by up to _JITTER of its sides, because a
# tracker's boxes vary too.
_JITTER = 0.15
_JITTERED = 24


class People(NamedTuple):
    """An image of real people, to test engines and to calibrate int8 networks."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR
    xyxy: NDArray[np.float32]  # (N, 4), N >= 1, pixels of the image


class Setup(NamedTuple):
    """Everything that an engine is built from."""

    path: Path  # the checkpoint: a folder or a file
    about: Description  # its description
    device: torch.device  # the device that runs the network
    choice: Choice  # the engine and its precision
    config: PoseConfig  # the pose section
    people: People  # for the self-test and the calibration
    cache: Path  # folder for converted networks


class _Converted(NamedTuple):
    """A network in OpenVINO's form."""

    model: Any  # OpenVINO ships no types
    expected: NDArray[np.float32]  # the first person's heatmaps from float32 in torch


def build_engine(setup: Setup) -> Engine:
    """Build the engine that was chosen, and test it; models.proof decides what happens if the test fails.

    Raises:
        ConfigError: int8 needs a package that is not installed.
        ModelError: the path holds no ViTPose checkpoint; or the chosen engine failed and may not be replaced.
    """
    return proven("pose", setup.choice, setup.config, lambda choice: _build_and_test(choice, setup))


def deviation(heatmaps: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the root mean square of the difference, divided by that of the expected heatmaps around their means.

    Args:
        heatmaps: float32 (P, K, h, w).
        expected: float32 (P, K, h, w).

    Returns:
        0 for equal heatmaps, about 1 or more for unrelated ones, infinity if a value of `heatmaps` is not finite.

    Example:
        >>> expected = np.eye(4, dtype=np.float32)[np.newaxis, np.newaxis]
        >>> deviation(expected, expected), round(deviation(expected[..., ::-1], expected), 1)
        (0.0, 1.6)
    """
    if not np.isfinite(heatmaps).all():
        return float("inf")
    signal = expected - expected.mean(axis=(2, 3), keepdims=True)
    return float(np.sqrt(np.square(heatmaps - expected).mean() / max(np.square(signal).mean(), 1e-12)))


def _build_and_test(choice: Choice, setup: Setup) -> tuple[Engine, Verdict]:
    """Build an engine, and compare its heatmaps of one person with those of float32."""
    build = _build_openvino if choice.engine == "openvino" else _build_torch
    engine, expected = build(choice, setup)
    one = Crowd.of([setup.people.image], [setup.people.xyxy[:1]], setup.about.input_size, setup.about.skeleton.geometry)
    off = deviation(engine.heatmaps(one), expected)
    finding = f"its heatmaps deviate from those of fp32 by {off:.2g}, relative RMS"
    return engine, Verdict(off <= TOLERANCE[choice.precision], finding)


def _build_torch(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32]]:
    size, sigma, device = setup.about.input_size, setup.config.decode_sigma, setup.device
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


def _build_openvino(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32]]:
    size, quantized = setup.about.input_size, choice.precision == "int8"
    halve = choice.precision in ("bf16", "fp16")
    file = "int8.xml" if quantized else "network.xml"

    def build() -> _Converted:
        log.info("pose: converting the network to OpenVINO, once; for a large one this takes a minute")
        network = load_network(setup.path, size, skeleton=setup.config.skeleton, parts=setup.config.keypoints)
        expected = _reference(network, setup)
        with quiet():
            model = openvino.convert(network, torch.from_numpy(_crops(setup)))
        return _Converted(_quantized(model, setup) if quantized else model, expected)

    def write(converted: _Converted, folder: Path) -> None:
        (folder / "expected.npy").write_bytes(_npy(converted.expected))
        openvino.save(converted.model, folder / file, halve=halve)

    def read(folder: Path) -> _Converted:
        return _Converted(openvino.read(folder / file), np.load(folder / "expected.npy"))

    sample = hashlib.sha256(setup.people.image.tobytes() + setup.people.xyxy.tobytes()).hexdigest()
    versions = [importlib.metadata.version(library) for library in ("torch", "transformers")]
    key = [setup.about.digest, f"{size[0]}x{size[1]}", sample, openvino.version(), *versions, __version__]
    key += ["int8", *_NOT_QUANTIZED] if quantized else ["halved"] if halve else []
    model, expected = built_once(setup.cache, key, build, write, read)
    network = openvino.OpenVinoNetwork(model, choice.precision)
    return HostEngine(network, size, setup.config.decode_sigma, str(choice)), expected


def _npy(array: NDArray[np.float32]) -> bytes:
    """The content of an .npy file. numpy's error on a full disk would name no cause."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


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
