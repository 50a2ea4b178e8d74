"""The tools beside the pipeline: `realtime-pose WORD ...` runs `python -m realtime.WORD ...`.

Not on the data path. Each tool reads the stream or prepares a run, and needs none of the pipeline's libraries to start.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

TOOLS = {
    "client": "print the poses of a stream",
    "keys": "create key pairs for an encrypted stream",
    "evaluate": "measure accuracy, latency and cost",
    "replay": "publish a recording again",
    "convert": "convert a recording to formats of other programs",
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
