"""A bounded queue between two stages: it blocks instead of dropping, and it can be ended from outside.

Sits between every two stages of the data path. Past capture, only runtime.door drops frames.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

from realtime.runtime.watch import Unwatched, Waits

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - it names a state, like queue.Empty
    """This channel or door has ended: it accepts and returns no more items."""


class Channel(Generic[T]):
    """Passes items from one stage to the next, in order. All methods may be called from any thread.

    Args:
        capacity: maximum number of items inside.
        reader: name of the stage that takes the items.
        waits: receives how long each item waited for the reader.

    Example:
        >>> channel: Channel[str] = Channel(capacity=2)
        >>> channel.put("first")
        >>> channel.try_put("second"), channel.try_put("third")
        (True, False)
        >>> channel.take()
        ['first', 'second']
    """

    def __init__(self, capacity: int, reader: str = "", waits: Waits | None = None) -> None:
        self._items: deque[tuple[T, float]] = deque()  # with their arrival times
        self._capacity = capacity
        self._reader, self._waits = reader, waits or Unwatched()
        self._changed = threading.Condition()
        self._closed = self._aborted = False

    def put(self, item: T) -> None:
        """Append an item; block while the channel is full.

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
        """Append an item unless the channel is full. Return whether it was appended.

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
        """Take all waiting items, oldest first; block until one arrives. Empty if none arrives within `timeout_s`.

        Raises:
            Closed: the channel was closed and is empty, or it was aborted.
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
            self._waits.waited(self._reader, now_s - came_s)
        return [item for item, _ in items]

    def close(self) -> None:
        """Close the channel gracefully: items inside can still be taken, then `take` raises Closed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Close the channel immediately: items inside are discarded, and `put` and `take` raise Closed."""
        with self._changed:
            self._closed = self._aborted = True
            self._items.clear()
            self._changed.notify_all()
