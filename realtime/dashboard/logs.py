# SPDX-License-Identifier: MIT
"""The log of the dashboard, on standard error: the same lines as those of the pipeline, as text or JSON."""

from __future__ import annotations

import json
import logging
import sys
import time

from realtime.printable import printable, printable_json

# Longer lines are cut (characters).
LONGEST_LINE = 8192
# Lines of uvicorn about nonsense that a stranger sent. An operator can't act on them, and anyone could fill the log.
_NONSENSE = ("Invalid HTTP request", "Invalid UTF-8", "Unsupported upgrade", "ASGI callable returned without")


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record, self.datefmt)} {record.levelname.lower()} {record.getMessage().rstrip()}"
        lines = [head, *_traceback(record)]
        return "\n  ".join(printable(line)[:LONGEST_LINE] for line in lines)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_LINE],
        }
        if trace := _traceback(record):
            line["traceback"] = "\n".join(trace)
        return printable_json(json.dumps(line, ensure_ascii=False))


def _traceback(record: logging.LogRecord) -> list[str]:
    return logging.Formatter().formatException(record.exc_info).split("\n") if record.exc_info else []


def set_up_logging(level: str, form: str) -> None:
    """Send log lines to standard error.

    Args:
        level: debug, info, warning or error, for this package. Other libraries log errors only.
        form: text or json.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handler.addFilter(lambda record: not record.getMessage().startswith(_NONSENSE))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    logging.getLogger("realtime").setLevel(level.upper())
