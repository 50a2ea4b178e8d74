"""The file of an output: opened and locked before the run begins, and never written over an earlier one.

Used by publish.recording (lines of text), publish.parquet_file and publish.video_file (videos).
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
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class OutputFile:
    """A file, device or pipe. One thread uses it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.mp4"
    ...     _ = path.write_text("of an earlier run")
    ...     file = OutputFile(path, "save_video")
    ...     file.begin()
    ...     file.write(b"new")
    ...     file.close()
    ...     len(os.listdir(folder)), path.read_text()
    (2, 'new')

    Attributes:
        path: the file itself, if the given path was a symbolic link.
        is_regular: whether it is neither a device nor a pipe.
        is_cut: whether it ends with a part of what `append` should have written, because that can't be removed.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        *,
        flags: int = 0,
        companions: tuple[str, ...] = (),
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open and lock the file. An existing file keeps its content and its name until `begin`.

        Args:
            path: the file; a symbolic link stands for its target.
            key: the key of the configuration that names it, for messages.
            flags: more flags for opening it, such as os.O_APPEND.
            companions: endings of the files that are renamed with an earlier one (publish.earlier).
            is_over: called while a full pipe is not read; True gives up.

        Raises:
            OutputError: another run is writing it, or it can't be written.
        """
        self._given, self._key, self._flags = path, key, flags
        self._companions, self._is_over = companions, is_over
        self.path = real_path(path)
        self.is_regular = self.is_cut = False
        self._descriptor: int | None = None
        self._is_new = self._has_begun = False
        try:
            self._open()
            if self.is_regular and self.size() and not os.access(self.path.parent, os.W_OK | os.X_OK):
                raise OutputError(
                    f"{key}: {path} is not empty and can't be renamed, because its folder can't be written: "
                    "choose another file"
                )
        except OSError as error:
            if error.errno != errno.ENXIO or not self.path.is_fifo():  # a pipe may get its reader later
                raise OutputError(f"{key}: can't write {path}: {error.strerror}") from None
        except OutputError:
            self.close()
            raise

    def begin(self) -> None:
        """Rename an earlier file, and open an empty one. A device or a pipe stays as it is.

        Raises:
            OutputError: another run writes it, or an earlier file can't be renamed.
            OSError: there is no room for it; or it is a pipe that no program reads (ENXIO).
        """
        self._has_begun, self.is_cut = True, False
        if self._descriptor is not None and self.is_regular and not is_at(self.path, self._descriptor):
            self._drop()  # removed, or renamed by another program
        if self._descriptor is None:
            self._open()
        if self.is_regular and self.size():
            self._replace()

    def renew(self) -> bool:
        """Prepare another attempt after a failure. Return whether the file had to be opened again.

        That is the case if it was removed (perhaps to make room), or if its disk was replaced.

        Raises:
            OutputError: another run writes it, or an earlier file can't be renamed.
            OSError: it can't be opened.
        """
        if self._descriptor is None or (self.is_regular and not is_at(self.path, self._descriptor)):
            self.begin()
            return True
        return False

    def write_some(self, data: bytes | memoryview) -> int:
        """Write a part of the data, at least one byte, and return how many. Waits while a pipe is full.

        Raises:
            OSError: nothing could be written.
        """
        assert self._descriptor is not None
        return write_some(self._descriptor, data, self._is_over)

    def write(self, data: bytes | memoryview) -> None:
        """Write all of the data.

        Raises:
            OSError: not all could be written.
        """
        left = memoryview(data)
        while left:
            left = left[self.write_some(left) :]

    def append(self, data: bytes) -> None:
        """Write all of the data or, to a regular file, nothing.

        Raises:
            OSError: not all could be written. `is_cut` tells whether a part was.
        """
        size = self.size() if self.is_regular else 0
        left = memoryview(data)
        try:
            while left:
                left = left[self.write_some(left) :]
        except OSError:
            if len(left) < len(data):
                was_cut, self.is_cut = self.is_cut, True
                if self.is_regular:
                    with contextlib.suppress(OSError):
                        self.cut(size)
                        self.is_cut = was_cut
            raise
        self.is_cut = False

    def seek(self, position: int, whence: int) -> int:
        """Move to a position of a regular file, and return it, as os.lseek does."""
        assert self._descriptor is not None
        return os.lseek(self._descriptor, position, whence)

    def cut(self, size: int) -> None:
        """Shorten a regular file.

        Raises:
            OSError: the system refuses.
        """
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, size)

    def size(self) -> int:
        """Return its length in bytes."""
        assert self._descriptor is not None
        return os.fstat(self._descriptor).st_size

    def is_deleted(self) -> bool:
        """Whether it was deleted, so that no program could open it."""
        assert self._descriptor is not None
        return not os.fstat(self._descriptor).st_nlink and not is_at(self.path, self._descriptor)

    def close(self, keeps_empty: bool = True) -> None:
        """Close the file. If it was created here and is empty, it is removed, unless it was begun.

        Args:
            keeps_empty: False removes it also if it was begun.

        Raises:
            OSError: the system could not store everything.
        """
        if self._descriptor is None:
            return
        if self._is_new and not (keeps_empty and self._has_begun):
            with contextlib.suppress(OSError):
                if not self.size() and is_at(self.path, self._descriptor):
                    self.path.unlink()
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def _open(self) -> None:
        for _ in range(_TRIES):
            self._descriptor = self._open_once()
            status = os.fstat(self._descriptor)
            self.is_regular = stat.S_ISREG(status.st_mode)
            if stat.S_ISBLK(status.st_mode):
                self._drop()
                raise OutputError(f"{self._key}: {self._given} is a disk, which would be overwritten: choose a file")
            if not self.is_regular:
                return
            if not try_lock(self._descriptor):
                self._drop()
                raise self._in_use()
            if is_at(self.path, self._descriptor):
                return
            self._drop()  # another run has just renamed it
        raise self._in_use()

    def _open_once(self) -> int:
        try:
            descriptor = os.open(self.path, OPEN_FLAGS | self._flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            self._is_new = False
            return os.open(self.path, OPEN_FLAGS | self._flags)
        self._is_new = True
        return descriptor

    def _replace(self) -> None:
        assert self._descriptor is not None
        before = os.fstat(self._descriptor)
        try:
            renamed = set_aside(self.path, before.st_mtime, self._companions)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise OutputError(
                f"{self._key}: {self._given} is not empty and can't be renamed ({error.strerror}): choose another file"
            ) from None
        log.info("%s: the earlier %s is now called %s", self._key, self._given, renamed.name)
        self._drop()
        self._open()
        if not self._is_new:  # another run was faster, or another program writes it
            self._drop()
            raise self._in_use()
        keep_access(self._descriptor, before)

    def _drop(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _in_use(self) -> OutputError:
        return OutputError(f"{self._key}: another run writes {self._given}: choose another file, or end that run")
