"""The tools beside the pipeline: `realtime-pose WORD ...` runs `python -m realtime.WORD ...`. Replay and convert share
their error lines here.

Not on the data path. Each tool reads the stream or prepares a run, and needs none of the pipeline's libraries to start.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from realtime.errors import ConfigError, RealtimeError
from realtime.printable import Parser, say
from realtime.redact import one_line

TOOLS = {
    "client": "print the poses of a stream",
    "keys": "create key pairs for an encrypted stream",
    "evaluate": "measure accuracy and speed: why is it slow, how to make it faster",
    "replay": "publish a recording again",
    "convert": "convert a recording to formats of other programs",
    "models": "say what a model file is, and which keypoints it has",
    "dashboard": "serve a live page, metrics and health of pipelines",
}


def run_tool(word: str, arguments: Sequence[str]) -> None:
    """Run a tool as the main program of this process.

    Args:
        word: a key of TOOLS.
        arguments: the arguments after it.

    Raises:
        SystemExit: the tool ended, with its exit code.
    """
    sys.argv[1:] = arguments
    runpy.run_module(f"realtime.{word}", run_name="__main__", alter_sys=True)


class ToolParser(Parser):
    """The parser of a tool: an error is one line, as that of the program."""

    def error(self, message: str) -> NoReturn:
        """Print the error in one line, without the usage, and exit with code 2."""
        say(f"error: {message}; see {self.prog} --help")
        raise SystemExit(ConfigError.exit_code)


def exit_code_of(work: Callable[[], None], extra: str) -> int:
    """Do the work of a tool, print its error in one line, and return the exit code.

    >>> exit_code_of(lambda: None, "run")
    0

    Args:
        work: raises RealtimeError for what the user can change, or ModuleNotFoundError if a library is missing.
        extra: the extra of this package that contains its libraries.
    """
    try:
        work()
    except RealtimeError as error:
        say(one_line(f"error: {error}", []))
        return error.exit_code
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in ("", "realtime"):
            raise
        say(f"error: {library} is not installed: pip install 'realtime-pose[{extra}]'")
        return ConfigError.exit_code
    return 0
