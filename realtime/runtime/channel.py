"""A bounded queue between two stages: it blocks, it never drops, and it can be ended from outside.

Sits between every two stages of the data path. Dropping happens in runtime.door alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - it tells a state, like queue.Empty
    """Nothing more comes out of, or goes into, this channel or door."""


class Channel(Generic[T]):
    """Items in order from one stage to the next. All methods may be called from any thread.

    Args:
        capacity: most items inside.
        waited: told for how many seconds each item waited inside.
    """

    def __init__(self, capacity: int, waited: Callable[[float], None] = lambda seconds: None) -> None:
        self._items: deque[tuple[T, float]] = deque()  # each with the moment it came
        self._capacity = capacity
        self._waited = waited
        self._changed = threading.Condition()
        self._closed = self._aborted = False

    def put(self, item: T) -> None:
        """Append an item; wait while the channel is full.

        Raises:
            Closed: the channel was closed or aborted.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._capacity or self._closed)
            if self._closed:
                raise Closed
            self._items.append((item, time.monotonic()))
            self._changed.notify_all()

    def try_put(self, item: T) -> bool:
        """Append an item unless the channel is full; whether it was.

        Raises:
            Closed: the channel was closed or aborted.
        """
        with self._changed:
            if self._closed:
                raise Closed
            if len(self._items) >= self._capacity:
                return False
            self._items.append((item, time.monotonic()))
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float | None = None) -> list[T]:
        """All items that wait, oldest first; wait for the first one. Empty when `timeout_s` passed without any.

        Raises:
            Closed: the channel was closed and is empty, or was aborted.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._aborted or (self._closed and not self._items):
                raise Closed
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
        now_s = time.monotonic()
        for _, came_s in items:
            self._waited(now_s - came_s)
        return [item for item, _ in items]

    def close(self) -> None:
        """The producer is done: what is inside can still be taken, then `take` raises Closed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Stop at once: what is inside is forgotten and both sides get Closed."""
        with self._changed:
            self._closed = self._aborted = True
            self._items.clear()
            self._changed.notify_all()
