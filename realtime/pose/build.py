"""Building an engine: from a ViTPose checkpoint to an `Engine` that has passed its self-test.

Used by realtime.loading at the start, before any camera opens. The self-test compares the engine's heatmaps of a real
person with those of the network in float32.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime import __version__
from realtime.config import PoseConfig
from realtime.errors import ConfigError, EngineError
from realtime.models import openvino
from realtime.models.cache import built_once
from realtime.models.choice import Choice
from realtime.models.converted import Converted, is_converted, read, read_exported, version_of, write
from realtime.models.description import Description
from realtime.models.proof import Verdict, proven, remembered
from realtime.pose.crop import Crowd
from realtime.pose.engine import Engine, HostEngine
from realtime.runtime.device import AnyDevice

# The source files that decide what a converted network computes, and what its self-test expects and measures.
_SOURCES = [Path(__file__).with_name(f"{name}.py") for name in ("build", "build_torch", "crop", "engine")]
# Largest `deviation` of an engine's heatmaps from those of float32 that passes the self-test. Measured on random and
# trained networks, tiny to B: fp32 1e-6, fp16 0.002, bf16 0.007 to 0.02, int8 0.03 to 0.05. A wrong kernel, an overflow
# or a swapped axis yields 1 or more.
TOLERANCE = {"fp32": 0.01, "fp16": 0.05, "bf16": 0.15, "int8": 0.5}


class People(NamedTuple):
    """An image of real people, to test engines and to calibrate int8 networks."""

    image: NDArray[np.uint8]  # (H, W, 3) BGR
    xyxy: NDArray[np.float32]  # (N, 4), N >= 1, pixels of the image


class Setup(NamedTuple):
    """Everything that an engine is built from."""

    path: Path  # the checkpoint: a folder or a file
    about: Description  # its description
    device: AnyDevice  # the device that runs the network
    choice: Choice  # the engine and its precision
    config: PoseConfig  # the pose section
    people: People  # for the self-test and the calibration
    cache: Path  # folder for converted networks


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
    engine, expected, identity = build(choice, setup)
    geometry = setup.about.skeleton.geometry

    def test() -> Verdict:
        one = Crowd.of([setup.people.image], [setup.people.xyxy[:1]], setup.about.input_size, geometry)
        off = deviation(engine.heatmaps(one), expected)
        finding = f"its heatmaps deviate from those of fp32 by {off:.2g}, relative RMS"
        return Verdict(off <= TOLERANCE[choice.precision], finding)

    return engine, remembered(setup.cache, identity, choice, _SOURCES, test)


def _build_torch(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32], str]:
    if _is_exported(setup):
        raise EngineError("a converted network runs in OpenVINO only")
    from realtime.pose.build_torch import torch_engine

    engine, expected = torch_engine(choice, setup)
    return engine, expected, ""


def _build_openvino(choice: Choice, setup: Setup) -> tuple[Engine, NDArray[np.float32], str]:
    """Build an engine that runs in OpenVINO, from the cache if the network was converted before: without torch then."""
    network = (_exported if _is_exported(setup) else converted)(choice, setup)
    runs = openvino.OpenVinoNetwork(network.model, choice.precision)
    engine = HostEngine(runs, setup.about.input_size, setup.config.decode_sigma, str(choice))
    return engine, network.expected, network.identity


def _exported(choice: Choice, setup: Setup) -> Converted:
    """Read a network that was exported.

    Raises:
        ModelError: it can't be read.
        ConfigError: it was converted for another precision.
    """
    network = read_exported(setup.path, "vitpose")
    stored = network.about.get("precision")
    if (stored == "int8") != (choice.precision == "int8"):
        theirs = "int8" if stored == "int8" else "auto"
        raise ConfigError(
            f"pose.precision: got {setup.config.precision} for the converted network {setup.path}, expected {theirs}; "
            f"to change that, export it again with --pose.precision {setup.config.precision}"
        )
    return network


def _is_exported(setup: Setup) -> bool:
    return setup.path.is_dir() and is_converted(setup.path)


def converted(choice: Choice, setup: Setup) -> Converted:
    """Return the network converted for OpenVINO, from the cache if it is there. torch is loaded only if it isn't.

    Raises:
        ModelError: the path holds no ViTPose checkpoint.
        EngineError: the network can't be converted.
        ConfigError: int8 needs a package that is not installed.
    """
    quantized = choice.precision == "int8"
    halve = choice.precision in ("bf16", "fp16")

    def build() -> Converted:
        from realtime.pose.build_torch import convert

        model, expected = convert(setup, quantized=quantized)
        return Converted(model, {"kind": "vitpose", "precision": stored, **setup.about.as_json()}, expected)

    stored = "int8" if quantized else "halved" if halve else "fp32"
    size = setup.about.input_size
    sample = hashlib.sha256(setup.people.image.tobytes() + setup.people.xyxy.tobytes()).hexdigest()
    versions = [version_of(library) for library in ("torch", "transformers")]
    code = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()
    key = [setup.about.digest, f"{size[0]}x{size[1]}", sample, openvino.version(), *versions, __version__, code, stored]
    network: Converted = built_once(setup.cache, key, build, partial(write, halve=halve), _read)
    return network


def _read(folder: Path) -> Converted:
    network = read(folder, "vitpose")
    about = Description.read(network.about)
    if network.expected.ndim != 4 or network.expected.shape[1] != len(about.skeleton):
        raise ValueError("the reference of the self-test has another shape")
    return network
