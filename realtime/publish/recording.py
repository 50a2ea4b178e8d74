"""The file of a recording: whole lines only, in a file that is locked and never overwrites an earlier one.

Used by publish.record, whose thread writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from realtime import wire
from realtime.publish.earlier import COMPANIONS
from realtime.publish.output_file import OutputFile


class Format(Protocol):
    """The file of a recording that is being written, in one format: a class with these methods.

    Attributes:
        most_messages, longest_s: how many messages are written together, and how long (s) one waits for others.
        begun: how many files were begun.
    """

    most_messages: int
    longest_s: float
    begun: int

    @property
    def path(self) -> Path:
        """The file that is being written."""
        ...

    @property
    def is_regular(self) -> bool:
        """Whether it is neither a device nor a pipe."""
        ...

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def begin(self) -> None:
        """Rename the earlier recording or the segment that ends, and begin an empty file.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: it can't be written yet.
        """
        ...

    def encode(self, messages: Sequence[wire.PoseMessage]) -> bytes:
        """Return messages as `write` takes them."""
        ...

    def write(self, data: bytes, /) -> None:
        """Write messages, all or none.

        Raises:
            OSError: they can't be written.
            OutputError: another run is writing a file at its path.
        """
        ...

    def renew(self) -> None:
        """Prepare another attempt after a failure.

        Raises:
            OutputError, OSError: as `begin`.
        """
        ...

    def advance(self) -> None:
        """Do a part of the work that can wait. Called after each write, and some times a second without one."""
        ...

    def close(self, is_split: bool = False) -> None:
        """Complete the recording. Its last file gets the name of a segment if it has segments (`is_split`).

        Raises:
            OutputError, OSError: it can't be completed.
        """
        ...


class RecordingFile:
    """A file, device or pipe for lines of text. One thread uses it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.jsonl"
    ...     _ = path.write_text("of an earlier run")
    ...     file = RecordingFile(path)
    ...     file.begin()
    ...     file.write(b"{}")
    ...     file.close()
    ...     len(os.listdir(folder)), path.read_text()
    (2, '{}\\n')

    Attributes:
        most_messages, longest_s: as in Format.
        begun: how many files were begun. Usually one, and another one for each time that the file was deleted.
    """

    most_messages, longest_s = 1, 0.0

    def __init__(self, path: Path, is_over: Callable[[], bool] = lambda: False) -> None:
        """Open and lock the file. An existing file keeps its content and its name until `begin`.

        Args:
            path: the file; a symbolic link stands for its target.
            is_over: called while a full pipe is not read; True gives up.

        Raises:
            OutputError: another run is writing it, or it can't be written.
        """
        self._file = OutputFile(path, "record", flags=os.O_APPEND, companions=COMPANIONS, is_over=is_over)
        self.begun = 0

    @property
    def path(self) -> Path:
        """The file itself, if the given path was a symbolic link."""
        return self._file.path

    @property
    def size(self) -> int:
        """Length of the file in bytes; 0 of a device or a pipe."""
        return self._file.size() if self._file.is_regular else 0

    @property
    def is_regular(self) -> bool:
        """Whether it is neither a device nor a pipe."""
        return self._file.is_regular

    def begin(self) -> None:
        """Rename an earlier recording, and open an empty file. A device or a pipe stays as it is.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: there is no room for it; or it is a pipe that no program reads (ENXIO).
        """
        self._file.begin()
        self.begun += 1

    def encode(self, messages: Sequence[wire.PoseMessage]) -> bytes:
        """Return messages as `write` takes them: a line of JSON."""
        return b"\n".join(wire.encode(message, "json") for message in messages)

    def write(self, line: bytes) -> None:
        """Write a line, given without its line break.

        A file that was deleted meanwhile is created again.

        Raises:
            OSError: it could not be written. A regular file then ends with the line before it.
            OutputError: another run is writing a file at its path.
        """
        if self._file.is_regular and self._file.is_deleted():
            self.begin()
        self._file.append(b"\n" * self._file.is_cut + line + b"\n")

    def renew(self) -> None:
        """Prepare another attempt after a failure.

        The file is opened again if it was removed (perhaps to make room), or if its disk was replaced.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: it can't be opened.
        """
        if self._file.renew():
            self.begun += 1

    def advance(self) -> None:
        """Do nothing: a line is complete when it is written."""

    def close(self, is_split: bool = False) -> None:
        """Close the file. If the constructor created it and it was never used, remove it.

        Args:
            is_split: the recording has segments, so that the last one gets a name like the others.

        Raises:
            OSError: the system could not store all lines.
            OutputError: the last segment can't be renamed.
        """
        if is_split and self.begun and self._file.is_regular:
            self._file.begin()
        self._file.close(keeps_empty=not is_split)
