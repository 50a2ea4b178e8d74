"""Bars on a terminal, below the log lines.

Used by observe.progress. No other file of a run imports rich. The cursor stays visible, on an empty line below the
bars, so that a process that is killed leaves a usable terminal, and the text of another program starts on its own line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleDimensions, Group, OverflowMethod
from rich.live_render import LiveRender
from rich.progress_bar import ProgressBar
from rich.text import Text

from realtime.printable import printable
from realtime.stdio import another_stderr

# Between two draws that are further apart (s), the process was stopped (Ctrl-Z), and the shell may have written
# something.
_STOPPED_S = 1.5
# At most this many log lines wait for a terminal that is stopped; later ones are lost.
_MOST_LINES = 1000
# The size of a terminal that doesn't tell its own.
_COLUMNS, _LINES = 80, 24
# The width of a bar (columns). If less room is left, there is none.
_LEAST, _MOST = 8, 40
_COLOURS = {"reconnecting": "yellow", "failed": "red"}
# Which cameras are shown if not all rows fit: first the ones with trouble, last the ones that have ended.
_RANKS = {"reconnecting": 0, "failed": 0, "ended": 2}


class Row(NamedTuple):
    """What the bars show of one camera.

    Attributes:
        name: of the camera.
        done: the part of the file that is finished, 0..1; None: no bar.
        about: a text instead of a bar.
        state: of the camera.
        figures: more texts, which are aligned with those of other cameras; all rows have the same number.
    """

    name: str
    done: float | None
    about: str
    state: str
    figures: tuple[str, ...]


def open_bars() -> Bars | None:
    """Return bars on standard error; None if that is no terminal, or one that can't move its cursor (TERM=dumb)."""
    if not sys.stderr.isatty():
        return None
    console = Console(file=another_stderr(), force_terminal=True, force_jupyter=False, highlight=False)
    return Bars(console, sys.stderr.fileno()) if console.is_interactive else None


class Bars:
    """Writes log lines to a terminal, and bars below them. Only one thread may draw; any thread may write a line.

    Args:
        console: the terminal.
        descriptor: its descriptor.
    """

    def __init__(self, console: Console, descriptor: int) -> None:
        self._console, self._descriptor = console, descriptor
        self._lines: deque[str] = deque()
        self._lost = 0
        self._drawn, self._drawn_s = LiveRender(""), 0.0
        self._is_over = False

    def write(self, text: str, /) -> None:
        """Take a log line. The next draw writes it."""
        if len(self._lines) >= _MOST_LINES:
            self._lost += 1
            return
        self._lines.append(text)

    def flush(self) -> None:
        """Do nothing: `draw` writes the lines."""

    @property
    def has_lines(self) -> bool:
        """Whether a log line waits."""
        return bool(self._lines)

    def may_draw(self) -> bool:
        """Whether the program is in the foreground of its terminal. In the background, bars would disturb the shell."""
        try:
            return not self._is_over and os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except (AttributeError, OSError):  # Windows; the terminal is that of another session, or was closed
            return not self._is_over

    def leave(self) -> None:
        """Draw no more bars, and leave those on the terminal, because other text follows them. For any thread."""
        self._is_over = True

    def draw(self, rows: Sequence[Row]) -> None:
        """Write the log lines that wait, and the bars below them. Without rows, the bars are removed."""
        if not (is_ours := self.may_draw()) or time.monotonic() - self._drawn_s > _STOPPED_S:
            self._drawn = LiveRender("")
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(self._descriptor)
            self._console.size = ConsoleDimensions(size.columns or _COLUMNS, size.lines or _LINES)
        if hasattr(signal, "SIGTTOU"):  # it would stop a program in the background that writes (stty tostop)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with self._console as console:  # all in one write
            console.control(self._drawn.position_cursor())
            while self._lines:
                console.out(self._lines.popleft(), highlight=False, end="")
            if self._lost:
                console.out(f"lines of the log lost while the terminal was stopped: {self._lost}", highlight=False)
                self._lost = 0
            self._drawn = LiveRender("")
            if is_ours and (shown := lines(rows, console)):
                self._drawn = LiveRender(Group(*shown, ""))
                console.print(self._drawn, end="")
        self._drawn_s = time.monotonic()


def lines(rows: Sequence[Row], console: Console) -> list[Text]:
    """Return one line per camera, and no more lines than the terminal shows."""
    most, rest = console.height - 2, list[Row]()  # one line is for the log, and one for the cursor
    if most < 1:
        return []
    if len(rows) > most:
        ranked = sorted(rows, key=lambda row: _RANKS.get(row.state, 1))
        rows, rest = ranked[: most - 1], ranked[most - 1 :]
    names = [printable(row.name) for row in rows]
    name_width = max(map(len, names), default=0)
    widths = [max(map(len, column)) for column in zip(*(row.figures for row in rows), strict=True)]
    room = console.width - name_width - sum(width + 2 for width in widths if width) - 2
    middle = min(room, max((_MOST if row.done is not None else len(row.about) for row in rows), default=0))
    overflow: OverflowMethod = "ellipsis" if console.encoding.startswith("utf") else "crop"
    shown = []
    for name, row in zip(names, rows, strict=True):
        about = printable(row.about) if row.done is None else ""
        colour = _COLOURS.get(row.state, "")
        line = Text(name.ljust(name_width), no_wrap=True, overflow=overflow)
        if room >= _LEAST and len(about) <= middle:
            figures = [text.rjust(width) for text, width in zip(row.figures, widths, strict=True) if width]
            text = Text(about, colour) if row.done is None else _bar(row.done, middle, console)
            line.append("  ").append(text)
            line.pad_right(name_width + 2 + middle - len(line))
            line.append("  " + "  ".join(figures))
        else:  # without a bar, and not aligned
            line.append("  ".join(["", *filter(None, [about, *row.figures])]), colour)
        shown.append(line)
    if rest:
        states = Counter(row.state for row in rest)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        shown.append(Text(f"and {len(rest)} more: {counts}", no_wrap=True, overflow=overflow))
    return shown


def _bar(done: float, width: int, console: Console) -> Text:
    segments = console.render(ProgressBar(1.0, done, width=width, complete_style="cyan", finished_style="cyan"))
    return Text.assemble(*((segment.text, segment.style or "") for segment in segments))
