"""Devices: which one `--device` means on this machine, and the errors of a GPU in one line.

Used by loading, which asks for the device, and on the data path by the models, whose lanes (runtime/lane.py) run there.
torch is imported only if the machine may have a GPU that torch can use: importing it takes two seconds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from realtime.errors import ConfigError, DeviceError, MemoryFullError, first_line

log = logging.getLogger(__name__)

# The driver creates this file. In a container without access to the GPUs it is there too, and explains why it is slow.
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# On Linux, torch finds a GPU only through one of these files: NVIDIA's driver, Windows' (WSL), and AMD's.
_GPU_FILES = "/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/dev/nvhost*", "/dev/nvmap"

# Messages of torch, CUDA and its libraries.
_MEMORY_FULL = re.compile(r"out of memory|CU[A-Z]+_STATUS_ALLOC_FAILED")
_FAILURE = re.compile(r"CUDA (driver )?error|CU[A-Z]+_STATUS_|cuDNN error|unable to find an engine to execute")


class AnyDevice(Protocol):
    """A device by torch's names: a `Device`, or torch's own object. Its text is "cpu", "cuda:0" or "mps"."""

    @property
    def type(self) -> str:
        """The kind of device: cpu, cuda or mps."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device by torch's names, without torch.

    >>> str(Device("cuda", 1)), str(Device("cpu"))
    ('cuda:1', 'cpu')

    Attributes:
        type: cpu, cuda or mps.
        index: the number of a CUDA device.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = Device("cpu")


def resolve_device(name: str) -> Device:
    """Return the device for a value of `--device`.

    Args:
        name: auto, cpu, cuda, cuda:N or mps. `auto` chooses the first CUDA device, else MPS, else
            the CPU, and logs its choice. It warns if the machine has a GPU that torch can't use.

    Raises:
        ConfigError: this machine has no such device, or torch can't use it.
    """
    kind, _, number = name.partition(":")
    if kind == "auto":
        chosen = _best()
        log.info("device: auto chose %s", chosen)
        return chosen
    device = Device(kind, int(number) if number else None)
    if kind != "cpu" and not _has_torch():
        raise ConfigError(
            f"device: got {name}, which needs torch, and torch is not installed: pip install 'realtime-pose[run]'"
        )
    if kind == "cuda":
        from realtime.runtime.gpu import cuda_problem

        if problem := cuda_problem(device.index or 0):
            raise ConfigError(f"device: got {name}, but {problem}; or use --device auto")
    if kind == "mps":
        from realtime.runtime.gpu import has_mps

        if not has_mps():
            raise ConfigError(
                "device: got mps, but this machine has no Apple GPU that torch can use; try --device auto"
            )
    return device


def _best() -> Device:
    """The first CUDA device, else MPS, else the CPU. Warn of an NVIDIA GPU that can't be used."""
    if not _has_torch():
        if _has_nvidia_gpu():
            log.warning(
                "device: this machine has an NVIDIA GPU, but torch, which runs models on it, is not installed: "
                "pip install 'realtime-pose[run]'"
            )
        return CPU
    if not _may_have_gpu():
        return CPU
    from realtime.runtime.gpu import cuda_problem, has_mps

    problem = cuda_problem(0)
    if problem is None:
        return Device("cuda", 0)
    if _has_nvidia_gpu():
        log.warning("device: this machine has an NVIDIA GPU, but %s", problem)
    return Device("mps") if has_mps() else CPU


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _may_have_gpu() -> bool:
    """Whether torch may find a GPU here. False only where it certainly finds none."""
    if sys.platform != "linux":
        return True
    return _has_nvidia_gpu() or any(next(Path("/").glob(pattern[1:]), None) for pattern in _GPU_FILES)


def _has_nvidia_gpu() -> bool:
    return _NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None


@contextlib.contextmanager
def device_errors(device: AnyDevice) -> Iterator[None]:
    """Raise the errors of a GPU as one line for the user. Other errors, and those of a CPU, are not changed.

    Raises:
        MemoryFullError: the GPU has too little memory.
        DeviceError: the GPU, its driver or one of its libraries failed. After most of these errors, every further call
            fails too, until the process ends.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError and torch.AcceleratorError are of this type
        said = first_line(error)
        if device.type == "cpu" or not (_MEMORY_FULL.search(said) or _FAILURE.search(said)):
            raise
        if _MEMORY_FULL.search(said):
            what, mark, _ = said.partition(" is free")  # the rest is about torch's allocator
            advice = "choose a smaller pose.model or detector.weights, or --device cpu"
            raise MemoryFullError(f"{device}: not enough memory ({what}{mark}): {advice}") from error
        raise DeviceError(
            f"{device}: the GPU failed ({said}): start again; if it fails again, check nvidia-smi and the driver, or "
            "use --device cpu"
        ) from error
