"""Devices and lanes: where a model runs and how data gets there and back.

Used by the model files on the data path; the only other torch code in the package. A lane is a model's own device,
CUDA stream and pinned buffers; on a CPU all of it does nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ConfigError
from realtime.runtime.share import cores

log = logging.getLogger(__name__)


def resolve_device(name: str) -> torch.device:
    """The device that `--device` asks for.

    Args:
        name: auto, cpu, cuda, cuda:N or mps. `auto` takes the first CUDA device, then MPS, then the CPU, and logs it.

    Raises:
        ConfigError: this device is not there.
    """
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        chosen = "cuda:0" if cuda else "mps" if mps else "cpu"
        log.info("device: auto chose %s", chosen)
        return torch.device(chosen)
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= cuda:
        raise ConfigError(
            f"device: got {name}, but torch {torch.__version__} sees {cuda} CUDA devices, try --device auto"
        )
    if device.type == "mps" and not mps:
        raise ConfigError("device: got mps, but this machine has no Apple GPU that torch can use, try --device auto")
    return device


class Lane:
    """One model's way through a device: its own stream, pinned uploads, downloads that wait for this stream alone.

    On a GPU use it from one thread. Nothing here synchronises the whole device.

    Attributes:
        device: where it is.
        stream: the CUDA stream that computes; None elsewhere.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch
        self._uploads = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Inference mode, the calling thread's own, and on a GPU this lane's stream: enter it for each call."""
        with torch.inference_mode(), torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def compute(self) -> Iterator[None]:
        """Within `run`, a network's turn: on a CPU with the cores that are the caller's by then.

        The number of threads is the calling thread's own, and loading an ultralytics model changes it: for each call.
        """
        if self.stream is not None:
            yield
            return
        with cores() as count:
            if torch.get_num_threads() != count:
                torch.set_num_threads(count)
            yield

    def upload(self, array: NDArray[np.generic]) -> torch.Tensor:
        """The array on the device, same dtype and shape. On a GPU through pinned memory, asynchronously on the stream.

        On a CPU the tensor shares the array's memory: don't write to either.
        """
        tensor = torch.from_numpy(array)
        if self.stream is None:
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def send(self, array: NDArray[np.generic], target: torch.Tensor) -> None:
        """Copy the array into a tensor of the same shape and dtype, while what was queued before goes on computing.

        On a GPU through pinned memory on a stream of its own: `arrive` before the tensor is used.
        """
        if self._uploads is None:
            target.copy_(torch.tensor(array))
            return
        pinned = torch.empty(target.shape, dtype=target.dtype, pin_memory=True)
        np.copyto(pinned.numpy(), array)
        with torch.cuda.stream(self._uploads):
            target.copy_(pinned, non_blocking=True)

    def arrive(self) -> None:
        """Let what is queued next wait for all that was sent. The caller doesn't wait."""
        if self.stream is not None and self._uploads is not None:
            self.stream.wait_stream(self._uploads)

    def download(self, tensor: torch.Tensor) -> NDArray[np.generic]:
        """The tensor as numpy. Waits for the work queued on this lane's stream, and for nothing else."""
        if self.stream is None:
            return tensor.cpu().numpy()
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        pinned.copy_(tensor, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch
        done.record(self.stream)
        done.synchronize()
        return pinned.numpy()
