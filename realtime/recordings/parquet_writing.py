"""Writes Parquet recordings: the stream of a run, and the two files that are made of it.

Used by publish.parquet_file and the converters, which import it only when they write one. The memory that this needs
does not depend on the length of the recording.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from realtime import wire
from realtime.outputs import is_at, keep_access
from realtime.recordings.parquet import FRAMES, OPEN, PEOPLE, Rows, Schema, check, conform, split, to_rows
from realtime.recordings.parquet_reading import ERRORS, why_cut, why_of

log = logging.getLogger(__name__)

# Size of a row group in memory. It must be large to be compressed well, and can't be read in parts by every program.
_GROUP_BYTES = 8 * 2**20
# The columns of floats. Neighbouring numbers differ in their last bits, so that their bytes are compressed separately.
_FLOATS = (
    "media_s", "score", "x1", "y1", "x2", "y2", "keypoints.list.element", "raw_keypoints.list.element",
    "timing_ms.key_value.value",
)  # fmt: skip
_WORDS = (
    "session", "camera", "epoch", "seq", "frame", "captured_ns", "clock", "width", "height", "skeleton", "people",
    "track_id", "label", "timing_ms.key_value.key",
)  # fmt: skip
_Writer: TypeAlias = Any  # pyarrow has no types


class ParquetWriter:
    """Writes x.parquet and x.frames.parquet. A part of up to _GROUP_BYTES is in memory.

    >>> import io
    >>> from realtime.recordings.parquet_writing import ParquetWriter
    >>> people, frames = io.BytesIO(), io.BytesIO()
    >>> with ParquetWriter(people, frames) as writer:
    ...     writer.write([])
    >>> people.getvalue()[:4], frames.getvalue()[:4]
    (b'PAR1', b'PAR1')

    Args:
        people: the open file for the rows of people.
        frames: the open file for the rows of messages.
    """

    def __init__(self, people: BinaryIO, frames: BinaryIO) -> None:
        self._people = _writer(people, PEOPLE)
        self._frames = _writer(frames, FRAMES)
        self._waiting: list[Rows] = []
        self._waiting_bytes = 0

    def __enter__(self) -> ParquetWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, messages: Sequence[wire.PoseMessage]) -> None:
        """Append messages: some at a time are faster than one.

        Raises:
            OSError: the files can't be written.
        """
        self.write_rows(to_rows(messages))

    def write_rows(self, rows: Rows) -> bool:
        """Append a batch with the columns of OPEN. Return whether a part was written.

        Raises:
            OSError: the files can't be written.
        """
        self._waiting.append(rows)
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes < _GROUP_BYTES:
            return False
        self._flush()
        return True

    def close(self) -> None:
        """Write the rest and the ends of the files, which stay open.

        Raises:
            OSError: the files can't be written.
        """
        try:
            self._flush()
        finally:
            self._people.close()
            self._frames.close()

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            people, frames = split(pa.Table.from_batches(waiting))
            self._people.write_table(people)
            self._frames.write_table(frames)


def _writer(file: BinaryIO, schema: Schema) -> _Writer:
    names = set(schema.names)
    floats = [column for column in _FLOATS if column.partition(".")[0] in names]
    return pq.ParquetWriter(
        file, schema, compression="zstd", write_page_checksum=True,
        use_dictionary=[column for column in _WORDS if column.partition(".")[0] in names],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    )  # fmt: skip


def head() -> bytes:
    """Return the beginning of x.parquet.open."""
    return bytes(OPEN.serialize())


def block(messages: Sequence[wire.PoseMessage]) -> bytes:
    """Return messages as the next part of x.parquet.open."""
    return bytes(to_rows(messages).serialize())


class Finisher:
    """Turns x.parquet.open into x.parquet and x.frames.parquet, a part at a time, also while the file grows.

    Args:
        source: the file, with at least one block. It may be renamed meanwhile.
        temporary: the paths of two temporary files in the same folder. They are replaced.

    Raises:
        OSError: a file can't be opened.
        ValueError: the source is no such file. The message is the reason.
    """

    def __init__(self, source: Path, temporary: tuple[Path, Path]) -> None:
        self._name, self._temporary = source.name, temporary
        self._files: list[BinaryIO] = []
        self._writer: ParquetWriter | None = None
        self._read = 0
        self._source = source.open("rb")
        try:
            try:
                self._reader = pa.ipc.open_stream(self._source)
                check(self._reader.schema, OPEN)
            except pa.ArrowException as error:
                raise ValueError(why_of(error)) from None
            for path in temporary:
                self._files.append(path.open("wb"))
            self._writer = ParquetWriter(self._files[0], self._files[1])
        except BaseException:
            self.abandon()
            raise

    @property
    def position(self) -> int:
        """How many bytes of the source were read."""
        return self._source.tell()

    def step(self, limit: int) -> bool:
        """Write the next part, if the source has enough for one before the position `limit`.

        Args:
            limit: how far to read: the end of a complete block, or the end of the file.

        Returns:
            Whether there may be more.

        Raises:
            OSError: it can't be written.
        """
        assert self._writer is not None
        while self._source.tell() < limit:
            try:
                rows = conform(self._reader.read_next_batch(), OPEN)
            except StopIteration:
                return False
            except ERRORS as error:
                log.warning("%s: %s; the messages after that are left out", self._name, why_cut(error))
                self._source.seek(0, os.SEEK_END)
                return False
            self._read = self._source.tell()
            for batch in rows.to_batches():
                if self._writer.write_rows(batch):
                    return True
        return False

    def reads(self, source: Path) -> bool:
        """Whether this is the source, which may have been renamed."""
        return is_at(source, self._source.fileno())

    def finish(self, people: Path, frames: Path) -> bool:
        """Write the rest and give the files their names, once they are safe on the disk. `step` has returned False.

        Returns:
            Whether the source is no longer needed: it was read, except perhaps an incomplete block at the end.

        Raises:
            OSError: it can't be written. Call `abandon`.
        """
        assert self._writer is not None
        writer, self._writer = self._writer, None
        writer.close()
        access = os.fstat(self._source.fileno())
        is_whole = access.st_size - self._read <= _GROUP_BYTES
        for file in self._files:
            file.flush()
            keep_access(file.fileno(), access)
            os.fsync(file.fileno())
            file.close()
        self._temporary[1].replace(frames)
        self._temporary[0].replace(people)
        self._source.close()
        _sync_folder(people.parent)
        return is_whole

    def abandon(self) -> None:
        """Remove the two files. The source stays."""
        if self._writer is not None:
            with contextlib.suppress(*ERRORS):
                self._writer.close()
        for file in [self._source, *self._files]:
            with contextlib.suppress(OSError):
                file.close()
        for path in self._temporary:
            with contextlib.suppress(OSError):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make renamed files safe before another one is removed, on systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
