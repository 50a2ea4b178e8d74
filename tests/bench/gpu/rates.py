"""What the card and the host reach by themselves: one large product, one large copy, and the way of one picture."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from realtime.capture.convert import Converter
from realtime.runtime.lane import DTYPES, Lane
from tests.bench.gpu.scene import decoded_frames

_TIMES, _WARM = 10, 3
# How long (s) the device works before it is timed: one that was idle starts with a low clock.
_WARM_S = 0.3


def product_flops_per_s(device: torch.device, precision: str, side: int) -> float:
    """Return the rate of a product of two square matrices of random numbers; float32 without TF32.

    Random numbers, because a card draws less power for zeros, and runs faster.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    left, right = (torch.randn(side, side, device=device).to(DTYPES[precision]) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * side**3 / _median_s(lambda: torch.mm(left, right, out=out), device)


def copy_bytes_per_s(device: torch.device, size: int) -> float:
    """Return the rate of a copy of `size` bytes within the device's memory; each byte is read and written."""
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / _median_s(lambda: target.copy_(source), device)


def picture_ms(device: torch.device) -> dict[str, float]:
    """Return what one 1920x1080 picture costs (ms, medians): converted, copied to pinned memory, and sent.

    The first two cost time of a thread. So does `call_ms`, the whole call that sends a picture to the device, during
    which the copy to the device goes on by itself.
    """
    convert, frame = Converter("street"), decoded_frames()[0]
    image = convert(frame).bgr()
    found = {"convert_ms": 1e3 * _median_host_s(lambda: convert(frame).bgr())}
    if device.type != "cuda":
        return found | {"copy_ms": 1e3 * _median_host_s(lambda: np.copyto(np.empty_like(image), image))}
    pinned = torch.empty(image.shape, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(image.shape, dtype=torch.uint8, device=device)
    found["copy_to_pinned_ms"] = 1e3 * _median_host_s(lambda: np.copyto(pinned.numpy(), image))
    found["upload_ms"] = 1e3 * _median_s(lambda: target.copy_(pinned, non_blocking=True), device)
    lane = Lane(device)
    # The image is writable, so it is sent at each call. The wait lets the next call use the same pinned memory.
    found["call_ms"] = 1e3 * _median_host_s(lambda: lane.picture(image), lambda: torch.cuda.synchronize(device))
    return found


def _median_s(work: Callable[[], object], device: torch.device) -> float:
    """The median time of some work on the device, without the time that the host needs to start it."""
    if device.type != "cuda":
        return _median_host_s(work)
    ends_s = time.monotonic() + _WARM_S
    while time.monotonic() < ends_s:
        work()
        torch.cuda.synchronize(device)
    moments = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(_TIMES)]
    for began, ended in moments:
        began.record()
        work()
        ended.record()
    torch.cuda.synchronize(device)
    return statistics.median(began.elapsed_time(ended) for began, ended in moments) / 1e3


def _median_host_s(work: Callable[[], object], wait: Callable[[], object] = lambda: None) -> float:
    """The median time that the calling thread needs; `wait` is called in between and doesn't count."""
    taken_s = []
    for _ in range(_WARM + _TIMES):
        began_s = time.perf_counter()
        work()
        taken_s.append(time.perf_counter() - began_s)
        wait()
    return statistics.median(taken_s[_WARM:])
