"""Step `memory`: what loading costs, and each camera and each person more, in the program's own pipeline.

The cameras are those of `scene`, which decode nothing: on the host, a real camera's decoder comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from realtime.observe import process
from realtime.runtime.memory import give_back_memory, share_pools
from tests.bench.gpu.scene import Scene, configuration, load_scene, measure
from tests.bench.gpu.steps import Job

_MIB = 2**20
Figures = dict[str, float]

# Cameras, and people in each frame. First the ends of both lines, then the points between, which show whether they are
# straight.
_SCENES = ((1, 1), (1, 8), (1, 64), (8, 8), (2, 8), (1, 32))
_SHORT_SCENES = ((1, 1), (1, 4), (3, 4))
# How long (s) a scene runs before it counts, and how long it counts.
_WARM_S, _RUN_S = 0.5, 0.5
_SHORT_WARM_S, _SHORT_RUN_S = 0.2, 0.2
# Time (s) between two looks.
_LOOK_S = 0.02
# The end of the step.
_END_S = 1.0


class Point(NamedTuple):
    """A scene that ran.

    Attributes:
        cameras: how many.
        people: in each frame.
        figures: its memory.
    """

    cameras: int
    people: int
    figures: Figures


def run(job: Job) -> None:
    share_pools()  # as the program does
    tell_unknown(job)
    if job.is_cuda:
        job.record.put("CUDA context", **used(job.device))
    keys = scene_keys(job)
    scenes = _SHORT_SCENES if job.is_short else _SCENES
    warm_s, run_s = (_SHORT_WARM_S, _SHORT_RUN_S) if job.is_short else (_WARM_S, _RUN_S)
    _, models = load_scene(Scene(1, 1, live=True), **keys)
    engines = {"detector_engine": models.detect.engine_name, "pose_engine": models.pose.engine_name}
    job.record.put("models loaded", **used(job.device))
    job.record.put("engines", **engines)
    points: list[Point] = []
    began_s = time.monotonic()
    # Not recorded: a first run fills caches of its own.
    measure(configuration(Scene(1, 1, live=True), **keys), models, Scene(1, 1, live=True), run_s, warm_s=warm_s)
    needed_s = time.monotonic() - began_s
    for cameras, people in scenes:
        name = f"{cameras} camera{'s' * (cameras > 1)}, {people} {'people' if people > 1 else 'person'}"
        if job.left_s - _END_S < needed_s:
            job.record.leave_out(f"{name}: {max(0.0, job.left_s):.1f} s were left, {needed_s:.1f} s are needed")
            continue
        began_s, scene = time.monotonic(), Scene(cameras, people, live=True)
        peak = Peak(job.device)
        measure(configuration(scene, **keys), models, scene, run_s, during=peak.watch(run_s), warm_s=warm_s)
        needed_s = time.monotonic() - began_s
        points.append(Point(cameras, people, peak.figures()))
        job.record.put(name, cameras=cameras, people=people, **points[-1].figures)
        if not job.is_short:
            for what, figures in (("each camera more", per_camera(points)), ("each person more", per_person(points))):
                if figures:
                    job.record.put(what, **figures)
    if job.is_short:
        job.record.leave_out("each camera more, each person more: short runs are too noisy for differences")


def scene_keys(job: Job) -> dict[str, object]:
    """Return the configuration keys of the models: yolov8n and ViTPose-S, or a tiny one in the short form."""
    from tests.bench.gpu import networks

    pose = networks.checkpoint("TINY" if job.is_short else "S", job.folder)
    # Random weights may fail the self-test of low precisions.
    return {"device": job.device, "detector": {"weights": "yolov8n", "engine": "torch"},
            "pose": {"model": str(pose), "engine": "torch", "self_test": "warn"}}  # fmt: skip


def tell_unknown(job: Job) -> None:
    """Record the figures that this device or this version of torch doesn't have."""
    if not job.is_cuda:
        job.record.leave_out("allocated_mib, reserved_mib, device_mib, pinned_mib: only a CUDA device has them")
    elif not hasattr(torch.cuda, "host_memory_stats"):
        job.record.leave_out(f"pinned_mib: torch {torch.__version__} doesn't count it")


def used(device: str) -> Figures:
    """Return the memory in use now, in MiB.

    Returns:
        rss_mib: of this process. On CUDA also allocated_mib, of tensors; reserved_mib, kept by torch for tensors and
        graphs; device_mib, of the whole device, with the CUDA context and other processes; and pinned_mib, host memory
        for transfers, if torch counts it.
    """
    figures = {"rss_mib": process.rss_mb()}
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        figures["allocated_mib"] = torch.cuda.memory_allocated(device) / _MIB
        figures["reserved_mib"] = torch.cuda.memory_reserved(device) / _MIB
        figures["device_mib"] = (total - free) / _MIB
        figures |= _pinned("current")
    return figures


def _pinned(kind: str) -> Figures:
    """The pinned memory that is in use: `current` or `peak`; nothing if torch doesn't count it."""
    counts = torch.cuda.host_memory_stats() if hasattr(torch.cuda, "host_memory_stats") else {}
    key = f"active_bytes.{kind}"
    return {"pinned_mib": counts[key] / _MIB} if key in counts else {}


class Peak:
    """The largest memory from now on. torch counts its own peaks; the others are looked at now and then."""

    def __init__(self, device: str) -> None:
        self._device, self._seen = device, Figures()
        give_back_memory()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()  # otherwise memory that the scene before needed counts for this one
            torch.cuda.reset_peak_memory_stats(device)
            if hasattr(torch.cuda, "reset_peak_host_memory_stats"):
                torch.cuda.reset_peak_host_memory_stats()

    def watch(self, seconds: float) -> Callable[[], None]:
        """Return a function that looks for this long (s)."""

        def look() -> None:
            ends_s = time.monotonic() + seconds - _LOOK_S
            while time.monotonic() < ends_s:
                self._seen = larger(self._seen, used(self._device))
                time.sleep(_LOOK_S)

        return look

    def figures(self) -> Figures:
        """Return the peaks, with the names of `used`."""
        peaks: Figures = {}
        if self._device.startswith("cuda"):
            peaks["allocated_mib"] = torch.cuda.max_memory_allocated(self._device) / _MIB
            peaks["reserved_mib"] = torch.cuda.max_memory_reserved(self._device) / _MIB
            peaks |= _pinned("peak")
        return larger(self._seen, peaks)


def larger(first: Mapping[str, float], second: Mapping[str, float]) -> Figures:
    """Return the larger one of each figure."""
    return {name: max(figures[name] for figures in (first, second) if name in figures) for name in {**first, **second}}


def per_camera(points: list[Point]) -> Figures:
    """Return what each camera costs more, at the same number of people; nothing if the points don't tell."""
    return max((_slope(points, people=people) for people in {point.people for point in points}), key=len, default={})


def per_person(points: list[Point]) -> Figures:
    """Return what each person costs more, with one camera; nothing if the points don't tell."""
    return _slope(points, cameras=1)


def _slope(points: list[Point], people: int | None = None, cameras: int | None = None) -> Figures:
    """The difference of the ends, per camera or per person. The other number is fixed."""
    line = [point for point in points if people == point.people or cameras == point.cameras]
    axis = "cameras" if cameras is None else "people"
    ends = sorted(line, key=lambda point: getattr(point, axis))
    if len(ends) < 2 or (more := getattr(ends[-1], axis) - getattr(ends[0], axis)) == 0:
        return {}
    low, high = ends[0].figures, ends[-1].figures
    return {name: (high[name] - low[name]) / more for name in low if name in high}
