"""The steps of `make gpu` in their order, their time limits, and what a step is given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.gpu.record import Record

# The whole run, in seconds: the demand is eight minutes.
TOTAL_S = 472.0
# A step should end by itself this long (s) before its limit, at which it is killed.
SPARE_S = 3.0


class Step(NamedTuple):
    """One step: the module tests.bench.gpu.NAME, whose `run` does it.

    Attributes:
        name: of the module and of the step's part of gpu.json.
        limit_s: its process is killed after this time in seconds.
        about: what it proves or measures.
        takes_rest: it may also use the time that the steps before it have left.
    """

    name: str
    limit_s: float
    about: str
    takes_rest: bool = False


STEPS = (
    Step("suite", 105, "the tests of tests/gpu; on a GPU, a skipped test is a failure"),
    Step("parity", 55, "heatmaps, keypoints and boxes, compared with the CPU"),
    Step("overlap", 40, "whether detector and pose model run at the same time, and calls that wait for the device"),
    Step("speed", 90, "frames per second and latency, beside the limits of the card", takes_rest=True),
    Step("beside", 65, "the same frames in YOLO.track, and in a loop of ultralytics and Hugging Face"),
    Step("memory", 25, "memory per camera and per person"),
    Step("soak", 85, "60 seconds of eight cameras: nothing may grow"),
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


def limit_s(step: Step, spent_s: float) -> float:
    """Return how long (s) a step may take, `spent_s` after the start of the run.

    >>> limit_s(Step("suite", 80, ""), spent_s=5.0), limit_s(STEPS[-1], spent_s=TOTAL_S - 20)
    (80, 20.0)
    """
    if not step.takes_rest:
        return min(step.limit_s, TOTAL_S - spent_s)
    later_s = sum(other.limit_s for other in STEPS[STEPS.index(step) + 1 :])
    return min(max(step.limit_s, TOTAL_S - spent_s - later_s), TOTAL_S - spent_s)
