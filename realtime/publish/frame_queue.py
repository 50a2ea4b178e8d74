"""A queue of frames that is bounded in bytes, because a frame has between 50 kB and 25 MB.

Used by publish.video between the publisher's thread and its own.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from realtime.runtime.channel import Closed

T = TypeVar("T")


class FrameQueue(Generic[T]):
    """Passes items in order from one thread to another.

    Args:
        most_items: capacity in items.
        most_bytes: capacity in bytes. Two items always fit, so that one can wait while another is processed.

    Example:
        >>> queue: FrameQueue[str] = FrameQueue(most_items=10, most_bytes=100)
        >>> [queue.put(name, 60, wait=False) for name in ("first", "second", "third")]
        [True, True, False]
        >>> queue.take()
        'first'
    """

    def __init__(self, most_items: int, most_bytes: int) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._most_items, self._most_bytes = most_items, most_bytes
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T, size: int, wait: bool) -> bool:
        """Append an item. Return False if the queue is full.

        Args:
            item: any object.
            size: its size in bytes.
            wait: whether to block while the queue is full.

        Raises:
            Closed: the queue was closed or aborted.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._closed or self._has_room(size))
            if self._closed:
                raise Closed
            if not self._has_room(size):
                return False
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()
            return True

    def take(self) -> T:
        """Take the oldest item; block until there is one.

        Raises:
            Closed: the queue was closed and is empty, or it was aborted.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if not self._items:
                raise Closed
            item, size = self._items.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Close the queue gracefully: items inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Close the queue and discard the items inside."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        fits = len(self._items) < self._most_items and self._bytes + size <= self._most_bytes
        return fits or len(self._items) < 2
