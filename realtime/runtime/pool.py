"""The pool: a few threads that do the work of all model stages on a CPU.

Used by the detect and pose stages of the data path. If each stage ran on all cores, the stages
could not overlap; if each stage had its own cores, the faster one would wait for the slower one.
Therefore a stage divides its work into parts, and each thread of the pool takes the next part of
any stage. Every inference runs on its core budget. In latency mode, a part that runs alone gets all cores.
Results leave in the order of each camera's frames.

The pool also decides when a frame may enter the pipeline: when a thread would otherwise be idle. A
frame that entered earlier would only age inside. In throughput mode the pool has one more thread
than concurrent inferences, so that the work before and after an inference (letterbox, crops, peaks)
overlaps with the inferences of other frames and no core idles.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from realtime.runtime.channel import Closed
from realtime.runtime.core_budget import all_cores, core_budget
from realtime.runtime.gates import Gate
from realtime.runtime.stage import Part
from realtime.runtime.watch import Watch
from realtime.types import Frame

# Weight of the latest part in the running estimate of a stage's time per unit.
_WEIGHT = 0.2
# Cores per inference in latency mode: two cores that share an inference lose little throughput, and a
# frame is ready sooner (docs/benchmarks.md).
_CORES_PER_INFERENCE = 2


class Job(Protocol):
    """The owner of a part. The pool calls it on the thread that runs the part."""

    def part_began(self) -> None:
        """The part starts now."""
        ...

    def part_done(self, waited_s: float) -> None:
        """The part is done, after it waited for cores for `waited_s`."""
        ...


@dataclass(order=True, slots=True)
class _Task:
    """A part that waits for a thread. Parts of earlier stages come first, then parts of older frames."""

    rank: tuple[int, int, int]
    part: Part = field(compare=False)
    stage: str = field(compare=False)
    job: Job = field(compare=False)
    waited_s: float = field(default=0.0, compare=False)  # time spent waiting for cores
    alone: bool = field(default=False, compare=False)  # whether no other part ran or waited when it got its cores


def concurrency_for(cameras: int, throughput: bool) -> int:
    """Return how many inferences run at the same time: one per camera and at least two, as far as the cores allow.

    In latency mode, each inference gets at least two cores, unless only one is available. In
    throughput mode, one core is enough, which yields more frames per second.

    Args:
        cameras: number of cameras.
        throughput: throughput mode.
    """
    least = 3 if throughput and all_cores() == 3 else 2  # two inferences would leave the third core idle
    return max(1, min(all_cores() // (1 if throughput else _CORES_PER_INFERENCE), max(least, cameras)))


def cores_each(concurrency: int) -> int:
    """Return the core budget of an inference while others run at the same time."""
    return max(1, all_cores() // concurrency)


class Pool:
    """Queues parts of the models' work, provides the loop of the threads that run them, and admits frames.

    Args:
        stages: names of the stages that use the pool, in the order in which a frame passes them.
        concurrency: how many inferences run at the same time.
        gate: kept open while a frame should enter, and closed otherwise.
        watch: notified of a failed part.
        throughput: throughput mode: favour frames per second over latency (files only).
    """

    def __init__(
        self, stages: Sequence[str], concurrency: int, gate: Gate, watch: Watch, throughput: bool = False
    ) -> None:
        self.concurrency, self.threads = concurrency, concurrency + throughput
        self._stages, self._throughput = list(stages), throughput
        self._gate, self._is_gate_open = gate, True
        self._watch = watch
        self._cores = cores_each(concurrency)
        self._waiting: list[_Task] = []
        self._numbers = itertools.count()
        self._running = self._computing = self._on_their_way = 0
        self._unit_s: dict[str, float] = {}  # estimated time for one frame or person, by stage
        self._in_use = len(stages)
        self._stopped = False
        self._changed = threading.Condition()

    def submit(self, stage: str, frame: Frame, part: Part, job: Job) -> None:
        """Queue a part for the threads.

        Args:
            stage: name of the stage that the part belongs to.
            frame: the frame that the part belongs to.
            part: the work.
            job: notified when the part starts and ends.
        """
        with self._changed:
            rank = self._stages.index(stage), frame.captured_mono_ns, next(self._numbers)
            heapq.heappush(self._waiting, _Task(rank, part, stage, job))
            self._tell()
            self._changed.notify_all()

    def passed_on(self, stage: str) -> None:
        """Record that a result of this stage is on its way to the next stage that uses the pool."""
        with self._changed:
            self._on_their_way += stage != self._stages[-1]
            self._tell()

    def arrived(self, stage: str) -> None:
        """Record that an item has reached this stage and that its parts are queued."""
        with self._changed:
            self._on_their_way -= stage != self._stages[0]
            self._tell()

    def work(self) -> None:
        """Run parts until the last stage has left or `stop` is called. This is the body of each thread."""
        try:
            self._work()
        except Closed:  # results are no longer accepted: the run is ending
            return
        except BaseException:
            self._watch.failed()
            raise

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped or not self._in_use)
                if self._stopped or not self._waiting:
                    return
                task = heapq.heappop(self._waiting)
                self._running += 1
                self._tell()
            task.job.part_began()
            started = time.perf_counter()
            with core_budget(partial(self._take, task)):
                task.part.run()
            seconds = time.perf_counter() - started - task.waited_s
            task.job.part_done(task.waited_s)
            with self._changed:
                self._running -= 1
                if not task.alone:
                    usual_s = self._unit_s.get(task.stage, seconds / task.part.units)
                    self._unit_s[task.stage] = usual_s + _WEIGHT * (seconds / task.part.units - usual_s)
                self._tell()

    @contextlib.contextmanager
    def _take(self, task: _Task) -> Iterator[int]:
        """Wait until an inference may start, then yield the core budget of the task's inference."""
        came_s = time.perf_counter()
        with self._changed:
            self._changed.wait_for(lambda: self._computing < self.concurrency or self._stopped)
            if self._stopped:
                raise Closed
            self._computing += 1
            task.alone = self._running == 1 and not self._waiting
        task.waited_s += time.perf_counter() - came_s
        try:
            yield all_cores() if task.alone and not self._throughput else self._cores
        finally:
            with self._changed:
                self._computing -= 1
                self._changed.notify_all()

    def leave(self) -> None:
        """Record that a stage has ended and submits no more parts."""
        with self._changed:
            self._in_use -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End each thread once its current part is done. Waiting parts are discarded."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def _tell(self) -> None:
        is_hungry = self._is_hungry()
        if is_hungry != self._is_gate_open:
            self._is_gate_open = is_hungry
            self._gate.let_in(is_hungry)

    def _is_hungry(self) -> bool:
        """Whether a frame should enter now.

        True if idle threads outnumber the queued parts plus the results on their way between
        stages. Also true if the other threads would finish the queued parts while one thread runs
        the new frame's first stage, because the frame's second stage then finds a free thread.
        """
        if len(self._waiting) + self._on_their_way < self.threads - self._running:
            return True
        first = self._stages[0]
        if self._on_their_way or any(task.stage == first for task in self._waiting):
            return False
        waits_s = sum(self._unit_s.get(task.stage, 0.0) * task.part.units for task in self._waiting)
        return 0 < waits_s <= self._unit_s.get(first, 0.0) * (self.concurrency - 1)
