"""Standard output: only this program writes to it, and a text is written completely or causes one clear error.

Used by cli, flags and evaluate. Libraries may print to descriptor 1 at any time. After `keep_stdout`, that is standard
error, and only `write_out` and an output file that is called /dev/stdout reach the user's standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from realtime.errors import OutputError
from realtime.stdio import discard_stdout, is_stdout_closed

_STDOUT, _STDERR = 1, 2
# Follow at most this many links, as Linux does.
_MOST_LINKS = 40
# Standard output as the user gave it; None if this process shares it with its caller. Global, like descriptor 1 itself.
_kept: TextIO | None = None


def keep_stdout() -> None:
    """Keep standard output for `write_out`, and send everything else that is printed to standard error.

    Call it in a program of its own only, before anything is printed. Descriptors 0 to 2 must be open. Without a
    standard output, nothing changes.
    """
    global _kept
    if is_stdout_closed() or _kept is not None:
        return
    sys.stdout.flush()
    _kept = os.fdopen(os.dup(_STDOUT), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    os.dup2(_STDERR, _STDOUT)
    sys.stdout = sys.stderr


def discard_output() -> None:
    """Drop all further text for standard output, after a write has failed: Python writes it again at exit."""
    if _kept is None:
        discard_stdout()
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _kept.fileno())
    os.close(null)


def out_encoding() -> str:
    """The encoding in which `write_out` writes."""
    return (sys.stdout if _kept is None else _kept).encoding or "utf-8"


def write_out(text: str) -> None:
    """Write a text to standard output and flush it.

    Raises:
        BrokenPipeError: the reader of the pipe is gone.
        OutputError: standard output is closed or can't be written.
    """
    out = sys.stdout if _kept is None else _kept
    if is_stdout_closed():
        raise OutputError("standard output can't be written: it is closed")
    try:
        out.write(text)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise OutputError(f"standard output can't be written: {error.strerror}") from None


def kept_path(path: Path) -> Path:
    """Return the path under which an output file can be opened: a different one if it leads to the kept output.

    >>> kept_path(Path("report.json")).name
    'report.json'

    Args:
        path: any path; /dev/stdout, /dev/fd/1 and links to them lead to standard output.

    Raises:
        OutputError: it leads to standard output, which is closed.
    """
    if not _leads_to_stdout(path):
        return path
    if is_stdout_closed():
        raise OutputError(f"{path} can't be written: standard output is closed")
    return path if _kept is None else Path(f"/dev/fd/{_kept.fileno()}")


def is_kept(path: Path) -> bool:
    """Whether a path is the one that `kept_path` returned for standard output."""
    return _kept is not None and path == Path(f"/dev/fd/{_kept.fileno()}")


def _leads_to_stdout(path: Path) -> bool:
    descriptors = os.path.realpath("/dev/fd")
    for _ in range(_MOST_LINKS):
        if path.name == str(_STDOUT) and os.path.realpath(path.parent) == descriptors:
            return True
        try:
            path = path.parent / path.readlink()
        except OSError:  # it is no link
            break
    return False
