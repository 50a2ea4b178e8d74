"""How many items are processed at once: split into even batches, and in smaller ones if a device's memory is full.

Used by the detector and the pose models on the data path. The items are frames or people.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from realtime.errors import MemoryFullError

if TYPE_CHECKING:
    from realtime.runtime.lane import Lane

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def even_parts(count: int, largest: int) -> Iterator[slice]:
    """Split range(count) into the fewest parts of at most `largest`, with sizes that differ by at most 1.

    A batch that is one person too large therefore becomes two halves, not a full batch and a batch of one.

    Example:
        >>> list(even_parts(17, 16))
        [slice(0, 8, None), slice(8, 17, None)]
    """
    parts = -(-count // largest)
    for i in range(parts):
        yield slice(i * count // parts, (i + 1) * count // parts)


class Fit:
    """How many items fit into a device's memory at once: at first `most`, and half of it each time the memory is full.

    Example:
        >>> import torch
        >>> from realtime.runtime.lane import Lane
        >>> def work(most):
        ...     if most > 3:
        ...         raise MemoryFullError("cuda:0: not enough memory")
        ...     return f"in batches of {most}"
        >>> fit = Fit(Lane(torch.device("cpu")), "people", most=32)
        >>> fit.run(12, work), fit.most
        ('in batches of 3', 3)

    Attributes:
        most: largest number of items to process at once. It never grows again, because the memory that is full now
            will be as full with the next large batch.
    """

    def __init__(self, lane: Lane | None, items: str, most: int = sys.maxsize) -> None:
        """Take the first limit.

        Args:
            lane: the lane that the items are processed on; None: they are processed without torch, on a CPU.
            items: what they are, for the log: "people".
            most: largest number to try.
        """
        self.most = most
        self._lane, self._items = lane, items

    def run(self, count: int, work: Callable[[int], Result]) -> Result:
        """Return the result of `work` on `count` >= 1 items. While the memory is full, repeat it with smaller batches.

        Args:
            count: how many items there are.
            work: processes all of them, in batches of at most the number that it is given.

        Raises:
            MemoryFullError: not even one item fits.
        """
        tried = most = min(self.most, count)
        while True:
            try:
                result = work(most)
                break
            except MemoryFullError:
                if most == 1 or self._lane is None:
                    raise
            # After the except clause, because the traceback of the error refers to the tensors of the batch.
            self._lane.free_cache()
            most //= 2
        if most < tried and self._lane is not None:
            self.most = most
            text = "%s: the memory is too small for %d %s at once; using batches of at most %d from now on"
            log.warning(text, self._lane.device, tried, self._items, most)
        return result
