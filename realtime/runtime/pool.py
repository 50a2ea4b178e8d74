"""The pool: a few threads that do the work of all model stages on a CPU.

Used by the detect and pose stages of the data path. If each stage ran on all cores, the stages
could not overlap; if each stage had its own cores, the faster one would wait for the slower one.
Therefore a stage divides its work into parts, and each thread of the pool takes the next part of
any stage. Every inference runs on its core budget, and a part that runs alone gets all cores.
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
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from realtime.runtime.channel import Channel, Closed
from realtime.runtime.share import all_cores, share
from realtime.runtime.stage import Inbox, Item, Measure, frame_of
from realtime.types import Frame

In = TypeVar("In", bound=Item, contravariant=True)
Out = TypeVar("Out", bound=Item)

# (seconds)
Waited = Callable[[float], None]

# Weight of the latest part in the running estimate of a stage's time per unit.
_WEIGHT = 0.2
# Cores per inference in latency mode: two cores that share an inference lose little throughput, and a
# frame is ready sooner (docs/benchmarks.md).
_CORES_OF_A_CALL = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of work that one thread runs.

    Attributes:
        run: performs the work.
        units: the amount of work, in frames or people. Times are estimated per unit.
    """

    run: Callable[[], None]
    units: int = 1


@dataclass(frozen=True, slots=True)
class Work(Generic[Out]):
    """The work for one item.

    Attributes:
        parts: may run in any order, on any threads.
        finish: returns the result. Called once all parts are done, in the order of a camera's
            items, one at a time.
    """

    parts: Sequence[Part]
    finish: Callable[[], Out]


class DividedStage(Protocol[In, Out]):
    """A stage whose work on one item can be divided."""

    name: str

    def divide(self, item: In, calls: int) -> Work[Out]:
        """Divide the work on an item. Items of one camera come in the order of their frames.

        Args:
            item: what to process.
            calls: how many inferences run at the same time.
        """
        ...

    def close(self) -> None:
        """Release the stage's resources."""
        ...


@dataclass(order=True, slots=True)
class _Task:
    """A part that waits for a thread. Parts of earlier stages come first, then parts of older frames."""

    rank: tuple[int, int, int]
    part: Part = field(compare=False)
    stage: str = field(compare=False)
    began: Callable[[], None] = field(compare=False)
    done: Callable[[float], None] = field(compare=False)
    waited_s: float = field(default=0.0, compare=False)  # time spent waiting for cores
    alone: bool = field(default=False, compare=False)  # whether no other part ran or waited when it got its cores


def calls_for(cameras: int, unhurried: bool) -> int:
    """Return how many inferences run at the same time: one per camera and at least two, as far as the cores allow.

    In latency mode, each inference gets at least two cores, unless only one is available. In
    throughput mode, one core is enough, which yields more frames per second.

    Args:
        cameras: number of cameras.
        unhurried: throughput mode.
    """
    least = 3 if unhurried and all_cores() == 3 else 2  # two inferences would leave the third core idle
    return max(1, min(all_cores() // (1 if unhurried else _CORES_OF_A_CALL), max(least, cameras)))


def cores_each(calls: int) -> int:
    """Return the core budget of an inference while others run at the same time."""
    return max(1, all_cores() // calls)


class Pool:
    """The queue of parts, the body of the threads that run them, and the decision about when a frame may enter.

    Args:
        stages: names of the stages that use the pool, in the order in which a frame passes them.
        calls: how many inferences run at the same time.
        may_enter: called with whether a frame may enter, each time the answer changes.
        unhurried: throughput mode: favour frames per second over latency (files only).
    """

    def __init__(
        self, stages: Sequence[str], calls: int, may_enter: Callable[[bool], None], unhurried: bool = False
    ) -> None:
        self.calls, self.threads = calls, calls + unhurried
        self._stages = list(stages)
        self._may_enter, self._told = may_enter, True
        self._cores = cores_each(calls)
        self._waiting: list[_Task] = []
        self._numbers = itertools.count()
        self._running = self._computing = self._on_their_way = 0
        self._unit_s: dict[str, float] = {}  # estimated time for one frame or person, by stage
        self._in_use = len(stages)
        self._stopped = False
        self._changed = threading.Condition()

    def submit(
        self, stage: str, frame: Frame, part: Part, began: Callable[[], None], done: Callable[[float], None]
    ) -> None:
        """Queue a part for the threads.

        Args:
            stage: name of the stage that the part belongs to.
            frame: the frame that the part belongs to.
            part: the work.
            began: called on the thread that runs the part, before it starts.
            done: called on the same thread afterwards, with the seconds that the part waited for cores.
        """
        with self._changed:
            rank = self._stages.index(stage), frame.captured_mono_ns, next(self._numbers)
            heapq.heappush(self._waiting, _Task(rank, part, stage, began, done))
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

    def work(self, on_failure: Callable[[], None] = lambda: None) -> None:
        """Run parts until the last stage has left or `stop` is called. This is the body of each thread.

        Args:
            on_failure: called when a part raises, before the error propagates to the caller.
        """
        try:
            self._work()
        except Closed:  # results are no longer accepted: the run is ending
            return
        except BaseException:
            on_failure()
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
            task.began()
            started = time.perf_counter()
            with share(partial(self._take, task)):
                task.part.run()
            seconds = time.perf_counter() - started - task.waited_s
            task.done(task.waited_s)
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
            self._changed.wait_for(lambda: self._computing < self.calls or self._stopped)
            if self._stopped:
                raise Closed
            self._computing += 1
            task.alone = self._running == 1 and not self._waiting
        task.waited_s += time.perf_counter() - came_s
        try:
            yield all_cores() if task.alone else self._cores
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
        may_enter = self._is_hungry()
        if may_enter != self._told:
            self._told = may_enter
            self._may_enter(may_enter)

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
        return 0 < waits_s <= self._unit_s.get(first, 0.0) * (self.calls - 1)


class _Job(Generic[Out]):
    """One item's work and its timing."""

    def __init__(self, frame: Frame, work: Work[Out]) -> None:
        self.frame, self.work = frame, work
        self.came_s = time.perf_counter()
        self.left = len(work.parts)
        self.began_s: float | None = None
        self.ended_s = 0.0
        self.idle_s = math.inf  # shortest time that any of its parts waited for cores

    def begin(self) -> None:
        self.began_s = self.began_s or time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s - self.idle_s if self.began_s else 0.0

    @property
    def waited_s(self) -> float:
        return self.began_s - self.came_s + self.idle_s if self.began_s else 0.0


class _Order(Generic[Out]):
    """Releases results in the order of each camera's frames."""

    def __init__(self, stage: str, outbox: Channel[Out], pool: Pool, measure: Measure, waited: Waited) -> None:
        self._stage, self._outbox, self._pool, self._measure, self._waited = stage, outbox, pool, measure, waited
        self._jobs: dict[str, deque[_Job[Out]]] = {}
        self._changed = threading.Condition()

    def add(self, job: _Job[Out]) -> None:
        """Register a job before its parts are submitted."""
        with self._changed:
            self._jobs.setdefault(job.frame.camera, deque()).append(job)

    def part_done(self, job: _Job[Out], waited_s: float = 0.0) -> None:
        """Record that one part of the job is done, then release every result that is next in its camera's order.

        Call this once for a job without parts.

        Args:
            job: the job.
            waited_s: how long the part waited for cores.
        """
        with self._changed:
            job.left -= 1
            job.idle_s = min(job.idle_s, waited_s)
            if job.left > 0:
                return
            job.ended_s = time.perf_counter()
            jobs = self._jobs[job.frame.camera]
            while jobs and jobs[0].left <= 0:
                ready = jobs.popleft()
                result = ready.work.finish()
                self._measure(self._stage, 1, ready.seconds)
                self._waited(ready.waited_s)
                ready.frame.timing_ms[self._stage] = ready.seconds * 1e3
                self._pool.passed_on(self._stage)
                self._outbox.put(result)
            if not jobs:
                del self._jobs[job.frame.camera]
            self._changed.notify_all()

    def wait_until_empty(self, given_up: Callable[[], bool]) -> None:
        """Wait until all jobs are done or `given_up` returns true."""
        with self._changed:
            while self._jobs and not given_up():
                self._changed.wait(0.05)


def run_divided(
    stage: DividedStage[Any, Out],
    inbox: Inbox[Any],
    outbox: Channel[Out],
    pool: Pool,
    measure: Measure,
    on_failure: Callable[[], None] = lambda: None,
    waited: Waited = lambda seconds: None,
) -> None:
    """Run a stage on the pool until its inbox is closed, then close its outbox.

    The calling thread only divides the work. An error leaves the outbox open: a failure must not
    look like the end of the stream.

    Args:
        stage: the stage to run.
        inbox: where its items come from.
        outbox: where its results go.
        pool: runs the parts.
        measure: called with the stage's name, 1 and the seconds of work for each finished item.
        on_failure: called if the stage raises, before it is closed; the error propagates to the caller.
        waited: called with the seconds that each item waited for a thread of the pool and for cores.
    """
    order: _Order[Out] = _Order(stage.name, outbox, pool, measure, waited)
    try:
        while True:
            for item in inbox.take():
                job = _Job(frame_of(item), stage.divide(item, pool.calls))
                order.add(job)
                if not job.work.parts:
                    order.part_done(job)
                for part in job.work.parts:
                    pool.submit(stage.name, job.frame, part, job.begin, partial(order.part_done, job))
                pool.arrived(stage.name)
    except Closed:
        order.wait_until_empty(lambda: pool.stopped)
        outbox.close()
    except BaseException:
        on_failure()
        raise
    finally:
        pool.leave()
        stage.close()
