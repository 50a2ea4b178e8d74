"""Lanes: how data gets to the device of a model and back. They use torch; models in OpenVINO need none.

Used by the detector and the pose models on the data path. A lane is a model's own CUDA stream and
its transfers through pinned memory; on a CPU these parts do nothing. A frame is sent to a device
once, for all lanes on it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import realtime.runtime.torch_settings  # noqa: F401 - before other libraries change torch's settings
from realtime.errors import MemoryFullError
from realtime.runtime.core_budget import take_cores
from realtime.runtime.device import AnyDevice, device_errors
from realtime.types import Frame

# torch's dtype of each precision that it computes in.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# torch crashes when two threads use an Apple GPU at the same time (pytorch issue 197805).
# Reentrant: lanes may nest.
_APPLE_GPU = threading.RLock()


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

    def __init__(self, device: AnyDevice) -> None:
        self.device = torch.device(str(device))
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


def sender(device: AnyDevice) -> Callable[[Frame], None]:
    """Return a function that sends a frame's image to a device, on the calling thread, so that lanes find it there.

    If the device's memory is full, it does nothing, and the lane that needs the image sends it. It raises DeviceError
    if the device failed.
    """
    pictures = _pictures_on(torch.device(str(device)))

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
