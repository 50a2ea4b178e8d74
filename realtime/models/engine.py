"""Which engine computes a network on this device, and in which numbers.

Used by loading (what can't be had is said before anything loads), models.ultralytics and pose.engine: `engine` and
`precision` mean the same for the detector and the pose model.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch

from realtime.errors import ConfigError
from realtime.models import openvino


class Choice(NamedTuple):
    """What will compute."""

    engine: str  # torch, openvino
    precision: openvino.Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class Wish(Protocol):
    """The configuration section of a model."""

    @property
    def engine(self) -> str:
        """auto, torch or openvino."""
        ...

    @property
    def precision(self) -> str:
        """auto, fp32, bf16, fp16 or int8."""
        ...


def choose(section: str, device: torch.device, wish: Wish) -> Choice:
    """What `engine` and `precision` of a section ask for, or the fastest of the exact ones where they say auto.

    Args:
        section: its name, for the error: "pose".
        device: where the network is to run.
        wish: the section.

    Raises:
        ConfigError: it can't be had on this device; what was asked for is never replaced by something else.
    """
    engine = wish.engine
    if engine == "auto":
        engine = "openvino" if device.type == "cpu" and openvino.is_installed() else "torch"
    if engine == "openvino":
        if device.type != "cpu":
            raise ConfigError(
                f"{section}.engine: got openvino on {device}, it runs on a CPU alone: torch, or --device cpu"
            )
        if not openvino.is_installed():
            raise ConfigError(f"{section}.engine: got openvino, which is not installed: pip install openvino, or torch")
        return Choice(engine, _openvino_precision(section, wish.precision))
    if wish.precision == "int8":
        raise ConfigError(
            f"{section}.precision: got int8 with torch on {device}, it needs --{section}.engine openvino on a CPU"
        )
    return Choice(engine, _torch_precision(device) if wish.precision == "auto" else _named(wish.precision))


def _openvino_precision(section: str, wanted: str) -> openvino.Precision:
    native = openvino.native_precisions()
    if wanted == "auto":
        return "bf16" if "bf16" in native else "fp32"
    for precision in native:
        if precision == wanted:
            return precision
    others = [precision for precision in native if precision != "int8" or section == "pose"]
    raise ConfigError(f"{section}.precision: got {wanted}, which this CPU has not; expected one of {', '.join(others)}")


def _torch_precision(device: torch.device) -> openvino.Precision:
    """Half floats where a GPU has units for them: three more bits than bf16. Elsewhere float32."""
    tensor_cores = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)
    return "fp16" if tensor_cores else "fp32"


def _named(precision: str) -> openvino.Precision:
    names: dict[str, openvino.Precision] = {"fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}
    return names[precision]
