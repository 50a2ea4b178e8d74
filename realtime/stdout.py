"""Standard output: a text is written whole, or there is one clear error. Used by cli and flags."""

from __future__ import annotations

import os
import sys

from realtime.errors import OutputError


def write_out(text: str) -> None:
    """Write a text to standard output and flush it.

    Raises:
        BrokenPipeError: the reader of the pipe is gone.
        OutputError: standard output is closed or can't be written.
    """
    if sys.stdout is None:
        raise OutputError("standard output can't be written: it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - takes the flush at exit, which would fail again
        raise OutputError(f"standard output can't be written: {error.strerror}") from None
