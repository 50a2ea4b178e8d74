"""Devices and lanes: where a model runs and how data gets there and back.

Used by the model files on the data path; the only other torch code in the package. A lane is a model's own device,
CUDA stream and pinned buffers; on a CPU all of it does nothing. Frames are sent to a device once, for all its lanes.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.errors import ConfigError
from realtime.runtime.share import cores

log = logging.getLogger(__name__)

# torch crashes when two threads use an Apple GPU at once (pytorch issue 197805). Lanes may nest.
_APPLE_GPU = threading.RLock()


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


def exact_float32() -> None:
    """Let float32 have all of its bits on a GPU, which else keeps 10 of the 23. For the whole process."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


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

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Inference mode, the calling thread's own, and on a GPU this lane's stream: enter it for each call."""
        turn = _APPLE_GPU if self.device.type == "mps" else contextlib.nullcontext()
        stream = torch.cuda.stream(self.stream) if self.stream else contextlib.nullcontext()
        with turn, torch.inference_mode(), stream:
            yield

    @contextlib.contextmanager
    def compute(self) -> Iterator[None]:
        """Within `run`, a network's turn: on a CPU with the cores that are the caller's by then.

        torch's number of threads is set for each call: it is the calling thread's own, and loading an ultralytics model
        changes it.
        """
        if self.stream is not None:
            yield
            return
        with cores() as count:
            if torch.get_num_threads() != count:
                torch.set_num_threads(count)
            yield

    def upload(self, array: NDArray[np.generic], into: torch.Tensor | None = None) -> torch.Tensor:
        """The array on the device, same dtype and shape. On a GPU through pinned memory, asynchronously on the stream.

        Without `into` the tensor shares the array's memory on a CPU: don't write to either.
        """
        tensor = torch.from_numpy(array)
        if self.stream is not None:
            tensor = tensor.pin_memory()
        if into is not None:
            return into.copy_(tensor, non_blocking=self.stream is not None)
        return tensor.to(self.device, non_blocking=self.stream is not None)

    def picture(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """A frame's picture on the device, uint8 (H, W, 3), for work on this lane's stream; don't write to it.

        A read-only image is sent once for all lanes of the device and stays as long as somebody holds the array. On a
        GPU through pinned memory on a stream of its own, while what was queued before goes on computing.
        """
        sent = _pictures_on(self.device).of(image)
        if self.stream is not None:
            self.stream.wait_event(sent.arrived)
            sent.picture.record_stream(self.stream)  # its memory is not used again before this lane is done with it
        return sent.picture

    def download(self, tensor: torch.Tensor) -> NDArray[np.generic]:
        """The tensor as numpy. Waits for the work queued on this lane's stream, and for nothing else."""
        if self.stream is None:
            return tensor.cpu().numpy()
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        pinned.copy_(tensor, non_blocking=True)
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch; else a core spins meanwhile
        done.record(self.stream)
        done.synchronize()
        return pinned.numpy()


class _Sent(NamedTuple):
    picture: torch.Tensor  # uint8 (H, W, 3)
    arrived: Any  # torch.cuda.Event, untyped in torch; None where there are no streams


class _Pictures:
    """The pictures that are on a device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]  # torch
        # By the array's id: it is forgotten before another array can have the same one.
        self._sent: dict[int, tuple[weakref.ref[NDArray[np.uint8]], _Sent]] = {}

    def of(self, image: NDArray[np.uint8]) -> _Sent:
        if image.flags.writeable:  # it may show something else the next time
            return self._send(image)
        key = id(image)
        if key not in self._sent:
            # No lock: forgetting happens wherever the last one lets go of the array, in the midst of this too.
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
    """One for each device, as there is one device for all lanes."""
    return _Pictures(device)
