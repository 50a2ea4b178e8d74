"""What a stage is, and the loop that runs one on a thread.

A stage is a function with state: it does not know its thread, its channels or the other stages. The loop takes all
that waits, calls the stage once, stamps the time spent on each frame and hands the results on, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from realtime.runtime.channel import Channel, Closed
from realtime.types import Detections, Frame, Poses, Tracks

Item = Frame | Detections | Tracks | Poses
In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Item)


class Stage(Protocol[In, Out]):
    """One step of the data path."""

    name: str

    def process(self, batch: list[In]) -> list[Out]:
        """One result per item, in order. Items of one camera come in the order of their frames."""
        ...

    def close(self) -> None:
        """Give up what the stage holds. Called once, on the thread that ran it."""
        ...


class Inbox(Protocol[In]):
    """Where a stage's items come from: a Channel or the Door."""

    def take(self, timeout_s: float | None = None) -> list[In]:
        """All that waits; empty after the time-out; raises Closed at the end."""
        ...


# (stage's name, number of items, seconds)
Measure = Callable[[str, int, float], None]
# (stage's name)
Began = Callable[[str], None]


def run_stage(
    stage: Stage[In, Out],
    inbox: Inbox[In],
    outbox: Channel[Out] | None,
    measure: Measure,
    on_failure: Callable[[], None] = lambda: None,
    began: Began = lambda name: None,
    prepare: Callable[[], None] = lambda: None,
    tick: Callable[[], None] | None = None,
    tick_s: float | None = None,
) -> None:
    """Run a stage until its inbox is closed, then close its outbox.

    An error leaves the outbox open: a failure must not look like the end of the stream.

    Args:
        stage: what to run.
        inbox: where its items come from.
        outbox: where its results go; None for the last stage.
        measure: told of every call when it has ended.
        on_failure: called before the stage is closed when it raised; the error goes on to the caller.
        began: told of every call when it begins.
        prepare: called first.
        tick: called between batches, at least every `tick_s` seconds, for a stage with duties of its own.
        tick_s: see tick.
    """
    try:
        prepare()
        while True:
            batch = inbox.take(tick_s)
            if batch:
                began(stage.name)
                started = time.perf_counter()
                results = stage.process(batch)
                seconds = time.perf_counter() - started
                measure(stage.name, len(batch), seconds)
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
        on_failure()
        raise
    finally:
        stage.close()


def frame_of(item: Item) -> Frame:
    """The frame that an item is about."""
    return item if isinstance(item, Frame) else item.frame
