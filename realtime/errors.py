"""Every error that a user can cause, each with the program's exit code.

These errors are raised anywhere on the data path and caught once, in realtime.cli.

    RealtimeError            1   the run failed
    ├── ConfigError          2   a flag, key, file, endpoint or missing extra is wrong
    │   └── OutputError      2   an output can't be written, a port can't be bound
    ├── SourceError          3   a source can't be opened
    │   └── TruncatedError   1   a file ended before its end
    └── ModelError           4   a model can't be found or loaded

A message is one plain line: which camera or key, what it got, what it expected, what to do.
A bug in this package raises ValueError instead, which ends the program with a traceback and exit code 1.
"""

from __future__ import annotations

from enum import Enum


class RealtimeError(Exception):
    """The run failed, for a reason that one line explains to the user."""

    exit_code = 1


class ConfigError(RealtimeError):
    """A flag, a key, a configuration file or the environment is wrong."""

    exit_code = 2


class OutputError(ConfigError):
    """An output can't be written or a port can't be bound."""


class SourceReason(Enum):
    """Why a source can't be read, in the words of the log and of StatusMessage.reason."""

    MISSING = "missing"
    NOT_MEDIA = "not a video or an image"
    NO_VIDEO = "no video track"
    PERMISSION = "permission denied"
    DEVICE = "webcam not available"
    REFUSED = "connection refused"
    AUTH = "login failed"
    NOT_FOUND = "not found"
    TIMEOUT = "timed out"
    DNS = "host name not found"
    LOST = "connection lost"
    CODEC = "can't be decoded"
    MODE = "mode not possible"
    TRUNCATED = "the file is truncated"
    BEHIND = "falls behind"


class SourceError(RealtimeError):
    """A source can't be opened, or was lost while it was read.

    Attributes:
        reason: the kind of fault, which determines how soon the camera is opened again (capture.backoff).
    """

    exit_code = 3

    def __init__(self, message: str, reason: SourceReason) -> None:
        super().__init__(message)
        self.reason = reason


class TruncatedError(SourceError):
    """A file is cut off: its intact frames were published, the rest is missing."""

    exit_code = 1


class ModelError(RealtimeError):
    """A model can't be found, fetched, verified or loaded."""

    exit_code = 4
