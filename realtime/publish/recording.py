"""The file of a recording: whole lines only, in a file that is locked and never overwrites an earlier one.

Used by publish.record, whose thread writes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from realtime.publish.earlier import COMPANIONS
from realtime.publish.output_file import OutputFile


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
        begun: how many files were begun. Usually one, and another one for each time that the file was deleted.
    """

    def __init__(self, path: Path, is_over: Callable[[], bool] = lambda: False) -> None:
        """Open and lock the file. An existing file keeps its content and its name until `begin`.

        Args:
            path: the file; a symbolic link stands for its target.
            is_over: called while a full pipe is not read; True gives up.

        Raises:
            OutputError: another run is writing it, or it can't be written.
        """
        self._file = OutputFile(path, "record", flags=os.O_APPEND, companions=COMPANIONS, is_over=is_over)
        self._is_cut = False  # whether it ends with an incomplete line, which can't be removed
        self.begun = 0

    @property
    def path(self) -> Path:
        """The file itself, if the given path was a symbolic link."""
        return self._file.path

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
        self._is_cut = False
        self._file.begin()
        self.begun += 1

    def write(self, line: bytes) -> None:
        """Write a line, given without its line break.

        A file that was deleted meanwhile is created again.

        Raises:
            OSError: it could not be written. A regular file then ends with the line before it.
            OutputError: another run is writing a file at its path.
        """
        size = 0
        if self._file.is_regular:
            if self._file.is_deleted():
                self.begin()
            size = self._file.size()
        data = memoryview(b"\n" * self._is_cut + line + b"\n")
        left = data
        try:
            while left:
                left = left[self._file.write_some(left) :]
        except OSError:
            if len(left) < len(data):
                self._undo(size)
            raise
        self._is_cut = False

    def renew(self) -> None:
        """Prepare another attempt after a failure.

        The file is opened again if it was removed (perhaps to make room), or if its disk was replaced.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: it can't be opened.
        """
        if self._file.renew():
            self._is_cut = False
            self.begun += 1

    def close(self) -> None:
        """Close the file. If the constructor created it and it was never used, remove it.

        Raises:
            OSError: the system could not store all lines.
        """
        self._file.close()

    def _undo(self, size: int) -> None:
        """Remove an incomplete line, so that the file ends with a whole one."""
        self._is_cut = True
        if self._file.is_regular:
            with contextlib.suppress(OSError):
                self._file.cut(size)
                self._is_cut = False
