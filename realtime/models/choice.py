"""Which engine runs a network on this device, and in which precision.

`loading` chooses once for each model, and refuses an impossible choice before any model loads; models.yolo and
pose.build then build it. `engine` and `precision` mean the same for the detector as for the pose model.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import ConfigError
from realtime.models import openvino
from realtime.runtime.device import AnyDevice


class Choice(NamedTuple):
    """An engine and the precision that it computes in."""

    engine: Literal["torch", "openvino"]
    precision: openvino.Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


EXACT = Choice("torch", "fp32")


def choose(section: str, device: AnyDevice, config: DetectorConfig | PoseConfig) -> Choice:
    """Resolve `engine` and `precision` of a configuration section for a device.

    `auto` is resolved as follows; an explicit value is never replaced.

    - engine: openvino on a CPU if OpenVINO is installed, otherwise torch.
    - precision: fp16 on a GPU with tensor cores, bf16 with OpenVINO on a CPU that supports it, otherwise fp32.

    Args:
        section: the name of the section, for error messages: "pose".
        device: where the network will run.
        config: the section.

    Raises:
        ConfigError: the engine or the precision is not available on this device.

    >>> from realtime.config import PoseConfig
    >>> from realtime.runtime.device import Device
    >>> str(choose("pose", Device("cpu"), PoseConfig(engine="torch", precision="auto")))
    'torch fp32'
    >>> choose("pose", Device("cuda", 0), PoseConfig(engine="auto", precision="bf16"))
    Choice(engine='torch', precision='bf16')
    """
    engine = config.engine
    if engine == "auto":
        engine = "openvino" if device.type == "cpu" and openvino.is_installed() else "torch"
    if engine == "openvino":
        if device.type != "cpu":
            raise ConfigError(
                f"{section}.engine: got openvino on {device}, but it runs on a CPU only; use torch or --device cpu"
            )
        if not openvino.is_installed():
            raise ConfigError(
                f"{section}.engine: got openvino, which is not installed; run pip install openvino, or use torch"
            )
        return Choice(engine, _openvino_precision(section, config.precision))
    if config.precision == "int8":
        raise ConfigError(
            f"{section}.precision: got int8 with torch on {device}, but it needs --{section}.engine openvino on a CPU"
        )
    return Choice(engine, _torch_precision(device) if config.precision == "auto" else config.precision)


def _openvino_precision(section: str, wanted: str) -> openvino.Precision:
    native = openvino.native_precisions()
    if wanted == "auto":
        return "bf16" if "bf16" in native else "fp32"
    for precision in native:
        if precision == wanted:
            return precision
    others = [precision for precision in native if precision != "int8" or section == "pose"]
    raise ConfigError(
        f"{section}.precision: got {wanted}, which this CPU does not support; expected one of {', '.join(others)}"
    )


def _torch_precision(device: AnyDevice) -> openvino.Precision:
    """fp16 on a GPU with tensor cores, because it has three more significant bits than bf16; otherwise fp32."""
    if device.type != "cuda":
        return "fp32"
    from realtime.runtime.gpu import has_tensor_cores

    return "fp16" if has_tensor_cores(device) else "fp32"
