"""What a stage is: one step of the data path, as the machinery sees it.

Every step after the door is a stage: a stateful function that knows nothing about its thread, its
channels or the other stages. runtime.loop runs stages on threads; those with a model also divide
their work into parts for runtime.pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from realtime.types import Detections, Frame, Poses, Tracks

Item = Frame | Detections | Tracks | Poses
In = TypeVar("In", bound=Item)
Out = TypeVar("Out", bound=Item)
Divided = TypeVar("Divided", bound=Item, contravariant=True)


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


class DividedStage(Protocol[Divided, Out]):
    """A stage whose work on one item can be divided."""

    name: str

    def divide(self, item: Divided, concurrency: int) -> Work[Out]:
        """Divide the work on an item. Items of one camera come in the order of their frames.

        Args:
            item: what to process.
            concurrency: how many inferences run at the same time.
        """
        ...

    def close(self) -> None:
        """Release the stage's resources."""
        ...


def frame_of(item: Item) -> Frame:
    """Return the frame that an item belongs to."""
    return item if isinstance(item, Frame) else item.frame
