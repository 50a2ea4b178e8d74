"""A terminal for tests: a pair of descriptors, and what a person would see on its screen."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import select
import struct
import termios
import threading

from tests.doubles import wait_until

# The sequences that the program may use: move up, erase the line, and colours. None of them outlasts the program, but
# a colour that isn't reset.
_SEQUENCE = re.compile(r"\x1b\[(?P<number>\d*)(?P<what>[AK])|\x1b\[(?P<colour>[\d;]*)m|(?P<char>.)", re.DOTALL)


class Screen:
    """The lines of a terminal, including those that have scrolled out of sight.

    Args:
        columns: its width.
    """

    def __init__(self, columns: int = 80) -> None:
        self._columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self.is_coloured = False

    def feed(self, text: str) -> None:
        for match in _SEQUENCE.finditer(text):
            char = match["char"]
            assert char != "\x1b", f"unknown: {text[match.start() : match.start() + 10]!r}"
            if match["colour"] is not None:
                self.is_coloured = match["colour"] not in ("", "0")
            elif match["what"] == "A":
                self._row = max(0, self._row - int(match["number"] or 1))
            elif match["what"] == "K":
                self._rows[self._row] = []
            elif char == "\r":
                self._column = 0
            elif char == "\n":
                self._next_row()
            else:
                self._put(char)

    @property
    def lines(self) -> list[str]:
        """All lines with text."""
        return [line for row in self._rows if (line := "".join(row).rstrip())]

    @property
    def is_at_empty_line(self) -> bool:
        """Whether the cursor is at the start of an empty line, with no text below."""
        return self._column == 0 and not any(self._rows[self._row :])

    def _put(self, char: str) -> None:
        if self._column == self._columns:
            self._next_row()
        row = self._rows[self._row]
        row.extend(" " * (self._column + 1 - len(row)))
        row[self._column] = char
        self._column += 1

    def _next_row(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append([])


class Terminal:
    """A pseudo-terminal, for the duration of a `with` block.

    Attributes:
        descriptor: the end that a program takes for its terminal.
        screen: what it shows.
    """

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self._master, self.descriptor = os.openpty()
        self.resize(columns, lines)
        self.screen = Screen(columns)
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Terminal:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._reader.join(10)
        os.close(self._master)
        os.close(self.descriptor)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, text: str) -> None:
        """Wait until the last line contains this text. An empty text: until no line has any."""
        wait_until(
            lambda: text in self.screen.lines[-1] if text and self.screen.lines else not (text or self.screen.lines),
            lambda: f"{text!r} is not in {self.screen.lines}",
        )

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")().decode
        while not self._over.is_set():
            if select.select([self._master], [], [], 0.05)[0]:
                self.screen.feed(decode(os.read(self._master, 65536)))
