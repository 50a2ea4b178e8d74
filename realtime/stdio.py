# SPDX-License-Identifier: MIT
"""Standard input, output and error of the process, made safe before anything else is opened.

Not part of the data path. Each program begins here: the pipeline (cli), and the tools client, keys and evaluate. A
service manager may start a program with descriptor 0, 1 or 2 closed. The next file or socket to be opened would get
that number, and a library that prints would write into it. This file imports nothing but small modules of the
standard library, because every import may open files.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO, cast

_STDIN, _STDOUT, _STDERR = range(3)
# The exit codes of realtime.errors for an output that can't be written and for any other failure. The client has
# another licence and can't import them.
_NOT_WRITTEN, _NOT_READ = 2, 1
# How characters that an encoding lacks are written (`_escaped`).
_ESCAPE = "realtime-escape"


class Lossy(io.RawIOBase):
    """Passes bytes on to another stream, and drops those that can't be written there.

    >>> full = io.FileIO("/dev/full", "w")
    >>> stream = Lossy(full)
    >>> stream.write(b"a line of the log")
    17
    >>> stream.has_lost
    True

    Args:
        stream: any raw stream.
        name: the name of this stream.

    Attributes:
        has_lost: whether anything was dropped.
    """

    def __init__(self, stream: io.RawIOBase, name: str = "") -> None:
        self._stream = stream
        self.name = name
        self.has_lost = False

    # Any: Python 3.11 has no type for objects that hold bytes.
    def write(self, data: Any) -> int:  # noqa: ANN401
        """Write the bytes, or drop them. Return the number of bytes that need not be written again."""
        with contextlib.suppress(OSError):  # closed, full, or the reader is gone
            if (written := self._stream.write(data)) is not None:  # None: a full pipe that must not block
                return written
        self.has_lost = True
        return len(memoryview(data))

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether the other stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the other stream."""
        return self._stream.fileno()


def open_standard_streams() -> None:
    """Open closed descriptors on the null device, and let no write to standard error fail.

    Afterwards `sys.stdin`, `sys.stdout` and `sys.stderr` are streams, and characters that their encoding lacks are
    written as escapes. Standard output is buffered (even with `python -u`), so a full disk is noticed when it is
    flushed. `is_stdout_closed` still tells whether it was closed. A stream that a program has replaced is left alone.
    """
    codecs.register_error(_ESCAPE, _escaped)
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        _open(descriptor)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_raw(_STDIN, "r")), "utf-8")
    if sys.stdout is None:
        sys.stdout = _text(Lossy(_raw(_STDOUT, "w"), "<stdout>"), "utf-8")
    elif sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = _text(_raw_of(sys.stdout), sys.stdout.encoding)
    if sys.stderr is None:
        sys.stderr = _text(Lossy(_raw(_STDERR, "w"), "<stderr>"), "utf-8")
    elif sys.stderr is sys.__stderr__ and sys.stderr is not None:
        sys.stderr = _text(Lossy(_raw_of(sys.stderr), "<stderr>"), sys.stderr.encoding)


def another_stderr() -> TextIO:
    """Return another stream to standard error. A thread that is stuck in a write to it delays no other writer.

    Nor does it disturb the end of the process, at which Python waits for the buffer of `sys.stderr`.
    """
    return _text(Lossy(_raw(_STDERR, "w"), "<stderr>"), sys.stderr.encoding)


def is_stdout_closed() -> bool:
    """Whether this process was started without a standard output."""
    return sys.stdout is None or sys.__stdout__ is None


def discard_stdout() -> None:
    """Drop all further text, after a write has failed: Python flushes standard output again at exit."""
    sys.stdout = _text(Lossy(io.FileIO(os.devnull, "w"), "<stdout>"), "utf-8")


def run_main(main: Callable[[], int]) -> NoReturn:
    """Run the main function of a tool as the whole process.

    Args:
        main: prints to `sys.stdout` and returns the exit code, or raises SystemExit, as argparse does.

    Raises:
        SystemExit: always. The code is that of `main`. If that is 0, it is 2 if standard output can't be written, and 1
            if its reader is gone.
    """
    open_standard_streams()
    try:
        code = main()
    except SystemExit as end:
        code = cast("int", end.code)
    raise SystemExit(_flushed(code))


def _flushed(code: int) -> int:
    """Flush standard output, and return the exit code that follows."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        return code or _NOT_READ
    except OSError as error:
        why = error.strerror
        discard_stdout()
    else:
        if not (is_stdout_closed() and isinstance(raw := _raw_of(sys.stdout), Lossy) and raw.has_lost):
            return code
        why = "it is closed"
    sys.stderr.write(f"standard output can't be written: {why}\n")
    return code or _NOT_WRITTEN


def _open(descriptor: int) -> None:
    """Open a closed descriptor on the null device. The lower ones must be open.

    Standard output is opened for reading only, so that writing to it fails and the loss of text is noticed.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDONLY if descriptor == _STDOUT else os.O_RDWR)
        os.set_inheritable(opened, True)  # as standard streams are


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Write characters as JSON does, because log lines may be JSON: é as \u00e9, not \xe9 as backslashreplace does."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True)), error.end


def _raw(descriptor: int, mode: str) -> io.FileIO:
    try:
        return io.FileIO(descriptor, mode, closefd=False)
    except OSError:  # it is a folder
        return io.FileIO(os.devnull, mode)


def _raw_of(stream: TextIO) -> io.RawIOBase:
    """The stream under its buffer. It has no buffer with `python -u`."""
    return cast("io.RawIOBase", getattr(stream.buffer, "raw", stream.buffer))


def _text(raw: io.RawIOBase, encoding: str) -> io.TextIOWrapper:
    # Lines of a log or for a terminal are written at once.
    at_once = isinstance(raw, Lossy) or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors=_ESCAPE, line_buffering=at_once)
