"""The pool: a few threads that compute the work of all stages which have a model, on a CPU.

Stages that each use all cores leave nothing to overlap; on cores of their own they wait for each other. So a model's
work is divided into parts, the pool's threads take the next part of whatever stage, and each network computes on its
share of the cores; a part that is alone gets all of them. Results leave in the order of each camera's frames.

The pool also says when a frame may enter: when a thread would else have nothing to do. Sooner, it would only grow old.
Where nobody waits for frames there is a thread more than networks may compute side by side: what comes before and after
a network (letterbox, crops, peaks) is done beside those of other frames, and cores never idle.
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

# How much a part's time counts for the estimate of the next one's.
_WEIGHT = 0.2
# The cores of a call: two lose little by working together, and a frame is ready sooner (docs/benchmarks.md).
_CORES_OF_A_CALL = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of work that one thread does.

    Attributes:
        run: does it.
        units: how much it is, in pictures or people: time is estimated by them.
    """

    run: Callable[[], None]
    units: int = 1


@dataclass(frozen=True, slots=True)
class Work(Generic[Out]):
    """What is to be done for one item.

    Attributes:
        parts: in any order, on any threads.
        finish: the result, once all parts are done. Called in the order of a camera's items, one at a time.
    """

    parts: Sequence[Part]
    finish: Callable[[], Out]


class DividedStage(Protocol[In, Out]):
    """A stage whose work on one item can be divided."""

    name: str

    def divide(self, item: In, calls: int) -> Work[Out]:
        """The work to do, for so many networks side by side. Items of one camera come in the order of their frames."""
        ...

    def close(self) -> None:
        """Give up what the stage holds."""
        ...


@dataclass(order=True, slots=True)
class _Task:
    """A part that waits for a thread: an earlier stage's first, then the older frame's."""

    rank: tuple[int, int, int]
    part: Part = field(compare=False)
    stage: str = field(compare=False)
    began: Callable[[], None] = field(compare=False)
    done: Callable[[float], None] = field(compare=False)
    waited_s: float = field(default=0.0, compare=False)  # for cores
    alone: bool = field(default=False, compare=False)  # when it got them


def calls_for(cameras: int, unhurried: bool) -> int:
    """How many networks compute side by side: one for each camera, at least two, no more than cores allow.

    Each has at least two cores; one where nobody waits for a frame: so more of them are ready in a second.
    """
    least = 3 if unhurried and all_cores() == 3 else 2  # two would leave the third core idle
    return max(1, min(all_cores() // (1 if unhurried else _CORES_OF_A_CALL), max(least, cameras)))


def cores_each(calls: int) -> int:
    """The cores of a network that is not alone."""
    return max(1, all_cores() // calls)


class Pool:
    """Threads that take parts, and the estimate of when they run out of them.

    Args:
        stages: names of the stages that use it, in the order in which a frame passes them; the last ends it.
        calls: how many networks compute side by side.
        may_enter: told whether a frame may enter, whenever that changes.
        unhurried: nobody waits for a frame: as many a second as can be, if older.
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
        self._unit_s: dict[str, float] = {}  # what one picture or person takes
        self._in_use = len(stages)
        self._stopped = False
        self._changed = threading.Condition()

    def submit(
        self, stage: str, frame: Frame, part: Part, began: Callable[[], None], done: Callable[[float], None]
    ) -> None:
        """Have a part done.

        Args:
            stage: whose it is.
            frame: which it is about.
            part: what to do.
            began: called on the thread that does it, before it begins.
            done: called there afterwards, with the seconds that its network waited for cores.
        """
        with self._changed:
            rank = self._stages.index(stage), frame.captured_mono_ns, next(self._numbers)
            heapq.heappush(self._waiting, _Task(rank, part, stage, began, done))
            self._tell()
            self._changed.notify_all()

    def passed_on(self, stage: str) -> None:
        """A stage's result is on its way to the next one that has parts."""
        with self._changed:
            self._on_their_way += stage != self._stages[-1]
            self._tell()

    def arrived(self, stage: str) -> None:
        """An item has reached a stage, and its parts were submitted."""
        with self._changed:
            self._on_their_way -= stage != self._stages[0]
            self._tell()

    def work(self, on_failure: Callable[[], None] = lambda: None) -> None:
        """Take parts until the last stage has left or `stop` was called: the body of each of the threads.

        Args:
            on_failure: called when a part raises; the error goes on to the caller.
        """
        try:
            self._work()
        except Closed:  # nobody takes results any more: the run is ending
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
        """The cores for a task's network, once they are free."""
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
        """A stage has ended: it brings no more parts."""
        with self._changed:
            self._in_use -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End at once: what waits is forgotten."""
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
        """Whether a frame that enters now would find a thread soon.

        Either one has nothing to do; or so little waits that the others need no longer for it than a frame's first
        stage needs one thread: then that is begun beside it, and nobody waits for the new frame's second stage.
        """
        if len(self._waiting) + self._on_their_way < self.threads - self._running:
            return True
        first = self._stages[0]
        if self._on_their_way or any(task.stage == first for task in self._waiting):
            return False
        waits_s = sum(self._unit_s.get(task.stage, 0.0) * task.part.units for task in self._waiting)
        return 0 < waits_s <= self._unit_s.get(first, 0.0) * (self.calls - 1)


class _Job(Generic[Out]):
    """One item's work while it is being done."""

    def __init__(self, frame: Frame, work: Work[Out]) -> None:
        self.frame, self.work = frame, work
        self.came_s = time.perf_counter()
        self.left = len(work.parts)
        self.began_s: float | None = None
        self.ended_s = 0.0
        self.idle_s = math.inf  # what each of its parts waited for cores

    def begin(self) -> None:
        self.began_s = self.began_s or time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s - self.idle_s if self.began_s else 0.0

    @property
    def waited_s(self) -> float:
        return self.began_s - self.came_s + self.idle_s if self.began_s else 0.0


class _Order(Generic[Out]):
    """Hands results on in the order of each camera's frames."""

    def __init__(self, stage: str, outbox: Channel[Out], pool: Pool, measure: Measure, waited: Waited) -> None:
        self._stage, self._outbox, self._pool, self._measure, self._waited = stage, outbox, pool, measure, waited
        self._jobs: dict[str, deque[_Job[Out]]] = {}
        self._changed = threading.Condition()

    def add(self, job: _Job[Out]) -> None:
        """A job that is about to begin."""
        with self._changed:
            self._jobs.setdefault(job.frame.camera, deque()).append(job)

    def part_done(self, job: _Job[Out], waited_s: float = 0.0) -> None:
        """One of a job's parts, or all of none, is done, after it waited for cores: hand on what is finished."""
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
        """Wait until all jobs are done, or it is of no use any more."""
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
    """Run a stage whose work the pool does, until its inbox is closed; then close its outbox.

    The thread that calls this only divides. `waited` is told for how long each item waited for one of the pool's; see
    runtime.stage.run_stage for the other arguments.
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
