"""Reads the recordings that `--record` writes.

Used by `latency`, `speed.compare` and `smoothing.clips`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from realtime import wire
from realtime.errors import ConfigError

# wire.decode expects the topic of a message. Lines of a recording have none; they contain the camera instead.
_TOPIC = wire.pose_topic("recording")


def read_recording(file: Path) -> Iterator[wire.PoseMessage]:
    """Yield the messages of a .jsonl file.

    An incomplete last line is skipped, because it comes from a run that was killed.

    Raises:
        ConfigError: the file can't be read, or a line is not a pose message.
    """
    try:
        with file.open("rb") as lines:
            for place, line in enumerate(lines, 1):
                if line.endswith(b"\n"):
                    yield _message(line, f"{file}:{place}")
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from None


def _message(line: bytes, where: str) -> wire.PoseMessage:
    try:
        message = wire.decode(_TOPIC, line)
    except wire.WireError as error:
        raise ConfigError(f"{where}: {error}") from None
    assert isinstance(message, wire.PoseMessage)  # because _TOPIC is that of a pose message
    return message
