"""The loops that run a stage on its thread: on the thread itself, or divided over the pool.

They sit between the channels of the data path: take the waiting items, let the stage process them,
write the elapsed time into each frame and pass the results on in order.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic

from realtime.runtime.channel import Channel, Closed
from realtime.runtime.pool import Pool
from realtime.runtime.stage import DividedStage, In, Inbox, Out, Stage, Work, frame_of
from realtime.runtime.watch import Watch
from realtime.types import Frame


def run_stage(
    stage: Stage[In, Out],
    inbox: Inbox[In],
    outbox: Channel[Out] | None,
    watch: Watch,
    prepare: Callable[[], None] = lambda: None,
    tick: Callable[[], None] | None = None,
    tick_s: float | None = None,
) -> None:
    """Run a stage until its inbox is closed, then close its outbox.

    An error leaves the outbox open: a failure must not look like the end of the stream.

    Args:
        stage: the stage to run.
        inbox: where its items come from.
        outbox: where its results go; None for the last stage.
        watch: notified when a batch starts and ends, and of a failure.
        prepare: called once on this thread, before the first batch.
        tick: called between batches and while none arrives, for a stage with periodic work of its own.
        tick_s: maximum seconds to wait for a batch before `tick` is called; None: no limit.
    """
    try:
        prepare()
        while True:
            batch = inbox.take(tick_s)
            if batch:
                watch.began(stage.name)
                started = time.perf_counter()
                results = stage.process(batch)
                seconds = time.perf_counter() - started
                watch.ended(stage.name, len(batch), seconds)
                for item in batch:
                    frame_of(item).timing_ms[stage.name] = seconds * 1e3
                if outbox is not None:
                    for result in results:
                        outbox.put(result)
            if tick is not None:
                tick()
    except Closed:
        if outbox is not None:
            outbox.close()
    except BaseException:
        watch.failed()
        raise
    finally:
        stage.close()


def run_divided(
    stage: DividedStage[Any, Out],
    inbox: Inbox[Any],
    outbox: Channel[Out],
    pool: Pool,
    watch: Watch,
    waits_at_door: bool = False,
) -> None:
    """Run a stage on the pool until its inbox is closed, then close its outbox.

    The calling thread only divides the work. An error leaves the outbox open: a failure must not
    look like the end of the stream.

    Args:
        stage: the stage to run.
        inbox: where its items come from.
        outbox: where its results go.
        pool: runs the parts.
        watch: notified when an item is finished, how long it waited, and of a failure.
        waits_at_door: the door reports the waits for this stage, so the loop does not.
    """
    order: _Order[Out] = _Order(stage.name, outbox, pool, watch, waits_at_door)
    try:
        while True:
            for item in inbox.take():
                job = order.begin(frame_of(item), stage.divide(item, pool.concurrency))
                for part in job.work.parts:
                    pool.submit(stage.name, job.frame, part, job)
                pool.arrived(stage.name)
    except Closed:
        order.wait_until_empty()
        outbox.close()
    except BaseException:
        watch.failed()
        raise
    finally:
        pool.leave()
        stage.close()


class _Job(Generic[Out]):
    """One item's work and its timing."""

    def __init__(self, order: _Order[Out], frame: Frame, work: Work[Out]) -> None:
        self.frame, self.work = frame, work
        self._order = order
        self.came_s = time.perf_counter()
        self.left = len(work.parts)
        self.began_s: float | None = None
        self.ended_s = 0.0
        self.idle_s = math.inf  # shortest time that any of its parts waited for cores

    def part_began(self) -> None:
        """Record the start of the first part."""
        self.began_s = self.began_s or time.perf_counter()

    def part_done(self, waited_s: float) -> None:
        """Record that one part is done, after it waited for cores."""
        self._order.part_done(self, waited_s)

    @property
    def seconds(self) -> float:
        return self.ended_s - self.began_s - self.idle_s if self.began_s else 0.0

    @property
    def waited_s(self) -> float:
        return self.began_s - self.came_s + self.idle_s if self.began_s else 0.0


class _Order(Generic[Out]):
    """Releases results in the order of each camera's frames."""

    def __init__(self, stage: str, outbox: Channel[Out], pool: Pool, watch: Watch, waits_at_door: bool) -> None:
        self._stage, self._outbox, self._pool, self._watch = stage, outbox, pool, watch
        self._waits_at_door = waits_at_door
        self._jobs: dict[str, deque[_Job[Out]]] = {}
        self._changed = threading.Condition()

    def begin(self, frame: Frame, work: Work[Out]) -> _Job[Out]:
        """Register the work for a frame, before its parts are submitted. Without parts, it is done."""
        job = _Job(self, frame, work)
        with self._changed:
            self._jobs.setdefault(frame.camera, deque()).append(job)
        if not work.parts:
            self.part_done(job, 0.0)
        return job

    def part_done(self, job: _Job[Out], waited_s: float) -> None:
        """Record that one part of the job is done, then release every result that is next in its camera's order."""
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
                self._watch.ended(self._stage, 1, ready.seconds)
                if not self._waits_at_door:
                    self._watch.waited(self._stage, ready.waited_s)
                ready.frame.timing_ms[self._stage] = ready.seconds * 1e3
                self._pool.passed_on(self._stage)
                self._outbox.put(result)
            if not jobs:
                del self._jobs[job.frame.camera]
            self._changed.notify_all()

    def wait_until_empty(self) -> None:
        """Wait until all jobs are done or the pool is stopped."""
        with self._changed:
            while self._jobs and not self._pool.stopped:
                self._changed.wait(0.05)
