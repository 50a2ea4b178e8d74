"""The messages of a Parquet recording, in order. The memory that this needs does not depend on the files.

Used by recordings.reading, which imports it only when a recording needs it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.info import split_name
from realtime.recordings.lines import check_numbers, left_out
from realtime.recordings.parquet import FRAMES, OPEN, PEOPLE, Rows, Schema, check, conform, split, to_messages

log = logging.getLogger(__name__)

_FRAMES_ENDING, _PEOPLE_ENDING = ".frames.parquet", ".parquet"
# How many messages are in memory at once while a recording is read.
_MESSAGES = 128
_BUFFER_BYTES = 2**20
_File: TypeAlias = Any  # pyarrow has no types
ERRORS = (pa.ArrowException, ValueError, OSError)


def pair(path: Path) -> tuple[Path, Path]:
    """Return the two files of a recording, given either.

    >>> [file.name for file in pair(Path("x.frames.parquet"))]
    ['x.parquet', 'x.frames.parquet']
    """
    if path.name.endswith(_FRAMES_ENDING):
        return path.with_name(path.name.removesuffix(_FRAMES_ENDING) + _PEOPLE_ENDING), path
    return path, path.with_name(split_name(path)[0] + _FRAMES_ENDING)


class ParquetMessages:
    """The messages of a finished recording, x.parquet and x.frames.parquet.

    Args:
        path: either of the two, which exists.

    Raises:
        ConfigError: one of the two can't be read, or is no part of a recording.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        beside = [pair(path), pair(path.resolve())]  # a link may lead to a folder with both
        self._people, self._frames = next((two for two in beside if all(map(os.path.exists, two))), beside[0])
        self.has_warned = False
        files = [(self._people, PEOPLE), (self._frames, FRAMES)]
        for file, columns in reversed(files) if path == self._frames else files:
            if not file.exists() and file != path:
                raise ConfigError(f"{path}: its other file, {file.name}, is missing: a recording needs both")
            try:
                check(_open_parquet(file).schema_arrow, columns)
            except ERRORS as error:
                raise ConfigError(f"{file}: {why_of(error)}") from None

    def messages(self) -> Iterator[wire.PoseMessage]:
        """Yield all messages in the order of the recording.

        If the files are damaged, those before the damage are read, and a warning says so.

        Raises:
            ConfigError: no message can be read.
        """
        yield from _messages(self, self._path, self._parts())

    def cameras(self) -> Iterator[str]:
        """Yield the camera of each message, from one column. Those behind a damage are left out.

        Raises:
            ConfigError: the file can't be read.
        """
        with contextlib.suppress(*ERRORS):
            for batch in _batches(self._frames, ["camera"]):
                yield from batch.column("camera").to_pylist()

    def _parts(self) -> Iterator[tuple[Rows, Rows]]:
        people = _Rows(_batches(self._people, PEOPLE.names), PEOPLE)
        for batch in _batches(self._frames, FRAMES.names):
            frames = conform(batch, FRAMES)
            counts = frames.column("people").to_pylist()
            rows = people.take(sum(counts))
            if rows.num_rows == sum(counts):
                yield frames, rows
                continue
            whole, left = 0, rows.num_rows
            while counts[whole] <= left:
                left -= counts[whole]
                whole += 1
            yield frames.slice(0, whole), rows.slice(0, rows.num_rows - left)
            raise people.error or ValueError(f"has fewer people than {self._frames.name} says")
        if people.take(1).num_rows:
            raise ValueError(f"has more people than {self._frames.name} says")


class OpenMessages:
    """The messages of x.parquet.open, which a run is writing, or left behind when it was killed.

    Args:
        path: its path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.has_warned = False

    def messages(self) -> Iterator[wire.PoseMessage]:
        """Yield all messages in the order of the recording. Incomplete ones at the end are left out, with a warning.

        Raises:
            ConfigError: no message can be read.
        """
        yield from _messages(self, self._path, (tuple(reversed(split(rows))) for rows in self._rows()))

    def cameras(self) -> Iterator[str]:
        """Yield the camera of each message.

        Raises:
            ConfigError: the file can't be read.
        """
        with contextlib.suppress(*ERRORS):
            for rows in self._rows():
                yield from rows.column("camera").to_pylist()

    def _rows(self) -> Iterator[Rows]:
        try:
            with self._path.open("rb") as file, pa.ipc.open_stream(file) as reader:
                check(reader.schema, OPEN)
                while True:
                    yield conform(reader.read_next_batch(), OPEN)
        except StopIteration:
            return


class _Rows:
    """Takes rows from batches of other lengths.

    Attributes:
        error: the damage that was met.
    """

    def __init__(self, batches: Iterator[Rows], schema: Schema) -> None:
        self._batches, self._schema = batches, schema
        self._left = schema.empty_table()
        self.error: Exception | None = None

    def take(self, count: int) -> Rows:
        """Return the next rows; fewer at the end, or before damage."""
        parts = [self._left]
        missing = count - self._left.num_rows
        try:
            while missing > 0 and (batch := next(self._batches, None)) is not None:
                parts.append(conform(batch, self._schema))
                missing -= batch.num_rows
        except ERRORS as error:
            self.error = error
        rows = pa.concat_tables(parts)
        self._left = rows.slice(count)
        return rows.slice(0, count).combine_chunks()


def _messages(
    source: ParquetMessages | OpenMessages, path: Path, parts: Iterator[tuple[Rows, ...]]
) -> Iterator[wire.PoseMessage]:
    has_message = False
    why = "empty: its run has not published anything"
    count, first = 0, ""  # messages that are left out, and the reason for the first one
    try:
        for frames, people in parts:
            for message in to_messages(frames, people):
                try:
                    check_numbers(message)
                except ValueError as error:
                    count += 1
                    why = first = first or str(error)
                    continue
                has_message = True
                yield message
    except ERRORS as error:
        why = why_cut(error) if isinstance(source, OpenMessages) else why_of(error)
        if has_message and not source.has_warned:
            source.has_warned = True
            log.warning("%s: %s; the messages after that are left out", path, why)
    if not has_message:
        raise ConfigError(f"{path}: {why}")
    if count and not source.has_warned:
        source.has_warned = True
        log.warning("%s: %s; %s", path, first, left_out(count, "messages"))


def why_of(error: Exception) -> str:
    """The reason in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror}"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"damaged or incomplete: {text}" if isinstance(error, pa.ArrowException | OSError) else text


def why_cut(error: Exception) -> str:
    """The reason in one line, for a file that has no end until its run has ended."""
    if isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and not error.strerror):
        return "incomplete, as a killed run leaves its last second"
    return why_of(error)


def _open_parquet(path: Path) -> _File:
    return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)


def _batches(path: Path, columns: list[str]) -> Iterator[Rows]:
    file = _open_parquet(path)
    for group in range(file.num_row_groups):  # one by one, so that damage in one does not touch the one before it
        yield from file.iter_batches(_MESSAGES, row_groups=[group], columns=columns, use_threads=False)
