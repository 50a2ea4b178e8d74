"""Stand-ins for parts of a run that several tests need."""

import threading
import time
from collections.abc import Callable


class RecordingWatch:
    """A Watch (runtime/watch.py) that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []  # stage, items
        self.waits_s: list[float] = []
        self.failures = 0

    def began(self, stage: str) -> None:
        pass

    def ended(self, stage: str, items: int, seconds: float) -> None:
        self.calls.append((stage, items))

    def waited(self, stage: str, seconds: float) -> None:
        self.waits_s.append(seconds)

    def failed(self) -> None:
        self.failures += 1


class FakeDoor:
    """The door as the pace, the pool (Gate) and the publisher (Exit) see it."""

    def __init__(self) -> None:
        self.is_open = True
        self.entry_s: list[float] = []  # moments before which no frame may enter
        self.left: list[str] = []  # cameras of published frames
        self.released = threading.Event()

    def not_before(self, time_s: float) -> None:
        self.entry_s.append(time_s)

    def let_in(self, may_enter: bool) -> None:
        self.is_open = may_enter

    def is_live(self, camera: str) -> bool:
        return False

    def leave(self, camera: str) -> None:
        self.left.append(camera)

    def release_hold(self) -> None:
        self.released.set()


def wait_until(condition: Callable[[], object], found: Callable[[], str] = lambda: "timed out") -> None:
    """Wait for a condition that another thread makes true; fail after a time far beyond what that takes.

    Args:
        condition: returns whether to go on.
        found: returns the message of a failure.
    """
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s, found()
        time.sleep(0.001)
