"""Engines: what computes the peaks of a ViTPose network's heatmaps, on which device and in which numbers.

Used by pose.vitpose. Two paths lead from frames to peaks: on a CPU the crops and the decoder are ours and the network
is torch's or OpenVINO's (`HostEngine`, here); on a GPU all of it stays there (pose.on_device). `build_engine` chooses
one and tests it: its heatmaps of a real person are compared with those of the published network in float32.
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
from realtime.models.engine import Choice, choose
from realtime.pose.checkpoint import Description, load_network, quiet
from realtime.pose.crop import Crowd, crop_people, windows
from realtime.pose.decode import decode
from realtime.pose.on_device import DeviceEngine
from realtime.runtime.device import Lane, exact_float32

log = logging.getLogger(__name__)

# People in one forward pass on a CPU. Bounds the memory; a CPU gains nothing from more.
_LARGEST_BATCH = 16
# How far heatmaps may be off those of float32: root mean square of the difference over that of the heatmaps (around
# each map's mean). Measured on random and trained networks, tiny to B: fp32 1e-6, fp16 0.002, bf16 0.007 to 0.02, int8
# 0.03 to 0.05; a wrong kernel, an overflow or a swapped axis gives 1 and more.
TOLERANCE = {"fp32": 0.01, "fp16": 0.05, "bf16": 0.15, "int8": 0.5}
# What stays in float in an int8 network. A rounded head cost the trained tiny network up to 0.15 of a score and half of
# its precision (p99 1.06 instead of 0.43 pixels).
_NOT_QUANTIZED = (r".*module\.head[./].*",)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# The boxes of the calibration pictures are moved and resized by up to so much of their sides, as a tracker's are.
_JITTER = 0.15
_JITTERED = 24


class People(NamedTuple):
    """A picture of real people: what an engine is tested with, and an int8 one calibrated."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR
    xyxy: NDArray[np.float32]  # (N, 4), N >= 1, pixels of the image


class Engine(Protocol):
    """From boxes in frames to the peaks of their heatmaps.

    Attributes:
        name: what the log calls it: "openvino bf16".
    """

    name: str

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """The peaks of the heatmaps of P >= 1 people: float32 (P, K, 3) x, y in heatmap pixels, score 0..1."""
        ...

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """The same people's heatmaps, float32 (P, K, h, w): what the self-test looks at."""
        ...

    def warm_up(self) -> None:
        """Make ready what the first frame would else wait for."""
        ...


class HostEngine:
    """Crops and peaks on the CPU, around a network that runs there."""

    def __init__(
        self,
        network: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        input_size: tuple[int, int],
        sigma: float,
        name: str,
    ) -> None:
        """Put the parts together.

        Args:
            network: uint8 crops (P, h, w, 3) BGR -> float32 heatmaps (P, K, h', w').
            input_size: width and height of the crops.
            sigma: of the decoder, see pose.decode.
            name: see Engine.
        """
        self._network = network
        self._input_size = input_size
        self._sigma = sigma
        self.name = name

    def peaks(self, crowd: Crowd) -> NDArray[np.float32]:
        """See Engine."""
        found = []
        for people in even_parts(len(crowd.owners), _LARGEST_BATCH):
            places, scores = decode(self.heatmaps(crowd.part(people)), self._sigma)
            found.append(np.concatenate((places, scores[..., np.newaxis]), axis=2))
        return np.concatenate(found)

    def heatmaps(self, crowd: Crowd) -> NDArray[np.float32]:
        """See Engine."""
        return self._network(crop_people(*crowd, self._input_size))

    def warm_up(self) -> None:
        """Run once each for one person and for several."""
        width, height = self._input_size
        for people in (1, 2):
            decode(self._network(np.zeros((people, height, width, 3), np.uint8)), self._sigma)


def even_parts(count: int, largest: int) -> Iterator[slice]:
    """0..count - 1 in parts of nearly the same size, none over `largest`: a person more never costs a whole batch."""
    parts = -(-count // largest)
    for i in range(parts):
        yield slice(i * count // parts, (i + 1) * count // parts)


# ---- building and proving


class Setup(NamedTuple):
    """All that an engine is made of."""

    folder: Path  # of the checkpoint
    about: Description  # what it says
    device: torch.device  # where to run
    config: PoseConfig
    people: People  # to test and to calibrate with
    cache: Path  # folder for converted networks


def build_engine(setup: Setup) -> Engine:
    """The chosen engine, tested.

    Raises:
        ConfigError: see choose.
        ModelError: no ViTPose checkpoint; or the engine's heatmaps are not those of float32.
    """
    config = setup.config
    choice = choose("pose", setup.device, config)
    engine, off = _build_and_test(choice, setup)
    if off > TOLERANCE[choice.precision] and config.precision == "auto" and choice.precision != "fp32":
        log.warning("pose: %s; fp32 takes its place", _is_off(engine, off))
        choice = choice._replace(precision="fp32")
        engine, off = _build_and_test(choice, setup)
    if off > TOLERANCE[choice.precision]:
        advice = f"{_is_off(engine, off)}; try --pose.precision fp32 or --pose.engine torch"
        if config.self_test == "stop":
            raise ModelError(f"pose: {advice}, or --pose.self-test warn to run all the same")
        log.warning("pose: %s", advice)
    chosen = "auto chose" if "auto" in (config.engine, config.precision) else "runs on"
    log.info("pose: %s %s (self-test: %.1g off fp32)", chosen, engine.name, off)
    return engine


def deviation(heatmaps: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Root mean square of the difference, relative to that of the expected heatmaps around each one's mean.

    Args:
        heatmaps: float32 (P, K, h, w).
        expected: likewise.

    Returns:
        0 where they are equal, about 1 where they have nothing in common; infinite where something isn't finite.
    """
    if not np.isfinite(heatmaps).all():
        return float("inf")
    signal = expected - expected.mean(axis=(2, 3), keepdims=True)
    return float(np.sqrt(np.square(heatmaps - expected).mean() / max(np.square(signal).mean(), 1e-12)))


def _is_off(engine: Engine, off: float) -> str:
    return f"the self-test of {engine.name} failed: its heatmaps are {off:.2g} of their height off those of fp32"


def _build_and_test(choice: Choice, setup: Setup) -> tuple[Engine, float]:
    """An engine, and how far off it is."""
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
        log.info("pose: converting the network for OpenVINO, once")
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
    """A torch network on the CPU behind numpy."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network
        self._lane = Lane(torch.device("cpu"))

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Heatmaps float32 (P, K, h', w') of crops uint8 (P, h, w, 3) BGR."""
        with self._lane.run(), self._lane.compute():
            return np.asarray(self._lane.download(self._network(self._lane.upload(crops))), np.float32)


def _crops(setup: Setup) -> NDArray[np.uint8]:
    """The people in their boxes, uint8 (N, h, w, 3) BGR."""
    return _crops_of(setup.people.xyxy, setup)


def _reference(network: torch.nn.Module, setup: Setup) -> NDArray[np.float32]:
    """The first person's heatmaps, from the network in float32 on the CPU."""
    return TorchNetwork(network)(_crops(setup)[:1])


def _calibration_crops(setup: Setup) -> NDArray[np.uint8]:
    """What an int8 network is calibrated on: the people as a tracker may box them, every other one in a mirror.

    Returns:
        uint8 (24 N, h, w, 3) BGR, the same for the same people.
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
