"""The progress of a measurement: a bar on a terminal, otherwise a log line every 10 s.

The commands of realtime.evaluate use it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from realtime.printable import printable

log = logging.getLogger(__name__)

Item = TypeVar("Item")

# The bar is drawn at most this often (s), between two items, so that no thread disturbs the measurement.
_DRAW_S = 0.2
# Without a terminal, there is a log line at most this often (s).
_TELL_S = 10.0


class _Terminal(Console):
    """A terminal whose cursor stays visible, so that it is also after a kill."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing."""
        return False


def progress(items: Iterable[Item], label: str, total: int | None = None, unit: str = "frames") -> Iterator[Item]:
    """Return the same items, and show how many of them have been consumed.

    Args:
        items: the items to iterate over.
        label: text before the bar or the number, such as the name of a sequence or a file.
        total: the number of items, if `items` has no length.
        unit: what an item is, in the plural.
    """
    total = len(items) if isinstance(items, Sized) else total
    terminal = _Terminal(stderr=True)
    if not (terminal.file.isatty() and terminal.is_interactive):
        yield from _told(items, label, total, unit)
        return
    texts = [TextColumn("{task.description}", markup=False), TextColumn(unit), TimeRemainingColumn()]
    columns = [texts[0], BarColumn(), MofNCompleteColumn(), *texts[1:]]
    with Progress(*columns, console=terminal, transient=True, auto_refresh=False, redirect_stdout=False) as bar:
        task = bar.add_task(printable(label), total=total)
        drawn_s = 0.0
        for item in items:
            yield item
            bar.advance(task)
            if (now_s := time.monotonic()) - drawn_s >= _DRAW_S:
                bar.refresh()
                drawn_s = now_s


def _told(items: Iterable[Item], label: str, total: int | None, unit: str) -> Iterator[Item]:
    """Return the same items, and log how many have been consumed."""
    of_all = "" if total is None else f" of {total}"
    told_s = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if (now_s := time.monotonic()) - told_s >= _TELL_S:
            log.info("%s: %d%s %s", printable(label), number, of_all, unit)
            told_s = now_s
