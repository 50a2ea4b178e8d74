"""The progress bar of a measurement: on standard error, and only on a terminal.

The commands of realtime.evaluate use it. No other file imports tqdm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from tqdm import tqdm

from realtime.printable import printable

Item = TypeVar("Item")


def progress(items: Iterable[Item], label: str, total: int | None = None, unit: str = "frames") -> Iterable[Item]:
    """Return the same items, with a bar that advances while they are consumed.

    Args:
        items: the items to iterate over.
        label: text before the bar, such as the name of a sequence or a file.
        total: the number of items, if `items` has no length.
        unit: what an item is, in the plural.
    """
    bar = tqdm(
        items, desc=printable(label), total=total, unit=f" {unit}", leave=False, disable=None, dynamic_ncols=True
    )
    return cast("Iterable[Item]", bar)  # tqdm ships no types
