# SPDX-License-Identifier: MIT
"""Text for a log or a terminal: one line stays one line, and no character moves the cursor or changes a colour.

Not part of the data path. File names, addresses, keys of a file and answers of a camera may contain any character. The
log (observe.log), the error lines of all programs and the lines of realtime.client pass through here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from typing import NoReturn


def printable(text: str) -> str:
    r"""Replace the characters that can't be printed by their escapes, as `repr` writes them.

    These are control characters, line separators, characters without a shape (such as the marks that reverse the
    direction of text) and the bytes of a file name that isn't UTF-8. A backslash stays a backslash.

    >>> print(printable("a.mp4\n12:00:00 info forged \x1b[31m"))
    a.mp4\n12:00:00 info forged \x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def printable_json(line: str) -> str:
    r"""Do the same for a line of JSON without changing its value. Only its strings may contain such characters.

    >>> print(printable_json('{"reason": "\x9b31m"}'))
    {"reason": "\u009b31m"}
    """
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def say(line: str) -> None:
    """Write one line to standard error. If that fails, do nothing: there is no other place to report it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # full or a broken pipe; closed; there is none
        sys.stderr.write(printable(line) + "\n")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors quote the command line on one line."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit with code 2."""
        super().error(printable(message))


def in_words(seconds: float) -> str:
    """Return a duration in its one or two largest units.

    >>> in_words(0.0804), in_words(4.2), in_words(200), in_words(7_500), in_words(200_000)
    ('80 ms', '4 s', '3 min 20 s', '2 h 5 min', '2 d 7 h')
    """
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1e3:.0f} ms"
    left = int(seconds) if seconds >= 60 else round(seconds)
    if left < 60:
        return f"{left} s"
    sizes = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    largest = next(place for place, (_, size) in enumerate(sizes) if left >= size)
    (unit, size), (next_unit, next_size) = sizes[largest : largest + 2]
    return f"{left // size} {unit} {left % size // next_size} {next_unit}"
