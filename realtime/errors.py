"""The errors that a user can act on, each with the program's exit code.

Any module may raise them. Capture handles those of a source that can be reopened, or that may fail without ending the
run, and a reload logs a ConfigError. All others end the run, and realtime.cli prints them.

    RealtimeError            1   the run failed
    ├── ConfigError          2   a flag, key, file or endpoint is wrong, or an extra is missing
    │   └── OutputError      2   an output can't be written, or a port can't be bound
    ├── SourceError          3   a source can't be opened, or was lost
    │   └── TruncatedError   1   a file is truncated or damaged
    ├── ModelError           4   a model can't be found or loaded
    │   └── EngineError      4   an inference engine can't run a model
    └── DeviceError          1   a GPU failed during the run
        └── MemoryFullError  1   a GPU has too little memory

A message is one plain line that names the camera or key, the value found, the expected value, and the remedy.
A bug in this package raises another exception, such as ValueError, which ends the program with a traceback and exit
code 1.
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
    DAMAGED = "damaged"
    KEY_FRAME = "waiting for a key frame"
    SERVER = "server error"
    REDIRECT = "redirect refused"
    TRANSPORT = "transport not possible"
    CERTIFICATE = "certificate not trusted"
    TOO_LARGE = "too large"
    INTERNAL = "internal error"


class SourceError(RealtimeError):
    """A source can't be opened, or was lost while it was being read.

    Attributes:
        reason: the kind of fault, which determines how soon the camera is opened again (capture.backoff).
        cause: why the frame that showed the fault was dropped; None if no frame was.
    """

    exit_code = 3
    cause: str | None = None

    def __init__(self, message: str, reason: SourceReason) -> None:
        super().__init__(message)
        self.reason = reason

    def again(self, message: str, kind: type[SourceError] | None = None) -> SourceError:
        """Return an error of the same kind, or of another one, with the same reason and cause.

        >>> error = too_large("shots/1.jpg", (16000, 16000), 250_000_000)
        >>> error.cause = "too large"
        >>> error.again("door: ...", TruncatedError).cause
        'too large'
        """
        error = (kind or type(self))(message, self.reason)
        error.cause = self.cause
        return error


def too_large(where: str, size: tuple[int, int], max_pixels: int) -> SourceError:
    """Return the error of a source whose picture has more than `max_pixels` pixels.

    >>> print(too_large("shots/1.jpg", (16000, 16000), 250_000_000))
    shots/1.jpg: too large: got 16000x16000, expected at most 250,000,000 pixels (cameras[].max_pixels)

    Args:
        where: the source or the file, redacted.
        size: width and height of the picture.
        max_pixels: the limit.
    """
    return SourceError(
        f"{where}: too large: got {size[0]}x{size[1]}, expected at most {max_pixels:,} pixels (cameras[].max_pixels)",
        SourceReason.TOO_LARGE,
    )


class TruncatedError(SourceError):
    """A file is truncated or damaged, or reading it failed before its end. Its intact frames were processed."""

    exit_code = 1


class ModelError(RealtimeError):
    """A model can't be found, fetched, verified or loaded."""

    exit_code = 4


class EngineError(ModelError):
    """An inference engine can't run a model. Another engine may be able to."""


class DeviceError(RealtimeError):
    """A GPU failed. While the models load, realtime.loading raises it as a ModelError."""


class MemoryFullError(DeviceError):
    """A GPU has too little memory. A smaller batch may fit."""


def first_line(error: BaseException, otherwise: str = "no reason given") -> str:
    """Return the first line of another library's error, to be quoted in a message of ours.

    Args:
        error: any exception. Its message may be empty or have many lines.
        otherwise: returned if the message is empty.

    >>> first_line(ValueError("bad magic number\\nin file x"))
    'bad magic number'
    """
    # Only at a line feed: the other separators of lines may be part of a password, which is then no longer recognised.
    return str(error).strip().partition("\n")[0].rstrip() or otherwise
