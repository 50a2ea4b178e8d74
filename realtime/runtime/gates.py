"""The door, as the parts of the pipeline see it that decide when frames enter and tell when they have left.

Implemented by runtime.door; used by runtime.pace, runtime.pool and publish.stage.
"""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    """The door as the pace and the pool see it: they decide when frames may enter."""

    def not_before(self, time_s: float) -> None:
        """Let no live frame enter before this moment (monotonic seconds)."""
        ...

    def let_in(self, may_enter: bool) -> None:
        """Let the frames of all cameras enter, or make them wait."""
        ...


class Exit(Protocol):
    """The door as the publisher sees it: a published frame makes room for another one."""

    def is_live(self, camera: str) -> bool:
        """Whether this camera's newest frame replaces the waiting one."""
        ...

    def leave(self, camera: str) -> None:
        """Record that a frame of this camera was published."""
        ...

    def release_hold(self) -> None:
        """Open a door that was created with `held`."""
        ...
