"""Standard output: a text is written whole, or there is one clear error. Used by cli and flags."""

from __future__ import annotations

import sys

from realtime.errors import OutputError
from realtime.stdio import discard_stdout, is_stdout_closed


def write_out(text: str) -> None:
    """Write a text to standard output and flush it.

    Raises:
        BrokenPipeError: the reader of the pipe is gone.
        OutputError: standard output is closed or can't be written.
    """
    if is_stdout_closed():
        raise OutputError("standard output can't be written: it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        raise OutputError(f"standard output can't be written: {error.strerror}") from None
