"""CUDA graphs: the work of a batch, recorded once, and then started with a single launch.

Used by pose.on_device. torch leaves its allocators in the middle of a capture that fails; this is put right here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch

from realtime.errors import RealtimeError, first_line
from realtime.runtime.lane import Lane

Outputs = TypeVar("Outputs")


# Kept until the process ends, because torch < 2.12 still refers to a graph whose capture failed when it allocates
# pinned memory.
_failed: list[torch.cuda.CUDAGraph] = []


class CaptureError(RealtimeError):
    """A graph can't be captured. The same work can be done without it."""


class Captured(NamedTuple, Generic[Outputs]):
    """A graph, and the tensors that its replays overwrite."""

    graph: torch.cuda.CUDAGraph
    outputs: Outputs


class GraphPool:
    """Captures the graphs of a lane. They share their memory, which is safe because one at a time runs."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._handle = torch.cuda.graph_pool_handle()

    def capture(self, work: Callable[[], Outputs]) -> Captured[Outputs]:
        """Capture the kernels that `work` launches. Call it within `lane.run`, while no other capture is in progress.

        `torch.cuda.graph` is not used, because it would synchronise the device. With "thread_local", the CUDA calls of
        other threads don't invalidate the capture.

        Args:
            work: reads and writes tensors that stay in place. It must have run on this thread before, because libraries
                allocate memory and handles in their first calls, which a capture forbids. It may not wait for the
                device or copy from the host.

        Raises:
            CaptureError: the capture failed. Graphs captured earlier stay valid. Don't capture more with this pool.
            DeviceError: the device failed, and every further call would fail too.
        """
        self._lane.free_cache()  # the graph's pool can't use the memory that the earlier runs left
        graph = torch.cuda.CUDAGraph()
        try:
            graph.capture_begin(pool=self._handle, capture_error_mode="thread_local")
            try:
                outputs = work()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # of the same cause
                    graph.capture_end()
                raise
            graph.capture_end()
        except RuntimeError as error:
            reason = first_line(error)
        except BaseException:
            self._undo(graph)
            raise
        else:
            return Captured(graph, outputs)
        # After the except clause, because the traceback of the error refers to tensors in the graph's memory.
        self._undo(graph)
        self._lane.free_cache()  # raises if the device failed
        raise CaptureError(reason)

    def _undo(self, graph: torch.cuda.CUDAGraph) -> None:
        """Undo a capture that failed.

        Before torch 2.12, if CUDA's call that ends the capture fails, CUDAGraph.capture_end returns before it tells the
        allocator (pytorch issue 180395). The allocator would then go on deferring the release of tensors that several
        streams use (those of `Lane.picture`) to the end of the capture, so every frame would stay in memory, and
        `empty_cache` would fail. torch's random numbers on this device may stay in the capture; nothing here draws any.
        """
        with contextlib.suppress(RuntimeError):
            graph.reset()  # since torch 2.14, this is enough
        with contextlib.suppress(RuntimeError):  # torch has ended it
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._handle)
            torch._C._cuda_releasePool(torch.cuda.current_device(), self._handle)
            _failed.append(graph)
