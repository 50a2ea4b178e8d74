"""A fake of the parts of CUDA that the package uses, on the CPU: streams, graphs, pinned memory, and their failures.

The code under test runs as on a GPU, on torch.device("cuda:0"); the tensors are on the CPU. Operations run at once,
with these exceptions, which show mistakes that a CPU would hide:

- A capture records the operations and leaves garbage in their outputs. A replay runs them again, from the same inputs
  into the same outputs. A tensor that was replaced instead of overwritten, or a value that was uploaded during the
  capture, therefore yields wrong results.
- A download into pinned memory is only there once an event that was recorded after it was waited for. An upload is
  there for later operations of its stream, and for other streams once they waited for such an event.
- In a capture, the host may not wait, upload, download or allocate pinned memory; the capture then fails.

The allocator's bookkeeping is that of torch 2.11, or that of torch 2.14, in which failed captures leave nothing behind.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from realtime.runtime import lane as lanes

GPU = torch.device("cuda:0")
CPU = torch.device("cpu")

# The operations that make the host wait for the device, by the names that torch dispatches.
_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal"}
_DOWNLOADS = {"cpu", "numpy", "item", "tolist"}


def cuda_error(reason: str) -> torch.AcceleratorError:
    """An error as torch raises it: the reason, and lines for developers."""
    return torch.AcceleratorError(
        f"CUDA error: {reason}\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
        "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    )


def out_of_memory(wanted: int) -> torch.OutOfMemoryError:
    """torch's error for a tensor that is too large."""
    return torch.OutOfMemoryError(
        f"CUDA out of memory. Tried to allocate {wanted / 2**20:.2f} MiB. GPU 0 has a total capacity of 1.00 GiB of "
        "which 3.06 MiB is free. Process 7 has 1.00 GiB memory in use. If reserved but unallocated memory is large try "
        "setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
    )


class FakeCuda:
    """The device. While it is entered, `torch.cuda` is replaced for this thread's operations.

    Attributes:
        most_bytes: a tensor that is larger than this does not fit.
        largest_bytes: size of the largest tensor that an operation has returned.
        fails_at: by the number of a capture (the first is 0), where it fails: "begin", "work" (an operation that a
            capture forbids), "memory" (in an operation), "dead" (the device fails), "interrupt" (by the user), "end"
            or "instantiate".
        is_dead: whether every operation fails from now on, as after an access to an illegal address.
        emptied: how often torch's unused memory was freed.
        captures: how many captures were begun.
        replays: how many graphs were replayed.
        underway: the pools of captures that the allocator believes to be in progress. It then keeps the tensors that
            several streams have used.
        users: for each pool, how many graphs hold its memory.
        used_by: the streams that each tensor was recorded on (`record_stream`), in the order of the calls.
    """

    def __init__(self, version: tuple[int, int] = (2, 11)) -> None:
        self.version = version
        self.most_bytes = float("inf")
        self.largest_bytes = 0
        self.fails_at: dict[int, str] = {}
        self.is_dead = False
        self.captures = self.replays = self.emptied = 0
        self.underway: list[int] = []
        self.users: Counter[int] = Counter()
        self.used_by: list[_Stream] = []
        self.capture: _Graph | None = None  # the one in progress
        self.streams: list[_Stream] = []  # the current one comes last
        self._pools = 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> FakeCuda:
        lanes._pictures_on.cache_clear()
        self._undo.callback(lanes._pictures_on.cache_clear)
        replaced = {
            "Stream": _Stream,
            "Event": lambda **_: _Event(self),
            "CUDAGraph": lambda: _Graph(self),
            "stream": self._enter_stream,
            "graph_pool_handle": self._new_pool,
            "empty_cache": self._empty_cache,
            "current_device": lambda: 0,
        }
        self._undo.enter_context(mock.patch.multiple(torch.cuda, **replaced))
        calls = {"_cuda_endAllocateToPool": self._end_allocate, "_cuda_releasePool": self._release}
        self._undo.enter_context(mock.patch.multiple(torch._C, **calls))
        # Not by _Functions: torch would look at the stream first.
        used = mock.patch.object(torch.Tensor, "record_stream", lambda tensor, stream: self.used_by.append(stream))
        self._undo.enter_context(used)
        self._undo.enter_context(_Functions(self))
        self._undo.enter_context(_Operations(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    @property
    def holds_nothing(self) -> bool:
        """Whether no capture is in progress, for the device or for the allocator, and no graph holds memory."""
        return self.capture is None and not self.underway and not self.users.total()

    def check(self) -> None:
        """Raise the error of a dead device."""
        if self.is_dead:
            raise cuda_error("an illegal memory access was encountered")

    def forbid(self) -> None:
        """Call this where CUDA forbids captures."""
        self.check()
        if self.capture is not None:
            self.capture.is_invalid = True
            raise cuda_error("operation not permitted when stream is capturing")

    @contextlib.contextmanager
    def _enter_stream(self, stream: _Stream) -> Iterator[None]:
        with stream.used_here():
            self.streams.append(stream)
            try:
                yield
            finally:
                assert self.streams.pop() is stream

    def _new_pool(self) -> int:
        self._pools += 1
        return self._pools

    def _empty_cache(self) -> None:
        self.forbid()
        self.emptied += 1
        if self.underway:
            raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    def begin_allocate(self, pool: int) -> None:
        """The allocator's part of the start of a capture."""
        if pool in self.users and not self.users[pool]:
            raise RuntimeError("use_count > 0 INTERNAL ASSERT FAILED")
        self.users[pool] += 1
        self.underway.append(pool)

    def _end_allocate(self, device: int, pool: int) -> None:
        if pool not in self.underway:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.underway.remove(pool)

    def _release(self, device: int, pool: int) -> None:
        self.users[pool] -= 1
        assert self.users[pool] >= 0


class _Stream:
    """A stream; one thread at a time may use it."""

    def __init__(self, device: torch.device) -> None:
        assert device.type == "cuda"
        self.downloads: list[Callable[[], object]] = []  # copies that have not happened
        self.uploads: list[Callable[[], object]] = []
        self._thread: int | None = None

    @contextlib.contextmanager
    def used_here(self) -> Iterator[None]:
        before, self._thread = self._thread, threading.get_ident()
        assert before in (None, self._thread), "two threads use a stream at the same time"
        try:
            yield
        finally:
            self._thread = before

    def wait_event(self, event: _Event) -> None:
        assert event.copies is not None, "the event was not recorded"
        event.cuda.forbid()  # an event from outside of the capture
        event.stream.upload()

    def upload(self) -> None:
        while self.uploads:
            self.uploads.pop(0)()


class _Event:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.copies: list[Callable[[], object]] | None = None

    def record(self, stream: _Stream) -> None:
        self.copies = list(stream.downloads)
        self.stream = stream

    def synchronize(self) -> None:
        self.cuda.forbid()
        assert self.copies is not None, "the event was not recorded"
        for copy in self.copies:
            if copy in self.stream.downloads:
                self.stream.downloads.remove(copy)
                copy()


class _Graph:
    """A graph that records operations and runs them again."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self._calls: list[tuple[Any, Any, Any, Any]] = []
        self._pool: int | None = None
        self._has_ended = self.is_invalid = False
        self._fails_at: str | None = None

    def capture_begin(self, pool: int, capture_error_mode: str) -> None:
        cuda = self._cuda
        assert capture_error_mode == "thread_local"  # otherwise, calls of other threads would fail
        assert cuda.streams, "captured on the default stream"
        self._fails_at = cuda.fails_at.get(cuda.captures)
        cuda.captures += 1
        cuda.begin_allocate(pool)
        self._pool = pool
        if self._fails_at == "begin":
            raise cuda_error("operation not supported")
        cuda.capture = self

    def record(self, function: Any, args: Any, kwargs: Any, out: Any) -> None:
        self._calls.append((function, args, kwargs, out))
        if len(self._calls) != 3:
            return
        match self._fails_at:
            case "work":
                self._cuda.forbid()
            case "memory":
                raise out_of_memory(2**20)
            case "dead":
                self._cuda.is_dead = True
                self._cuda.check()
            case "interrupt":
                raise KeyboardInterrupt

    def capture_end(self) -> None:
        cuda = self._cuda
        cuda.check()
        if cuda.capture is not self:
            raise cuda_error("the operation cannot be performed in the present state")
        cuda.capture = None
        assert self._pool is not None
        if self.is_invalid or self._fails_at == "end":
            if cuda.version >= (2, 12):
                cuda.underway.remove(self._pool)
            raise cuda_error("operation failed due to a previous error during capture")
        cuda.underway.remove(self._pool)
        self._has_ended = True
        if self._fails_at == "instantiate":
            raise cuda_error("out of memory")
        self._spoil()

    def _spoil(self) -> None:
        """Overwrite the tensors that were allocated during the capture, because it does not compute them."""
        made: list[torch.Tensor] = []
        known: set[int] = set()
        for _, args, kwargs, out in self._calls:
            known |= {_place(tensor) for tensor in _tensors((args, kwargs))}
            for tensor in _tensors(out):
                if _place(tensor) not in known:
                    made.append(tensor)
            known |= {_place(tensor) for tensor in _tensors(out)}
        for tensor in made:
            tensor.untyped_storage().fill_(0xA5)

    def replay(self) -> None:
        self._cuda.check()
        if not self._has_ended:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        assert self._cuda.capture is None
        self._cuda.replays += 1
        self._cuda.streams[-1].upload()
        with torch.utils._python_dispatch._disable_current_modes():
            for function, args, kwargs, out in self._calls:
                for old, new in zip(_tensors(out), _tensors(function(*args, **kwargs)), strict=True):
                    if _place(old) != _place(new):
                        old.copy_(new)

    def reset(self) -> None:
        if self._pool is not None and not self._has_ended and self._cuda.version >= (2, 14):
            if self._pool in self._cuda.underway:
                self._cuda.underway.remove(self._pool)
            self._has_ended = True
        if self._pool is not None and self._has_ended:
            self._cuda.users[self._pool] -= 1
            self._has_ended = False
            self._pool = None
        self._calls = []

    def __del__(self) -> None:
        self.reset()


class _Functions(TorchFunctionMode):
    """Turns torch's functions for a CUDA device and pinned memory into those for the CPU."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()
        self._cuda = cuda
        self._pinned: set[int] = set()  # addresses of buffers for downloads

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        is_for_gpu = _is_gpu(kwargs.get("device")) or any(_is_gpu(value) for value in args)
        args = tuple(CPU if _is_gpu(value) else value for value in args)
        if is_for_gpu and "device" in kwargs:
            kwargs["device"] = CPU
        if name in _DOWNLOADS or (is_for_gpu and name in ("tensor", "as_tensor", "to")):
            self._cuda.forbid()
        if name == "pin_memory":
            self._cuda.forbid()
            return args[0].clone()
        if kwargs.pop("pin_memory", False):
            self._cuda.forbid()
            pinned = function(*args, **kwargs)
            pinned.view(torch.uint8).fill_(0xA5)
            self._pinned.add(pinned.data_ptr())
            return pinned
        if name == "copy_" and kwargs.get("non_blocking") and args[0].data_ptr() in self._pinned:
            return self._queue_download(args[0], args[1])
        result = function(*args, **kwargs)
        return self._queue_upload(result) if is_for_gpu and name == "to" else result

    def _queue_download(self, pinned: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        self._cuda.forbid()
        self._pinned.remove(pinned.data_ptr())
        content = tensor.clone()

        self._cuda.streams[-1].downloads.append(lambda: _copy(content, pinned))
        return pinned

    def _queue_upload(self, tensor: torch.Tensor) -> torch.Tensor:
        uploaded = tensor.clone()  # never in the memory of the host's tensor
        if self._cuda.streams:
            uploaded.untyped_storage().fill_(0xA5)
            self._cuda.streams[-1].uploads.append(lambda: _copy(tensor, uploaded))
        return uploaded


class _Operations(TorchDispatchMode):
    """Watches every operation: those that don't fit into the memory, and those of a capture."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__()
        self._cuda = cuda

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        cuda = self._cuda
        cuda.check()
        if cuda.streams:
            cuda.streams[-1].upload()
        if function.overloadpacket.__name__ in _WAITS:
            cuda.forbid()
        out = function(*args, **kwargs)
        given = {_place(tensor) for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(out):
            if _place(tensor) not in given:
                size = tensor.untyped_storage().nbytes()
                cuda.largest_bytes = max(cuda.largest_bytes, size)
                if size > cuda.most_bytes:
                    raise out_of_memory(size)
        if cuda.capture is not None:
            cuda.capture.record(function, args, kwargs, out)
        return out


def _copy(source: torch.Tensor, target: torch.Tensor) -> None:
    with torch.inference_mode(), torch.utils._python_dispatch._disable_current_modes():
        target.copy_(source)


def _is_gpu(value: object) -> bool:
    return isinstance(value, torch.device) and value.type == "cuda"


def _tensors(values: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _place(tensor: torch.Tensor) -> int:
    """Identifies the memory of a tensor."""
    return tensor.untyped_storage().data_ptr()
