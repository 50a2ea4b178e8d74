"""The steps of `make gpu` in their order, their time limits, and what a step is given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.gpu.record import Record

# The whole run, in seconds: the demand is eight minutes, and a machine may need some seconds before the first step.
TOTAL_S = 465.0
# A step should end by itself this long (s) before its limit, at which it is killed.
SPARE_S = 3.0


class Step(NamedTuple):
    """One step: the module tests.bench.gpu.NAME, whose `run` does it.

    Attributes:
        name: of the module and of the step's part of gpu.json.
        limit_s: its process is killed after this time in seconds.
        about: what it proves or measures.
    """

    name: str
    limit_s: float
    about: str


STEPS = (
    Step("suite", 85, "the tests of tests/gpu; on a GPU, a skipped test is a failure"),
    Step("parity", 40, "heatmaps, keypoints and boxes, compared with the CPU"),
    Step("overlap", 25, "whether detector and pose model run at the same time, and calls that wait for the device"),
    Step("speed", 150, "frames per second and latency, beside the limits of the card"),
    Step("beside", 65, "the same frames in YOLO.track, and in a loop of ultralytics and Hugging Face"),
    Step("memory", 25, "memory per camera and per person"),
    Step("soak", 72, "60 seconds of eight cameras: nothing may grow"),
)


class Job(NamedTuple):
    """What a step is given.

    Attributes:
        device: cuda:0, cpu, ...
        is_short: the short form, with tiny networks, for the rehearsal on a CPU.
        record: takes the results; each is on disk when `put` returns.
        ends_s: the moment (time.monotonic) by which the step should have ended; entries that don't fit are left out.
        folder: for files that later steps need too, such as checkpoints. Removed after the last step.
        out: the folder of the results.
    """

    device: str
    is_short: bool
    record: Record
    ends_s: float
    folder: Path
    out: Path

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.ends_s - time.monotonic()

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a CUDA device."""
        return self.device.startswith("cuda")
