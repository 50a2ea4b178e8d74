"""Engines: each runs a ViTPose network on a device in one precision, from frames to the peaks of the heatmaps.

Used by pose.vitpose. On a CPU, `HostEngine` runs pose.crop, then the network in torch or OpenVINO, then pose.decode. On
a GPU, `DeviceEngine` of pose.on_device keeps all three steps on the device. `build_engine` chooses an engine and runs
its self-test: the engine's heatmaps of a real person are compared with those of the network in float32.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from realtime import __version__
from realtime.config import PoseConfig
from realtime.errors import ConfigError, ModelError
from realtime.models import openvino
from realtime.models.cache import read_built
from realtime.models.choice import Choice, choose
from realtime.models.vitpose import Description, load_network, quiet
from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.decode import decode
from realtime.pose.on_device import DeviceEngine
from realtime.runtime.device import Lane, exact_float32

log = logging.getLogger(__name__)

# Largest number of people in one forward pass on a CPU. Bounds the memory; larger batches are not faster on a CPU.
_LARGEST_BATCH = 16
# Largest `deviation` of an engine's heatmaps from those of float32 that passes the self-test. Measured on random and
# trained networks, tiny to B: fp32 1e-6, fp16 0.002, bf16 0.007 to 0.02, int8 0.03 to 0.05. A wrong kernel, an overflow
# or a swapped axis yields 1 or more.
TOLERANCE = {"fp32": 0.01, "fp16": 0.05, "bf16": 0.15, "int8": 0.5}
# Layers of an int8 network that stay in float (regular expressions). A quantised head changed the scores of the trained
# tiny network by up to 0.15 and more than doubled its keypoint error (p99 1.06 instead of 0.43 pixels).
_NOT_QUANTIZED = (r".*module\.head[./].*",)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Calibration crops: every box is used _JITTERED times, moved and resized by up to _JITTER of its sides, because a
# tracker's boxes vary too.
_JITTER = 0.15
_JITTERED = 24


class People(NamedTuple):
    """An image of real people, to test engines and to calibrate int8 networks."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR
    xyxy: NDArray[np.float32]  # (N, 4), N >= 1, pixels of the image


class Engine(Protocol):
    """Computes the heatmaps of people in frames, and their peaks.

    Attributes:
        name: engine and precision for the log, such as "openvino bf16".
    """

    name: str

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the peaks of the heatmaps of P >= 1 people: float32 (P, K, 3) x, y in heatmap pixels, score 0..1."""
        ...

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the heatmaps of P >= 1 people, float32 (P, K, h, w), for the self-test."""
        ...

    def warm_up(self) -> None:
        """Run the engine, so that the first frame is not slower than the others."""
        ...


class HostEngine:
    """Runs crops, network and decoder on the CPU.

    Example:
        >>> rows, columns = np.mgrid[:64, :48]
        >>> bump = np.exp(-((columns - 20) ** 2 + (rows - 30) ** 2) / 8).astype(np.float32)
        >>> def network(crops):  # a stand-in with one keypoint
        ...     return np.tile(bump, (len(crops), 1, 1, 1))
        >>> engine = HostEngine(network, (192, 256), 2.0, "stand-in")
        >>> image, boxes = np.zeros((240, 320, 3), np.uint8), np.array([[10, 20, 50, 120]], np.float32)
        >>> engine.peaks(Crowd([image], np.array([0]), *windows(boxes, (192, 256)))).round(2).tolist()
        [[[20.0, 30.0, 1.0]]]
    """

    def __init__(
        self,
        network: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        input_size: tuple[int, int],
        sigma: float,
        name: str,
    ) -> None:
        """Build an engine from a network.

        Args:
            network: maps uint8 crops (P, h, w, 3) BGR to float32 heatmaps (P, K, h', w').
            input_size: width and height of the crops in pixels.
            sigma: standard deviation of the decoder's blur, in heatmap pixels.
            name: engine and precision for the log.
        """
        self._network = network
        self._input_size = input_size
        self._sigma = sigma
        self.name = name

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the peaks of P >= 1 people, float32 (P, K, 3), computed in batches of at most _LARGEST_BATCH."""
        found = []
        for people in even_parts(len(crowd.owners), _LARGEST_BATCH):
            places, scores = decode(self.heatmaps(crowd.part(people)), self._sigma)
            found.append(np.concatenate((places, scores[..., np.newaxis]), axis=2))
        return np.concatenate(found)

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """Return the heatmaps of P >= 1 people, float32 (P, K, h', w'), from one forward pass."""
        return self._network(crop_people(*crowd, self._input_size))

    def warm_up(self) -> None:
        """Run once for one person and once for two."""
        width, height = self._input_size
        for people in (1, 2):
            decode(self._network(np.zeros((people, height, width, 3), np.uint8)), self._sigma)


def even_parts(count: int, largest: int) -> Iterator[slice]:
    """Split range(count) into the fewest parts of at most `largest`, with sizes that differ by at most 1.

    A batch that is one person too large therefore becomes two halves, not a full batch and a batch of one.

    Example:
        >>> list(even_parts(17, 16))
        [slice(0, 8, None), slice(8, 17, None)]
    """
    parts = -(-count // largest)
    for i in range(parts):
        yield slice(i * count // parts, (i + 1) * count // parts)


# ---- building and testing


class Setup(NamedTuple):
    """Everything that an engine is built from."""

    folder: Path  # the checkpoint
    about: Description  # its description
    device: torch.device  # the device that runs the network
    config: PoseConfig  # the pose section
    people: People  # for the self-test and the calibration
    cache: Path  # folder for converted networks


def build_engine(setup: Setup) -> Engine:
    """Build the engine that the configuration selects, and run its self-test.

    If `auto` chose the precision and the test fails, the same engine is built and tested again in fp32.

    Raises:
        ConfigError: the engine or the precision is not available on this device.
        ModelError: the folder holds no ViTPose checkpoint, or the self-test failed and `self_test` is "stop".
    """
    config = setup.config
    choice = choose("pose", setup.device, config)
    engine, off = _build_and_test(choice, setup)
    if off > TOLERANCE[choice.precision] and config.precision == "auto" and choice.precision != "fp32":
        log.warning("pose: %s; using fp32 instead", _is_off(engine, off))
        choice = choice._replace(precision="fp32")
        engine, off = _build_and_test(choice, setup)
    if off > TOLERANCE[choice.precision]:
        advice = f"{_is_off(engine, off)}; try --pose.precision fp32 or --pose.engine torch"
        if config.self_test == "stop":
            raise ModelError(f"pose: {advice}, or --pose.self-test warn to run anyway")
        log.warning("pose: %s", advice)
    chosen = "auto chose" if "auto" in (config.engine, config.precision) else "runs on"
    log.info("pose: %s %s (self-test: deviates by %.1g from fp32)", chosen, engine.name, off)
    return engine


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


def _is_off(engine: Engine, off: float) -> str:
    return f"the self-test of {engine.name} failed: its heatmaps deviate by {off:.2g} (relative RMS) from those of fp32"


def _build_and_test(choice: Choice, setup: Setup) -> tuple[Engine, float]:
    """Build an engine, and measure how far its heatmaps deviate from those of float32."""
    build = _build_openvino if choice.engine == "openvino" else _build_torch
    engine, expected = build(choice, setup)
    one = Crowd([setup.people.image], np.zeros(1, np.intp), *windows(setup.people.xyxy[:1], setup.about.input_size))
    return engine, deviation(engine.heatmaps(one), expected)


def _build_torch(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32]]:
    size, sigma, device = setup.about.input_size, setup.config.decode_sigma, setup.device
    network = load_network(setup.folder, size)
    expected = _reference(network, setup)
    network.compute_in(_DTYPES[choice.precision])
    if choice.precision == "fp32":
        exact_float32()
    if device.type == "cpu":
        return HostEngine(TorchNetwork(network), size, sigma, str(choice)), expected
    return DeviceEngine(network, device, size, sigma, f"{choice} on {device}"), expected


def _build_openvino(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32]]:
    size, quantized = setup.about.input_size, choice.precision == "int8"

    def build(into: Path) -> None:
        log.info("pose: converting the network for OpenVINO; later starts reuse the result")
        network = load_network(setup.folder, size)
        np.save(into / "expected.npy", _reference(network, setup))
        with quiet():
            openvino.convert(network, torch.from_numpy(_crops(setup)), into / "network.xml")
        if quantized:
            _quantize(setup, into)

    sample = hashlib.sha256(setup.people.image.tobytes() + setup.people.xyxy.tobytes()).hexdigest()
    versions = [importlib.metadata.version(library) for library in ("torch", "transformers")]
    key = [setup.about.digest, f"{size[0]}x{size[1]}", sample, openvino.version(), *versions, __version__]
    key += ["int8", *_NOT_QUANTIZED] if quantized else []
    file = "int8.xml" if quantized else "network.xml"

    def read(folder: Path) -> tuple[Any, NDArray[np.float32]]:
        return openvino.read(folder / file), np.load(folder / "expected.npy")

    model, expected = read_built(setup.cache, key, build, read)
    network = openvino.OpenVinoNetwork(model, choice.precision)
    return HostEngine(network, size, setup.config.decode_sigma, str(choice)), expected


def _quantize(setup: Setup, into: Path) -> None:
    try:
        openvino.quantize(into / "network.xml", _calibration_crops(setup), _NOT_QUANTIZED, into / "int8.xml")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"pose.precision: int8 needs the extra 'int8' ({error.name} is not installed): "
            "pip install 'realtime-pose[int8]'"
        ) from None


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
    return crop_people([setup.people.image], np.zeros(len(xyxy), np.intp), *windows(xyxy, size), size)
