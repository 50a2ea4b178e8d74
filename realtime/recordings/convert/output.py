"""The file or the folder that a conversion writes: complete, or not there at all.

Used by all formats. They write under a temporary name beside it. At the end, an earlier file is renamed, as the program
does with earlier recordings (publish.earlier), and the new one takes its name. Devices and pipes are written directly.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from realtime.errors import OutputError, RealtimeError
from realtime.outputs import OPEN_FLAGS, real_path, try_lock
from realtime.publish.earlier import set_aside

log = logging.getLogger(__name__)

_BUFFER_BYTES = 2**20


@contextlib.contextmanager
def new_file(out: Path, companions: tuple[str, ...] = ()) -> Iterator[BinaryIO]:
    """Open a file for writing. It takes its name at the end of the block, unless that is left by an exception.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = Path(folder) / "x.csv"
    ...     _ = out.write_text("earlier")
    ...     with new_file(out) as file:
    ...         _ = file.write(b"new")
    ...     out.read_text(), len(list(Path(folder).iterdir()))
    ('new', 2)

    Args:
        out: the file, a device or a pipe.
        companions: endings of the files that are renamed with an earlier one (publish.earlier).

    Raises:
        OutputError: it can't be opened.
        RealtimeError: it can't be written, because the disk is full, for example.
    """
    if _is_stream(out):
        with _told(out):
            try:
                file = out.open("wb", buffering=_BUFFER_BYTES)
            except OSError as error:
                raise OutputError(f"{out}: can't be written: {error.strerror}") from None
            with file:
                yield file
        return
    with new_path(out, companions) as path, path.open("wb", buffering=_BUFFER_BYTES) as file:
        yield file


@contextlib.contextmanager
def new_path(out: Path, companions: tuple[str, ...] = ()) -> Iterator[Path]:
    """Reserve the path of a file, for libraries that open it themselves. The rest is as with `new_file`.

    Args:
        out: the file; neither a device nor a pipe.
        companions: as for `new_file`.

    Raises:
        OutputError, RealtimeError: as `new_file`.
    """
    if _is_stream(out):
        raise OutputError(f"{out}: a device or a pipe, which this format can't be written to: choose a file")
    path = real_path(out)
    check_unused(path, out)
    new = path.with_name(f".convert-{secrets.token_hex(8)}.part")
    try:
        new.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(f"{out}: can't be written: {error.strerror}") from None
    try:
        with _told(out):
            yield new
            if os.path.lexists(path) and path.stat().st_size:
                renamed = set_aside(path, path.stat().st_mtime, companions)
                log.info("the earlier %s is now called %s", out, renamed.name)
            new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Reserve a folder, which takes its name at the end of the block, unless that is left by an exception.

    Args:
        out: the folder; nothing may be there, or an empty folder.

    Raises:
        OutputError: there is a file, or a folder that is not empty, or it can't be made.
        RealtimeError: something in it can't be written.
    """
    path = real_path(out)
    new = path.with_name(f".convert-{secrets.token_hex(8)}.part")
    try:
        if os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
            raise OutputError(f"{out}: expected a new or an empty folder, because this format is a file per frame")
        new.mkdir()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{out}: can't be written: {why}") from None
    try:
        with _told(out):
            yield new
            new.replace(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def safe_name(camera: str) -> str:
    """Return the name of a camera for use in a path. A recording of a stranger may contain any name.

    >>> safe_name("door-2"), safe_name("../etc")
    ('door-2', '___etc')
    """
    return re.sub(r"[^A-Za-z0-9_-]", "_", camera)[:64] or "_"


@contextlib.contextmanager
def _told(out: Path) -> Iterator[None]:
    """Raise errors of the file system as a RealtimeError, except that the reader of a pipe is gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RealtimeError(f"{out}: can't be written: {error.strerror}") from None


def _is_stream(out: Path) -> bool:
    """Whether it is a device or a pipe.

    Raises:
        OutputError: it is a folder or a disk.
    """
    try:
        mode = out.stat().st_mode
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{out}: can't be written: {why}") from None
    if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        raise OutputError(f"{out}: {'a folder' if stat.S_ISDIR(mode) else 'a disk'}, expected a file")
    return not stat.S_ISREG(mode)


def check_unused(path: Path, out: Path) -> None:
    """Check that no run writes the file.

    Args:
        path: the file, which need not exist.
        out: the output, for the error.

    Raises:
        OutputError: one does.
    """
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError:  # it does not exist, or can be renamed nevertheless
        return
    try:
        if not try_lock(descriptor):
            raise OutputError(f"{out}: a run writes it: choose another file, or end that run")
    finally:
        os.close(descriptor)
