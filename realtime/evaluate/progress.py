"""The bar that shows how far a measurement is: on standard error, and only on a terminal.

Used by every module of realtime.evaluate. The only file that imports tqdm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], label: str, total: int | None = None, unit: str = "frames") -> Iterable[Item]:
    """The same items, with a bar that advances as they are taken.

    Args:
        items: what is worked through.
        label: stands before the bar: a sequence, a file.
        total: how many there are, where `items` has no length.
        unit: what is counted.
    """
    bar = tqdm(items, desc=label, total=total, unit=f" {unit}", leave=False, disable=None, dynamic_ncols=True)
    return cast("Iterable[Item]", bar)  # tqdm ships no types
