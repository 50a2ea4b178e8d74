"""Reading what `--record` wrote.

Used by evaluate.latency, compare and clips.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from realtime import wire
from realtime.errors import ConfigError

# wire.decode wants a message's topic; lines of a recording have none, and the camera stands in the message.
_TOPIC = wire.pose_topic("recording")


def read_recording(file: Path) -> Iterator[wire.PoseMessage]:
    """The messages of a .jsonl file. A last line without its end is passed over: that run was killed.

    Raises:
        ConfigError: it can't be read, or a line is no pose message.
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
    assert isinstance(message, wire.PoseMessage)  # the topic says so
    return message
