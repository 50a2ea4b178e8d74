"""Traces of torch's profiler: which kernels ran when, on which stream, launched by which thread; and what waited.

Used by the step `overlap`. Everything here works on the events of a Chrome trace, as lists and arrays, so that it needs
no GPU. Times are in microseconds on the trace's own clock.

How a kernel finds its owner: the trace numbers streams as CUPTI does, which torch can't translate. But each kernel
carries the correlation of the runtime call that launched it, and that call carries its thread: the detector and the
pose model each run on a thread of their own. This holds for kernels of CUDA graphs too, whose call is cudaGraphLaunch.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Event = Mapping[str, Any]
# (n, 2) begin and end of spans in microseconds.
Spans = NDArray[np.float64]

# Runtime calls that wait for all work on the device.
WAITS_FOR_DEVICE = frozenset(
    {"cudaDeviceSynchronize", "cudaFree", "cudaFreeHost", "cudaMemcpy", "cudaHostUnregister", "cuMemUnmap"}
)
# Runtime calls that allocate. CUDA's guide lists them among the calls between which streams may not overlap.
ALLOCATIONS = frozenset({"cudaMalloc", "cudaHostAlloc", "cudaMallocHost", "cudaHostRegister", "cuMemMap"})
# Runtime calls in which a thread waits for one stream or one event.
WAITS_FOR_STREAM = frozenset({"cudaStreamSynchronize", "cudaEventSynchronize"})
_CALLS = frozenset({"cuda_runtime", "cuda_driver"})
_ON_DEVICE = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})


class Kernel(NamedTuple):
    """Something that ran on the device.

    Attributes:
        kind: kernel, gpu_memcpy or gpu_memset.
        name: of the kernel, or "Memcpy HtoD (Pinned -> Device)".
        owner: name of the thread that launched it; "?" if the trace has no call for it.
        stream: the stream, in CUPTI's numbers.
        begin_us: when it began.
        end_us: when it ended.
        size: bytes of a copy, otherwise 0.
    """

    kind: str
    name: str
    owner: str
    stream: int
    begin_us: float
    end_us: float
    size: int


class Call(NamedTuple):
    """A call of CUDA's runtime or driver.

    Attributes:
        name: cudaLaunchKernel, ...
        owner: name of its thread.
        begin_us: when it began.
        end_us: when it returned.
    """

    name: str
    owner: str
    begin_us: float
    end_us: float


def numbers_of(threads: Iterable[threading.Thread]) -> dict[int, str]:
    """Map the trace's numbers of threads to their names.

    Kineto (libkineto/src/CuptiActivityProfiler.cpp, output_json.cpp) numbers a thread by its Linux id if torch's own
    profiler saw the thread, and otherwise as CUPTI does, by the lower 32 bits of its pthread id, made positive.
    """
    names = {}
    for thread in threads:
        if thread.ident is not None and thread.native_id is not None:
            low = thread.ident & 0xFFFFFFFF
            names |= {thread.native_id: thread.name, min(low, 2**32 - low): thread.name}
    return names


def kernels(events: Iterable[Event], threads: Mapping[int, str]) -> list[Kernel]:
    """Return everything that ran on the device, by its begin.

    Args:
        events: `traceEvents` of a Chrome trace.
        threads: from `numbers_of`.
    """
    events = list(events)
    launched = {
        event["args"]["correlation"]: threads.get(event["tid"], f"thread {event['tid']}")
        for event in events
        if event.get("cat") in _CALLS and "correlation" in event.get("args", {})
    }
    found = []
    for event in events:
        if event.get("cat") in _ON_DEVICE and event.get("ph") == "X":
            told, begin_us = event["args"], float(event["ts"])
            owner = launched.get(told.get("correlation"), "?")
            found.append(Kernel(event["cat"], event["name"], owner, int(told["stream"]), begin_us,
                                begin_us + float(event["dur"]), int(told.get("bytes", 0))))  # fmt: skip
    return sorted(found, key=lambda kernel: kernel.begin_us)


def calls(events: Iterable[Event], threads: Mapping[int, str]) -> list[Call]:
    """Return all calls of CUDA's runtime and driver in a trace. `threads` is from `numbers_of`."""
    return [
        Call(_plain(event["name"]), threads.get(event["tid"], f"thread {event['tid']}"), float(event["ts"]),
             float(event["ts"]) + float(event["dur"]))
        for event in events
        if event.get("cat") in _CALLS and event.get("ph") == "X"
    ]  # fmt: skip


def _plain(name: str) -> str:
    """A call's name without the version that CUPTI may append: cudaLaunchKernel_v7000, cudaMemcpyAsync_ptsz."""
    return name.partition("_")[0]


# ---- spans of time


def spans_of(kernels_or_calls: Iterable[Kernel | Call]) -> Spans:
    """The spans, with overlapping ones joined: (n, 2), by begin."""
    return joined(np.array([(each.begin_us, each.end_us) for each in kernels_or_calls], np.float64).reshape(-1, 2))


def joined(spans: Spans) -> Spans:
    """Join spans that overlap or touch.

    >>> joined(np.array([[5.0, 6], [0, 2], [1, 3]])).tolist()
    [[0.0, 3.0], [5.0, 6.0]]
    """
    if not len(spans):
        return spans
    spans = spans[spans[:, 0].argsort(kind="stable")]
    ends = np.maximum.accumulate(spans[:, 1])
    first = np.concatenate(([True], spans[1:, 0] > ends[:-1]))
    return np.stack((spans[first, 0], ends[np.concatenate((first[1:], [True]))]), axis=1)


def clipped(spans: Spans, window: tuple[float, float]) -> Spans:
    """The parts of spans within a window, begin and end in microseconds."""
    parts = np.clip(spans, *window)
    return parts[parts[:, 1] > parts[:, 0]]


def total_us(spans: Spans) -> float:
    """The length of joined spans."""
    return float((spans[:, 1] - spans[:, 0]).sum())


def shared_us(first: Spans, second: Spans) -> float:
    """How long both of two sets of joined spans run.

    >>> shared_us(np.array([[0.0, 4], [6, 9]]), np.array([[3.0, 7]]))
    2.0
    """
    return total_us(first) + total_us(second) - total_us(joined(np.concatenate((first, second))))


# ---- figures


def side_by_side(first: Spans, second: Spans, window: tuple[float, float]) -> dict[str, float]:
    """How two kinds of work share the time of a window.

    Args:
        first: spans of the detector.
        second: spans of the pose model.
        window: begin and end in microseconds.

    Returns:
        Shares 0..1: `pose_beside_detector` of the pose model's time, `detector_beside_pose` of the detector's; and
        `detector_busy`, `pose_busy`, `either_busy` of the window. A share of nothing is not a number.
    """
    first, second = (joined(clipped(spans, window)) for spans in (first, second))
    both = shared_us(first, second)
    times = {"detector_busy": total_us(first), "pose_busy": total_us(second)}
    times["either_busy"] = times["detector_busy"] + times["pose_busy"] - both
    length = window[1] - window[0]
    return {
        "pose_beside_detector": both / times["pose_busy"] if times["pose_busy"] else float("nan"),
        "detector_beside_pose": both / times["detector_busy"] if times["detector_busy"] else float("nan"),
    } | {name: time / length for name, time in times.items()}


def streams(found: Sequence[Kernel]) -> dict[str, dict[str, int]]:
    """Count what ran on each stream, by kind and owner: {"stream 20": {"kernel of pose": 300}}."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for kernel in found:
        counts[f"stream {kernel.stream}"][f"{kernel.kind} of {kernel.owner}"] += 1
    return {name: dict(count) for name, count in sorted(counts.items())}


def waits(found: Iterable[Call], window: tuple[float, float], apart_from: str) -> dict[str, dict[str, float]]:
    """Count the calls of a window that wait, and how long they took.

    Args:
        found: calls.
        window: begin and end in microseconds; a call counts if it begins there.
        apart_from: the thread that runs the profiler, whose calls do not count: the profiler itself waits for the
            device when it stops.

    Returns:
        By "CALL of THREAD": count, and total_ms.
    """
    waited: dict[str, dict[str, float]] = {}
    for call in found:
        is_wait = call.name in WAITS_FOR_DEVICE | ALLOCATIONS | WAITS_FOR_STREAM
        if is_wait and call.owner != apart_from and window[0] <= call.begin_us < window[1]:
            counts = waited.setdefault(f"{call.name} of {call.owner}", {"count": 0, "total_ms": 0.0})
            counts["count"] += 1
            counts["total_ms"] += (call.end_us - call.begin_us) / 1e3
    return waited


def counted(waited: Mapping[str, Mapping[str, float]], calls: frozenset[str]) -> dict[str, int]:
    """The counts of those entries in the result of `waits` that are about these calls."""
    return {name: int(told["count"]) for name, told in waited.items() if name.partition(" ")[0] in calls}


# ---- the file


def host_events(spans: Mapping[str, Spans], process: int) -> list[dict[str, Any]]:
    """Events for the trace file that show spans of the host, one line per name."""
    return [
        {"ph": "X", "cat": "host", "name": name, "pid": process, "tid": f"calls of {name}", "ts": float(begin),
         "dur": float(end - begin)}
        for name, each in spans.items()
        for begin, end in each
    ]  # fmt: skip


def write(events: Sequence[Event], told: Mapping[str, object], file: Path, most_bytes: int) -> str:
    """Write a trace, gzipped, for chrome://tracing or ui.perfetto.dev, and verify its size.

    Args:
        events: all events.
        told: the other keys of the trace, such as baseTimeNanoseconds.
        file: the file, which is replaced.
        most_bytes: its largest size. If the whole trace is larger, only what ran on the device, the calls and the
            host's spans are kept, in short form; then only the first half of them, and so on.

    Returns:
        What the file holds: "all events", or what was left out.

    Raises:
        ValueError: not even a few events fit.
    """
    kept, what = list(events), "all events"
    while True:
        content = gzip.compress(json.dumps({**told, "traceEvents": kept}, separators=(",", ":")).encode(), 6)
        if len(content) <= most_bytes:
            break
        if what == "all events":
            kept = [_short(event) for event in events if event.get("ph") == "M" or event.get("cat") in _KEPT]
            kept.sort(key=lambda event: (event["ph"] != "M", float(event.get("ts", 0))))
            what = "kernels, copies, calls and spans of the host"
            continue
        names = [event for event in kept if event["ph"] == "M"]
        rest = kept[len(names) :]
        if len(rest) < 2:
            raise ValueError(f"{file}: got {len(content)} bytes with {len(kept)} events, expected at most {most_bytes}")
        kept = names + rest[: len(rest) // 2]
        what = f"the first {len(rest) // 2} kernels, copies, calls and spans of the host"
    file.write_bytes(content)
    assert file.stat().st_size <= most_bytes
    return what


_KEPT = _ON_DEVICE | _CALLS | {"host"}
_LONGEST_NAME = 80


def _short(event: Event) -> dict[str, Any]:
    """An event with the most telling arguments only."""
    kept = {key: value for key, value in event.items() if key in ("ph", "cat", "pid", "tid", "ts", "dur")}
    if event["ph"] == "M":
        return {**kept, "name": event["name"], "args": event.get("args", {})}
    told = {
        key: event.get("args", {})[key] for key in ("stream", "correlation", "bytes") if key in event.get("args", {})
    }
    return {**kept, "name": event["name"][:_LONGEST_NAME], "args": told}
