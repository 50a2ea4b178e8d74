"""Logging to standard error, as text or JSON, with all secrets redacted.

Not part of the data path: realtime.cli sets it up once. Standard output stays free for piping.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence

from realtime.redact import redact


class _Text(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return redact(super().format(record), self._secrets)


class _Json(logging.Formatter):
    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage(), self._secrets),
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info), self._secrets)
        return json.dumps(line, ensure_ascii=False)


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
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if level == "debug" else logging.ERROR)
    logging.getLogger("realtime").setLevel(level.upper())
    logging.captureWarnings(True)
