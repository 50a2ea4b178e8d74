"""The messages of a .jsonl recording, one line after the other. The memory that this needs does not depend on the file.

Used by recordings.reading.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from realtime import wire
from realtime.errors import ConfigError
from realtime.wire.reading import LONGEST_MESSAGE

log = logging.getLogger(__name__)

# wire.decode expects the topic of a message. Lines of a recording have none; they contain the camera instead.
_TOPIC = wire.pose_topic("recording")
_PREFIX = f"{_TOPIC.decode()}: can't read the message: "
# The longest line in bytes: that of the longest message, and its line break.
_LONGEST_LINE = LONGEST_MESSAGE + 2
_BUFFER_BYTES = 2**20
# A file whose first lines can't be read, this many of them, is no recording. A part of a recording that was cut out of
# it begins in the middle of a line.
_MOST_UNREADABLE = 20
_MARK = b"\xef\xbb\xbf"  # programs of Windows put it at the beginning of a file


class _Head(msgspec.Struct):
    """The part of a pose message that names its camera, which is decoded much faster than the whole message."""

    schema: Literal["pose/1"]
    camera: str


class _Schema(msgspec.Struct):
    schema: str


class Lines:
    """A .jsonl recording: a file, or a pipe that is read once.

    Args:
        path: its path, which exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_warned = False

    def messages(self) -> Iterator[wire.PoseMessage]:
        """Yield all messages, in the order of the file.

        Lines that can't be read are left out. At the end, one warning names the first one and counts the others. The
        last line of a killed run is such a line.

        Raises:
            ConfigError: the file can't be read, or contains no messages.
        """
        count, first = 0, ""
        has_message = False
        for number, line in self._lines():
            try:
                message = _decode(line)
            except ValueError as error:
                count, first = count + 1, first or f"{self._path}:{number}: {error}"
                if not has_message and (line is None or count == _MOST_UNREADABLE):
                    break
                continue
            has_message = True
            yield message
        if not has_message:
            raise ConfigError(self._why_none(first))
        if count and not self._has_warned:
            self._has_warned = True
            log.warning("%s; %s", first, left_out(count, "lines"))

    def cameras(self) -> Iterator[str]:
        """Yield the camera of each message, much faster than `messages`. Lines of other schemas are left out.

        Raises:
            ConfigError: the file can't be read.
        """
        for _, line in self._lines():
            try:
                yield msgspec.json.decode(line or b"", type=_Head).camera
            except (ValueError, RecursionError):
                continue

    def _lines(self) -> Iterator[tuple[int, bytes | None]]:
        """Yield each line with its number, from 1; None instead of one that is too long."""
        try:
            with self._path.open("rb", buffering=_BUFFER_BYTES) as file:
                number = 0
                while line := file.readline(_LONGEST_LINE):
                    number += 1
                    if number == 1:
                        line = line.removeprefix(_MARK)
                    is_long = len(line) == _LONGEST_LINE and not line.endswith(b"\n")
                    if is_long or line.strip():
                        yield number, None if is_long else line
                    if is_long:
                        _skip_line(file)
        except OSError as error:
            raise ConfigError(f"{self._path}: can't be read: {error.strerror}") from None

    def _why_none(self, first: str) -> str:
        if not first:
            return f"{self._path}: empty: its run has not published anything"
        return f"{first}; expected a recording: a .jsonl or .parquet file of --record"


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(_BUFFER_BYTES)) and not rest.endswith(b"\n"):
        pass


def _decode(line: bytes | None) -> wire.PoseMessage:
    """Decode a line; None stands for one that is too long.

    Raises:
        ValueError: it is no pose message that this version can read. The message is the reason.
    """
    if line is None:
        raise ValueError(f"a line of more than {LONGEST_MESSAGE // 2**20} MB")
    if not line.lstrip().startswith(b"{"):
        raise ValueError("not a line of JSON")
    try:
        message = wire.decode(_TOPIC, line.lstrip())
    except wire.WireError as error:
        cut = "incomplete, as a killed run leaves its last line" if not line.endswith(b"\n") else None
        raise ValueError(_of_schema(line) or cut or str(error).removeprefix(_PREFIX)) from None
    assert isinstance(message, wire.PoseMessage)  # because _TOPIC is that of a pose message
    check_numbers(message)
    return message


def left_out(count: int, what: str) -> str:
    """The end of a warning about the first of some lines or messages.

    >>> left_out(1, "lines"), left_out(3, "lines")
    ('left out', 'left out, as were 2 more lines')
    """
    return "left out" + (f", as were {count - 1} more {what}" if count > 1 else "")


def check_numbers(message: wire.PoseMessage) -> None:
    """Check that the numbers which name files and frames in other formats are those of a publisher.

    Raises:
        ValueError: one is lower than docs/wire.md allows. The message is the reason.
    """
    lowest_id = min(message.track_ids, default=1)
    for key, got, least in (("seq", message.seq, 0), ("frame", message.frame, 0), ("track_ids", lowest_id, 1)):
        if got < least:
            raise ValueError(f"{key}: got {got}, expected at least {least}")


def _of_schema(line: bytes) -> str | None:
    """The reason if the line is of another schema; else None."""
    try:
        schema = msgspec.json.decode(line, type=_Schema).schema
    except (ValueError, RecursionError):
        return None
    if re.fullmatch(r"pose/0*([2-9]|[1-9]\d+)", schema):
        return f"written by a newer program (schema {schema}, this one reads pose/1): use its version"
    return None if schema == "pose/1" else f"schema: got {schema!r}, expected 'pose/1'"
