"""The protocol of a stage, and the loop that runs a stage on a thread.

Every step of the data path after the door is a stage: a stateful function that knows nothing about
its thread, its channels or the other stages. The loop takes all waiting items, calls the stage once,
writes the elapsed time into each frame and passes the results on in order.
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
        """Return one result per item, in order. Items of one camera come in the order of their frames."""
        ...

    def forget(self, camera: str) -> None:
        """Drop the state of a removed camera. Called on the main thread, once no frame of it is in the pipeline."""
        ...

    def close(self) -> None:
        """Release the stage's resources. Called once, on the thread that ran the stage."""
        ...


class Inbox(Protocol[In]):
    """The source of a stage's items: a Channel or the Door."""

    def take(self, timeout_s: float | None = None) -> list[In]:
        """Return all waiting items, or an empty list after the timeout. Raises Closed at the end."""
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
        stage: the stage to run.
        inbox: where its items come from.
        outbox: where its results go; None for the last stage.
        measure: called after each batch with the stage's name, the number of items and the seconds spent.
        on_failure: called if the stage raises, before it is closed; the error propagates to the caller.
        began: called with the stage's name before each batch.
        prepare: called once on this thread, before the first batch.
        tick: called between batches and while none arrives, for a stage with periodic work of its own.
        tick_s: maximum seconds to wait for a batch before `tick` is called; None: no limit.
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
    """Return the frame that an item belongs to."""
    return item if isinstance(item, Frame) else item.frame
