"""The file of the run report. It replaces only an earlier report, which is kept if the disk is full.

Used by realtime.pipeline: the file is checked before the models load, and written at the end of the run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from realtime.errors import OutputError, RealtimeError
from realtime.outputs import OPEN_FLAGS, keep_access, real_path, write_some

# A larger file is no report: one of 1,000 cameras takes about 1 MB.
_LARGEST_BYTES = 4 * 2**20
# The keys by which a report is recognised.
_KEYS = frozenset({"version", "cameras", "stages", "wall_s"})
# Errors after which only the content of the file can be changed: its folder can't be written, or it is mounted on its
# own, as in a container.
_ONLY_IN_PLACE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY})
# How long a program that reads the report through a pipe may pause.
_PIPE_S = 5.0


def check_report(path: Path) -> None:
    """Check that the report can be written, and that it replaces nothing but a report. Changes nothing.

    Raises:
        OutputError: there is another file, or the report can't be written.
    """
    try:
        _check(path)
    except OSError as error:
        raise OutputError(f"report: can't write {path}: {error.strerror}") from None


def write_report(path: Path, report: Mapping[str, object]) -> None:
    """Write a report as JSON: first to a new file beside it, so that the earlier report stays if that fails.

    Raises:
        RealtimeError: it can't be written, or another file has taken its place since the start.
    """
    data = json.dumps(report, indent=2).encode() + b"\n"
    try:
        before, real = _check(path), real_path(path)
        if before is not None and not stat.S_ISREG(before.st_mode):
            _write_as_it_is(real, data)
        else:
            _write_file(real, data, before)
    except OSError as error:
        raise RealtimeError(f"report: can't write {path}: {error.strerror}") from None
    except OutputError as error:
        raise RealtimeError(str(error)) from None


def _check(path: Path) -> os.stat_result | None:
    """Return the status of the file that is there now; None if there is none.

    Raises:
        OutputError: a report must not replace it.
        OSError: the report can't be written.
    """
    real = real_path(path)
    try:
        before = real.stat()
    except FileNotFoundError:
        descriptor, new = _create(real.parent)
        os.close(descriptor)
        new.unlink()
        return None
    if stat.S_ISBLK(before.st_mode):
        raise OutputError(f"report: {path} is a disk, which would be overwritten: choose a file")
    if stat.S_ISFIFO(before.st_mode):  # opening it and closing it again would end the program that reads it
        if not os.access(real, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return before
    os.close(os.open(real, OPEN_FLAGS))
    if stat.S_ISREG(before.st_mode) and before.st_size and not _is_report(real):
        raise OutputError(f"report: {path} is not empty and not a run report, so it is kept: choose another file")
    return before


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        content = json.loads(data) if len(data) <= _LARGEST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= _KEYS


def _create(folder: Path) -> tuple[int, Path]:
    """Create a temporary file for the new report. Returns its descriptor and its path."""
    path = folder / f".report-{secrets.token_hex(8)}.tmp"
    return os.open(path, OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o666), path


def _write_file(path: Path, data: bytes, before: os.stat_result | None) -> None:
    try:
        descriptor, new = _create(path.parent)
        try:
            if before is not None:
                keep_access(descriptor, before)
            try:
                _write_all(descriptor, data)
            finally:
                os.close(descriptor)  # before the earlier report is replaced: some network file systems fail only here
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        if before is None or error.errno not in _ONLY_IN_PLACE:
            raise
        _write_in_place(path, data)


def _write_in_place(path: Path, data: bytes) -> None:
    """Overwrite the earlier report. If the disk is full, restore its content, whose blocks it still has."""
    before = path.read_bytes()
    descriptor = os.open(path, OPEN_FLAGS)
    try:
        _write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, len(before))
            os.lseek(descriptor, 0, os.SEEK_SET)
            _write_all(descriptor, before)
        raise
    finally:
        os.close(descriptor)


def _write_as_it_is(path: Path, data: bytes) -> None:
    """Write to a device or a pipe."""
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO and path.is_fifo():
            raise OSError(error.errno, "no program reads this pipe") from None
        raise
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    end_s, left = time.monotonic() + _PIPE_S, memoryview(data)
    while left:
        left = left[write_some(descriptor, left, lambda: time.monotonic() > end_s) :]
