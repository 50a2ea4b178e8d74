"""Which engine runs a network on this device, and in which precision.

`loading` chooses once for each model, and refuses an impossible choice before any model loads; models.yolo and
pose.build then build it. `engine` and `precision` mean the same for the detector as for the pose model.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, NamedTuple

from realtime.config import DetectorConfig, PoseConfig
from realtime.errors import ConfigError
from realtime.models import openvino
from realtime.models.cache import cache_folder
from realtime.models.speeds import Kind, Speeds, speeds
from realtime.runtime.device import AnyDevice

log = logging.getLogger(__name__)

# `auto` takes 16 bits only if they are this many times as fast as fp32, because fp32 is more accurate. The measured
# ratio repeats within 3 %, also beside other programs that keep all cores busy.
_CLEARLY = 1.1


class Choice(NamedTuple):
    """An engine and the precision that it computes in."""

    engine: Literal["torch", "openvino"]
    precision: openvino.Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


EXACT = Choice("torch", "fp32")


def choose(section: str, device: AnyDevice, config: DetectorConfig | PoseConfig, kind: Kind | None) -> Choice:
    """Resolve `engine` and `precision` of a configuration section for a device.

    `auto` is resolved as follows; an explicit value is never replaced, but a precision that is slower than fp32 here is
    warned about.

    - engine: openvino on a CPU if OpenVINO is installed, otherwise torch.
    - precision: fp16 on a GPU with tensor cores; with OpenVINO, bf16 or fp16 if the CPU supports it natively and
      is clearly faster in it than in fp32 (models.speeds); otherwise fp32.

    Args:
        section: the name of the section, for error messages: "pose".
        device: where the network will run.
        config: the section.
        kind: the kind of network; None: measure nothing, because the network will run elsewhere.

    Raises:
        ConfigError: the engine or the precision is not available on this device.

    >>> from realtime.config import PoseConfig
    >>> from realtime.runtime.device import Device
    >>> str(choose("pose", Device("cpu"), PoseConfig(engine="torch", precision="auto"), "transformer"))
    'torch fp32'
    >>> choose("pose", Device("cuda", 0), PoseConfig(engine="auto", precision="bf16"), "transformer")
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
        return Choice(engine, _openvino_precision(section, config.precision, kind))
    if config.precision == "int8":
        raise ConfigError(
            f"{section}.precision: got int8 with torch on {device}, but it needs --{section}.engine openvino on a CPU"
        )
    return Choice(engine, _torch_precision(device) if config.precision == "auto" else config.precision)


def _openvino_precision(section: str, wanted: str, kind: Kind | None) -> openvino.Precision:
    native = openvino.native_precisions()
    if wanted == "auto":
        return _fastest(section, native, kind)
    for precision in native:
        if precision == wanted:
            if precision != "fp32" and (found := _speeds(kind, [precision])):
                _tell(section, found, precision)
            return precision
    others = [precision for precision in native if precision != "int8" or section == "pose"]
    raise ConfigError(
        f"{section}.precision: got {wanted}, which this CPU does not support; expected one of {', '.join(others)}"
    )


def _fastest(section: str, native: Sequence[openvino.Precision], kind: Kind | None) -> openvino.Precision:
    """The fastest of the native precisions of at least 16 bits, as far as it is known; int8 costs accuracy."""
    halves = [precision for precision in native if precision in ("bf16", "fp16")]
    found = _speeds(kind, halves) if halves else None
    if found is None:
        return "bf16" if "bf16" in native else "fp32"
    best = max(halves, key=found.gain)
    taken = best if found.gain(best) >= _CLEARLY else "fp32"
    _tell(section, found, taken)
    return taken


def _speeds(kind: Kind | None, others: Sequence[openvino.Precision]) -> Speeds | None:
    return speeds(kind, ("fp32", *others), cache_folder() / "compiled" / "speeds.json") if kind else None


def _tell(section: str, found: Speeds, taken: openvino.Precision) -> None:
    """Log the measured speed; warn if it is below that of fp32, which only a precision set by name can be."""
    gain = found.gain(taken)
    if gain < 1:
        text = "%s.precision: %s is slower than fp32 on this processor (%.2f times its speed); try --%s.precision auto"
        log.warning(text, section, taken, gain, section)
        return
    gains = ", ".join(f"{each} {found.gain(each):.2f}" for each in found.times_ms if each != "fp32")
    level, when = (logging.INFO, "here") if found.is_new else (logging.DEBUG, "by an earlier start")
    log.log(level, "%s: measured %s: %s times as fast as fp32; taken: openvino %s", section, when, gains, taken)


def _torch_precision(device: AnyDevice) -> openvino.Precision:
    """fp16 on a GPU with tensor cores, because it has three more significant bits than bf16; otherwise fp32."""
    if device.type != "cuda":
        return "fp32"
    from realtime.runtime.gpu import has_tensor_cores

    return "fp16" if has_tensor_cores(device) else "fp32"
