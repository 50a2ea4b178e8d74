"""Logging to standard error, as text or JSON, with all secrets redacted.

Not part of the data path: realtime.cli sets it up once. Standard output stays free for piping. Each record is one line,
whatever it contains; the lines of a traceback follow it, indented in the text format.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol

from realtime.printable import printable_json
from realtime.redact import one_line, redact

log = logging.getLogger(__name__)

_INDENT = "  "
# Further keys of a JSON line about one camera, as far as the call gives them in `extra`, and not as None: the camera's
# name, its new state with the reason, and the cause of dropped frames. tests/test_rules.py checks the calls.
_KEYS = ("camera", "state", "reason", "cause")


class _Text(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        head = f"{self.formatTime(record, self.datefmt)} {record.levelname.lower()} {_message(record).rstrip()}"
        lines = [head, *(line for trace in _traces(record) for line in trace.split("\n"))]
        return f"\n{_INDENT}".join(one_line(line, self._secrets) for line in lines)


class _Json(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(_message(record), self._secrets),
        }
        given = {key: value for key in _KEYS if (value := vars(record).get(key)) is not None}
        line |= {key: redact(str(value), self._secrets) for key, value in given.items()}
        if trace := _traces(record):
            line["traceback"] = redact("\n".join(trace), self._secrets)
        return printable_json(json.dumps(line, ensure_ascii=False))


def _message(record: logging.LogRecord) -> str:
    """The message; unformatted if the arguments don't fit it, because `logging` would print that without redaction."""
    try:
        return record.getMessage()
    except Exception:  # a bug of the caller; the arguments may raise anything
        return record.msg if isinstance(record.msg, str) else type(record.msg).__name__


def _traces(record: logging.LogRecord) -> list[str]:
    """The traceback and the stack of a record, if it has them."""
    trace = [logging.Formatter().formatException(record.exc_info)] if record.exc_info else []
    return [*trace, record.stack_info] if record.stack_info else trace


def set_up_logging(level: str, form: str, secrets: Sequence[str] = ()) -> None:
    """Send log lines to standard error.

    Args:
        level: debug, info, warning or error, for this package. Other libraries log errors only, unless it is debug.
        form: text or json.
        secrets: strings to hide in addition to what `redact` finds in URLs.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(secrets) if form == "json" else _Text(secrets))
    root = logging.getLogger()
    # Some libraries set the level of their own loggers, which would replace ours.
    handler.addFilter(lambda record: record.levelno >= root.level or record.name.split(".")[0] == "realtime")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
    logging.getLogger("realtime").setLevel(level.upper())
    logging.captureWarnings(True)


class Lines(Protocol):
    """A destination of log lines."""

    def write(self, text: str, /) -> object:
        """Take a line, with its line feed."""

    def flush(self) -> object:
        """Do nothing: each line is written at once."""


def divert(lines: Lines) -> Callable[[], None] | None:
    """Send log lines somewhere else instead of to standard error.

    Args:
        lines: gets each line in one call.

    Returns:
        A function that sends them to standard error again; None, and nothing changes, if they don't go there.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setStream(lines)
            return partial(handler.setStream, sys.stderr)
    return None


def pass_on(line: str) -> None:
    """Write a line of another process of ours, which has formatted and redacted it, among the log lines."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.lock:
            with handler.lock, contextlib.suppress(OSError, ValueError):
                handler.stream.write(line.rstrip("\n") + "\n")
                handler.flush()


def is_json() -> bool:
    """Whether log lines are JSON, so that an error line should be one too."""
    return any(isinstance(handler.formatter, _Json) for handler in logging.getLogger().handlers)


def log_uncaught() -> None:
    """Log exceptions that nothing catches, for the rest of the process. Python would print them with their secrets."""

    def report(what: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error or kind(), trace)
            return
        log.critical(what, exc_info=(kind, error or kind(), trace))

    sys.excepthook = partial(report, "unexpected error; please report this")
    threading.excepthook = lambda args: report(
        f"unexpected error in the thread {args.thread and args.thread.name}; please report this",
        args.exc_type,
        args.exc_value,
        args.exc_traceback,
    )
    sys.unraisablehook = lambda args: report(
        "an error was ignored, because nothing could handle it", args.exc_type, args.exc_value, args.exc_traceback
    )
