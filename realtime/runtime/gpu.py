"""Which GPUs torch can use, and why it can't use one. It imports torch.

runtime/device.py asks, if the machine may have a GPU.
"""

from __future__ import annotations

import re

import torch

import realtime.runtime.torch_settings  # noqa: F401 - before other libraries change torch's settings
from realtime.errors import first_line
from realtime.runtime.device import AnyDevice


def has_mps() -> bool:
    """Whether torch can use an Apple GPU of this machine."""
    return torch.backends.mps.is_available()


def cuda_problem(index: int) -> str | None:
    """Return why torch can't use this CUDA device, and what to do, as a clause; None if it can."""
    ours = f"torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{ours} is built without CUDA: install a build with it (https://pytorch.org/get-started/locally)"
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]  # torch
        except Exception as error:  # of several types
            return f"{ours} can't use a GPU ({first_line(error)}): install a driver that fits"
        return f"{ours} sees no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES"
    if index >= (count := torch.cuda.device_count()):
        return f"{ours} sees {count} CUDA devices: expected cuda:0{f' to cuda:{count - 1}' if count > 1 else ''}"
    capability = torch.cuda.get_device_capability(index)
    if not _is_built_for(capability, torch.cuda.get_arch_list()):
        gpu, (major, minor) = torch.cuda.get_device_name(index), capability
        return (
            f"{ours} has no code for the {gpu}, of compute capability {major}.{minor}: install a build of torch for it "
            "(https://pytorch.org/get-started/locally)"
        )
    return None


def has_tensor_cores(device: AnyDevice) -> bool:
    """Whether a CUDA device computes products of 16-bit matrices in hardware."""
    return torch.cuda.get_device_capability(torch.device(str(device))) >= (7, 0)


def _is_built_for(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Whether a build of torch has code for a GPU.

    >>> _is_built_for((8, 9), ["sm_80", "sm_90"]), _is_built_for((7, 0), ["sm_80", "sm_90"])
    (True, False)

    Args:
        capability: the GPU's compute capability, major and minor.
        built_for: architectures: sm_90 runs on 9.0 and later 9.x, compute_90 is compiled for any later one when it is
            loaded, sm_90a runs on 9.0 only. On AMD's GPUs they have other names, and torch itself reports problems.
    """
    known = [re.fullmatch(r"(sm|compute)_(\d+)(\d)(a?)f?", name) for name in built_for]
    architectures = [(match[1], (int(match[2]), int(match[3])), bool(match[4])) for match in known if match]
    return not architectures or any(
        code == capability or (not is_exact and code < capability and (kind == "compute" or code[0] == capability[0]))
        for kind, code, is_exact in architectures
    )
