"""Devices and lanes: where a model runs, how data gets there and back, and the errors of a device.

Used by the detector and the pose models on the data path. A lane is a model's own CUDA stream and
its transfers through pinned memory; on a CPU these parts do nothing. A frame is sent to a device
once, for all lanes on it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ConfigError, DeviceError, MemoryFullError, first_line
from realtime.runtime.core_budget import take_cores
from realtime.types import Frame

log = logging.getLogger(__name__)

# torch crashes when two threads use an Apple GPU at the same time (pytorch issue 197805).
# Reentrant: lanes may nest.
_APPLE_GPU = threading.RLock()


# The driver creates this file. In a container without access to the GPUs it is there too, and explains why it is slow.
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")

# Messages of torch, CUDA and its libraries.
_MEMORY_FULL = re.compile(r"out of memory|CU[A-Z]+_STATUS_ALLOC_FAILED")
_FAILURE = re.compile(r"CUDA (driver )?error|CU[A-Z]+_STATUS_|cuDNN error|unable to find an engine to execute")


def resolve_device(name: str) -> torch.device:
    """Return the torch device for a value of `--device`.

    Args:
        name: auto, cpu, cuda, cuda:N or mps. `auto` chooses the first CUDA device, else MPS, else
            the CPU, and logs its choice. It warns if the machine has a GPU that torch can't use.

    Raises:
        ConfigError: this machine has no such device, or torch can't use it.
    """
    mps = torch.backends.mps.is_available()
    if name == "auto":
        problem = _cuda_problem(0)
        if problem and _has_nvidia_gpu():
            log.warning("device: this machine has an NVIDIA GPU, but %s", problem)
        chosen = "cuda:0" if problem is None else "mps" if mps else "cpu"
        log.info("device: auto chose %s", chosen)
        return torch.device(chosen)
    device = torch.device(name)
    if device.type == "cuda" and (problem := _cuda_problem(device.index or 0)):
        raise ConfigError(f"device: got {name}, but {problem}; or use --device auto")
    if device.type == "mps" and not mps:
        raise ConfigError("device: got mps, but this machine has no Apple GPU that torch can use; try --device auto")
    return device


def _cuda_problem(index: int) -> str | None:
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


def _has_nvidia_gpu() -> bool:
    return _NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None


@contextlib.contextmanager
def device_errors(device: torch.device) -> Iterator[None]:
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


def exact_float32() -> None:
    """Disable TF32 for the whole process, so that float32 on a GPU keeps all 23 mantissa bits instead of 10."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


class Lane:
    """A model's access to a device: its own CUDA stream, pinned uploads, and downloads that wait for this stream only.

    On a GPU, use a lane from one thread only. No method synchronises the whole device.

    Attributes:
        device: the device that the model runs on.
        stream: the CUDA stream that the model runs on; None on other devices.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Enter torch's inference mode and, on a CUDA device, this lane's stream.

        Both apply to the calling thread only. On an Apple GPU, only one thread at a time may be inside.

        Raises:
            MemoryFullError, DeviceError: the device failed inside (`device_errors`).
        """
        turn = _APPLE_GPU if self.device.type == "mps" else contextlib.nullcontext()
        stream = torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext()
        with device_errors(self.device), turn, torch.inference_mode(), stream:
            yield

    @contextlib.contextmanager
    def compute(self) -> Iterator[None]:
        """Enter this within `run`, around the forward pass.

        Without a CUDA stream, it takes the calling thread's core budget. torch's number of threads
        is set for each inference, because it is a setting of the calling thread and loading an
        ultralytics model changes it.
        """
        if self.stream is not None:
            yield
            return
        with take_cores() as count:
            if torch.get_num_threads() != count:
                torch.set_num_threads(count)
            yield

    def upload(self, array: NDArray[np.generic], into: torch.Tensor | None = None) -> torch.Tensor:
        """Send an array to the device, asynchronously through pinned memory on a CUDA device.

        Args:
            array: any shape and dtype.
            into: a tensor to copy the array into; None: a new tensor. On a CPU the new tensor
                shares the array's memory, so don't write to either of them.

        Returns:
            `into`, or a tensor with the array's dtype and shape.
        """
        tensor = torch.from_numpy(array)
        if self.stream is not None:
            tensor = tensor.pin_memory()
        if into is not None:
            return into.copy_(tensor, non_blocking=self.stream is not None)
        return tensor.to(self.device, non_blocking=self.stream is not None)

    def picture(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return a frame's image on the device, uint8 (H, W, 3), for work on this lane's stream. Don't write to it.

        A read-only image is sent once for all lanes of the device, and stays there until its array
        is freed. On a CUDA device it travels through pinned memory on a separate stream, while
        previously queued work continues.
        """
        sent = _pictures_on(self.device).of(image)
        if self.stream is not None:
            self.stream.wait_event(sent.arrived)
            sent.picture.record_stream(self.stream)  # keeps its memory from being reused until this lane is done
        return sent.picture

    def download(self, tensor: torch.Tensor) -> NDArray[np.generic]:
        """Return the tensor as a numpy array. Waits only for the work queued on this lane's stream."""
        if self.stream is None:
            return tensor.cpu().numpy()
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        pinned.copy_(tensor, non_blocking=True)
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch; blocking: no spinning
        done.record(self.stream)
        done.synchronize()
        return pinned.numpy()

    def free_cache(self) -> None:
        """Return torch's unused memory of CUDA devices to the driver, after an error or before a graph is captured.

        The driver then waits for the whole device.

        Raises:
            DeviceError: the device failed.
        """
        with device_errors(self.device):
            torch.cuda.empty_cache()


def sender(device: torch.device) -> Callable[[Frame], None]:
    """Return a function that sends a frame's image to a device, on the calling thread, so that lanes find it there.

    If the device's memory is full, it does nothing, and the lane that needs the image sends it. It raises DeviceError
    if the device failed.
    """
    pictures = _pictures_on(device)

    def send(frame: Frame) -> None:
        with contextlib.suppress(MemoryFullError), device_errors(device):
            pictures.of(frame.image)

    return send


class _Sent(NamedTuple):
    picture: torch.Tensor  # uint8 (H, W, 3)
    arrived: Any  # torch.cuda.Event, untyped in torch; None without CUDA


class _Pictures:
    """The images that are on a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch
        # By the array's id. An entry is removed before another array can get the same id.
        self._sent: dict[int, tuple[weakref.ref[NDArray[np.uint8]], _Sent]] = {}

    def of(self, image: NDArray[np.uint8]) -> _Sent:
        if image.flags.writeable:  # its content may change before the next call
            return self._send(image)
        key = id(image)
        if key not in self._sent:
            # No lock: the callback runs on the thread that drops the last reference, possibly in
            # the middle of this method.
            forget = weakref.ref(image, lambda _: self._sent.pop(key, None))
            self._sent[key] = forget, self._send(image)
        return self._sent[key][1]

    def _send(self, image: NDArray[np.uint8]) -> _Sent:
        if self._stream is None:
            return _Sent(torch.tensor(image).to(self._device), None)
        pinned = torch.empty(image.shape, dtype=torch.uint8, pin_memory=True)
        np.copyto(pinned.numpy(), image)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch
        with torch.cuda.stream(self._stream):
            picture = pinned.to(self._device, non_blocking=True)
            arrived.record(self._stream)
        return _Sent(picture, arrived)


@functools.cache
def _pictures_on(device: torch.device) -> _Pictures:
    """Return the device's images, which all of its lanes share."""
    return _Pictures(device)
