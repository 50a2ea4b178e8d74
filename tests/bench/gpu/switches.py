"""The program without CUDA graphs, or with a single CUDA stream: what it would reach without them.

The program has no such switches; they are set from outside, on models that are loaded and warm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

from realtime.pose.on_device import DeviceEngine
from realtime.runtime import lane as lanes
from realtime.runtime.lane import Lane


@contextmanager
def switched_off(engine: DeviceEngine, detector: Lane, graphs: bool, streams: bool) -> Iterator[None]:
    """Run without some of them inside the `with` block, while no work is in flight before it and after it.

    Args:
        engine: the pose model's engine, warmed up. Its graphs are kept for later.
        detector: the detector's lane.
        graphs: leave out the graphs: every step of the pose model is launched by itself.
        streams: leave out the streams: pose model and pictures use the detector's.
    """
    with ExitStack() as stack:
        if graphs or streams:
            _wait(detector.device)
            stack.callback(_wait, detector.device)
        if graphs:  # a warm engine makes its batches again, without graphs
            stack.enter_context(mock.patch.object(engine, "_batches", {}))
        if streams:
            stack.enter_context(mock.patch.object(engine._lane, "stream", detector.stream))
            pictures = lanes._pictures_on(detector.device)
            stack.enter_context(mock.patch.object(pictures, "_stream", detector.stream))
        yield


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
