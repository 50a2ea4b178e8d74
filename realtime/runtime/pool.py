"""The pool: a few threads that do the work of all model stages on a CPU.

Used by the detect and pose stages of the data path. If each stage ran on all cores, the stages
could not overlap; if each stage had its own cores, the faster one would wait for the slower one.
Therefore a stage divides its work into parts, and each thread of the pool takes the next part of
any stage. Every inference runs on its core budget, and a part that runs alone gets all cores.
Results leave in the order of each camera's frames.

The pool also decides when a frame may enter the pipeline. A frame that entered earlier would only age inside. One
thread more than concurrent inferences does the work before and after an inference (letterbox, crops, peaks) while all
cores compute for other frames. In throughput mode a frame therefore enters whenever a thread is idle. In latency mode
it enters when cores will be free by the time that it is prepared.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

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

Key = TypeVar("Key")


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
    camera: str = field(compare=False)
    job: Job = field(compare=False)
    waited_s: float = field(default=0.0, compare=False)  # time spent waiting for cores
    alone: bool = field(default=False, compare=False)  # whether no other part needed cores when it got them
    free_s: float = field(default=math.inf, compare=False)  # when its inference should end, or ended (monotonic)
    has_computed: bool = field(default=False, compare=False)


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
        self.concurrency, self.threads = concurrency, concurrency + 1
        self._stages, self._throughput = list(stages), throughput
        self._gate, self._open_from_s = gate, 0.0
        self._watch = watch
        self._cores = cores_each(concurrency)
        self._waiting: list[_Task] = []
        self._numbers = itertools.count()
        self._running: list[_Task] = []
        self._computing = self._on_their_way = 0
        self._unit_s: dict[str, float] = {}  # estimated time for one frame or person, by stage
        self._infer_s: dict[tuple[str, int], float] = {}  # that of the inference alone, by stage and number of cores
        self._prepare_s = 0.0  # estimated time from a frame's entry to its first inference
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
            heapq.heappush(self._waiting, _Task(rank, part, stage, frame.camera, job))
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
                self._running.append(task)
                self._tell()
            task.job.part_began()
            started = time.perf_counter()
            with core_budget(partial(self._take, task)):
                task.part.run()
            seconds = time.perf_counter() - started - task.waited_s
            task.job.part_done(task.waited_s)
            with self._changed:
                self._running = [each for each in self._running if each is not task]
                if not task.alone:
                    _learn(self._unit_s, task.stage, seconds / task.part.units)
                self._tell()

    @contextlib.contextmanager
    def _take(self, task: _Task) -> Iterator[int]:
        """Wait until an inference may start, then yield the core budget of the task's inference."""
        came_s = time.monotonic()
        with self._changed:
            if task.stage == self._stages[0]:
                took_s = came_s - self._gate.entered_s(task.camera)
                self._prepare_s += _WEIGHT * (took_s - self._prepare_s)
            self._changed.wait_for(lambda: self._computing < self.concurrency or self._stopped)
            if self._stopped:
                raise Closed
            self._computing += 1
            task.alone = not self._waiting and all(each is task or each.has_computed for each in self._running)
            cores = all_cores() if task.alone else self._cores
            began_s = time.monotonic()
            task.free_s = began_s + self._infer_s.get((task.stage, cores), math.inf) * task.part.units
            self._tell()
        task.waited_s += began_s - came_s
        try:
            yield cores
        finally:
            with self._changed:
                self._computing -= 1
                task.free_s, task.has_computed = time.monotonic(), True
                _learn(self._infer_s, (task.stage, cores), (task.free_s - began_s) / task.part.units)
                self._tell()
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
        open_from_s = 0.0 if self._is_hungry() else self._free_from_s() - self._prepare_s
        if open_from_s != self._open_from_s:
            self._open_from_s = open_from_s
            self._gate.open_from(open_from_s)

    def _is_hungry(self) -> bool:
        """Whether a frame should enter now.

        True if idle threads outnumber the queued parts plus the results on their way between
        stages. Also true if the other threads would finish the queued parts while one thread runs
        the new frame's first stage, because the frame's second stage then finds a free thread.
        """
        threads = self.threads if self._throughput else self.concurrency
        if len(self._waiting) + self._on_their_way < threads - len(self._running):
            return True
        first = self._stages[0]
        if self._on_their_way or any(task.stage == first for task in self._waiting):
            return False
        waits_s = sum(self._unit_s.get(task.stage, 0.0) * task.part.units for task in self._waiting)
        return 0 < waits_s <= self._unit_s.get(first, 0.0) * (self.concurrency - 1)

    def _free_from_s(self) -> float:
        """When cores will be free for a frame that enters (monotonic seconds); infinity if others will need them.

        They will be once a part of the last stage has computed, because no other part of its frame follows.
        """
        if self._throughput or self._waiting or self._on_their_way or len(self._running) > self.concurrency:
            return math.inf
        return min((task.free_s for task in self._running if task.stage == self._stages[-1]), default=math.inf)


def _learn(usual_s: dict[Key, float], key: Key, seconds: float) -> None:
    """Add a measured time to a running estimate."""
    before_s = usual_s.setdefault(key, seconds)
    usual_s[key] = before_s + _WEIGHT * (seconds - before_s)
