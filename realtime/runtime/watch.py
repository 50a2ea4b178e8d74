"""The interface through which the machinery of a run reports what happens to the stages.

The loops of the stages and the pool call a Watch on their threads, the door and the channels only need to report waits.
realtime.pipeline implements it for the run report, the pace and the states of the cameras.
"""

from __future__ import annotations

from typing import Protocol


class Waits(Protocol):
    """Receives how long items wait for the stages. Called from any thread."""

    def waited(self, stage: str, seconds: float) -> None:
        """An item waited for `seconds` before this stage took it."""
        ...


class Watch(Waits, Protocol):
    """Is notified of what the stages do. Called from any thread, so its methods must be thread-safe and quick."""

    def began(self, stage: str) -> None:
        """A call of this stage starts now."""
        ...

    def ended(self, stage: str, items: int, seconds: float) -> None:
        """A call of this stage has processed `items` items in `seconds`."""
        ...

    def failed(self) -> None:
        """A stage has raised an error. Called before the stage is closed, and before the error propagates."""
        ...


class Unwatched:
    """A Watch that ignores everything.

    Example:
        >>> Unwatched().waited("pose", 0.2)
    """

    def began(self, stage: str) -> None:
        """Do nothing."""

    def ended(self, stage: str, items: int, seconds: float) -> None:
        """Do nothing."""

    def waited(self, stage: str, seconds: float) -> None:
        """Do nothing."""

    def failed(self) -> None:
        """Do nothing."""
