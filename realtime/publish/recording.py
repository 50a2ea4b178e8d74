"""The file of a recording: it is locked, never overwrites an earlier one, and contains only whole lines.

Used by publish.record, whose thread writes it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

from realtime.errors import OutputError
from realtime.outputs import OPEN_FLAGS, is_at, keep_access, real_path, try_lock, write_some
from realtime.publish.earlier import set_aside

log = logging.getLogger(__name__)

# How often the file is opened again if another program renames or removes it between opening and locking.
_TRIES = 10
# Errors of a full disk, which don't end a run with live cameras. All others mean that the path can't be used.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


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
    """

    def __init__(self, path: Path, is_over: Callable[[], bool] = lambda: False) -> None:
        """Open and lock the file. An existing file keeps its content and its name until `begin`.

        Args:
            path: the file; a symbolic link stands for its target.
            is_over: called while a full pipe is not read; True gives up.

        Raises:
            OutputError: another run is writing it, or it can't be written.
        """
        self._given, self._path, self._is_over = path, real_path(path), is_over
        self._descriptor: int | None = None
        self._is_regular = self._is_new = self._has_begun = False
        self._is_cut = False  # whether it ends with an incomplete line, which can't be removed
        try:
            self._open()
            if self._is_regular and self._size() and not os.access(self._path.parent, os.W_OK | os.X_OK):
                raise OutputError(
                    f"record: {path} is not empty and can't be renamed, because its folder can't be written: "
                    "choose another file"
                )
        except OSError as error:
            if error.errno != errno.ENXIO or not self._path.is_fifo():  # a pipe may get its reader later
                raise OutputError(f"record: can't write {path}: {error.strerror}") from None
        except OutputError:
            self.close()
            raise

    def begin(self) -> None:
        """Rename an earlier recording, and open an empty file. A device or a pipe stays as it is.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: there is no room for it; or it is a pipe that no program reads (ENXIO).
        """
        self._has_begun = True
        if self._descriptor is not None and self._is_regular and not is_at(self._path, self._descriptor):
            self._drop()  # removed, or renamed by another program
        if self._descriptor is None:
            self._open()
        if self._is_regular and self._size():
            self._replace()

    def write(self, line: bytes) -> None:
        """Write a line, given without its line break.

        A file that was deleted meanwhile is created again.

        Raises:
            OSError: it could not be written. A regular file then ends with the line before it.
            OutputError: another run is writing a file at its path.
        """
        assert self._descriptor is not None
        size = 0
        if self._is_regular:
            status = os.fstat(self._descriptor)
            size = status.st_size
            if not status.st_nlink and not is_at(self._path, self._descriptor):  # deleted: nothing could be read
                self.begin()
                size = 0
        data = memoryview(b"\n" * self._is_cut + line + b"\n")
        left = data
        try:
            while left:
                left = left[write_some(self._descriptor, left, self._is_over) :]
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
        if self._descriptor is None or (self._is_regular and not is_at(self._path, self._descriptor)):
            self.begin()

    def close(self) -> None:
        """Close the file. If the constructor created it and it was never used, remove it.

        Raises:
            OSError: the system could not store all lines.
        """
        if self._descriptor is None:
            return
        if self._is_new and not self._has_begun:
            with contextlib.suppress(OSError):
                if not self._size() and is_at(self._path, self._descriptor):
                    self._path.unlink()
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def _open(self) -> None:
        for _ in range(_TRIES):
            self._descriptor = self._open_once()
            status = os.fstat(self._descriptor)
            self._is_regular, self._is_cut = stat.S_ISREG(status.st_mode), False
            if stat.S_ISBLK(status.st_mode):
                self._drop()
                raise OutputError(f"record: {self._given} is a disk, which would be overwritten: choose a file")
            if not self._is_regular:
                return
            if not try_lock(self._descriptor):
                self._drop()
                raise self._in_use()
            if is_at(self._path, self._descriptor):
                return
            self._drop()  # another run has just renamed it
        raise self._in_use()

    def _open_once(self) -> int:
        try:
            descriptor = os.open(self._path, OPEN_FLAGS | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            self._is_new = False
            return os.open(self._path, OPEN_FLAGS | os.O_APPEND)
        self._is_new = True
        return descriptor

    def _replace(self) -> None:
        assert self._descriptor is not None
        before = os.fstat(self._descriptor)
        try:
            renamed = set_aside(self._path, before.st_mtime)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            raise OutputError(
                f"record: {self._given} is not empty and can't be renamed ({error.strerror}): choose another file"
            ) from None
        log.info("record: the earlier %s is now called %s", self._given, renamed.name)
        self._drop()
        self._open()
        if not self._is_new:  # another run was faster, or another program writes it
            self._drop()
            raise self._in_use()
        keep_access(self._descriptor, before)

    def _undo(self, size: int) -> None:
        """Remove an incomplete line, so that the file ends with a whole one."""
        assert self._descriptor is not None
        self._is_cut = True
        if self._is_regular:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
                self._is_cut = False

    def _size(self) -> int:
        assert self._descriptor is not None
        return os.fstat(self._descriptor).st_size

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _in_use(self) -> OutputError:
        return OutputError(f"record: another run writes {self._given}: choose another file, or end that run")
