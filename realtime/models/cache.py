"""Our folder in the user's cache, and in it converted networks: one folder per key, built once, read at later starts.

pose.build and models.yolo use it. A key holds everything that the content depends on, including the versions
of the libraries. Only the most recently used folders are kept.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import platformdirs

from realtime.errors import ConfigError, EngineError

log = logging.getLogger(__name__)

# Folders to keep. A converted network is as large as its weights, so keep those in use, not every one ever tried.
_KEPT = 8
# Exceptions that numpy and OpenVINO raise when they read an incomplete file.
_DAMAGED = RuntimeError, OSError, ValueError, EOFError, zipfile.BadZipFile

Read = TypeVar("Read")


def cache_folder() -> Path:
    """Return our folder in the user's cache: ~/.cache/realtime-pose on Linux, where XDG_CACHE_HOME replaces ~/.cache.

    It holds converted networks and the last answer of the model hub; users may put weights there. It need not exist.

    Raises:
        ConfigError: the system knows no home folder of this user.
    """
    try:
        folder = platformdirs.user_cache_path("realtime-pose", appauthor=False)
    except RuntimeError:
        folder = Path()
    if not folder.is_absolute():  # older versions of platformdirs return ~ where newer ones raise
        raise ConfigError("cache: this user has no home folder; set HOME or XDG_CACHE_HOME to an absolute path")
    return folder


def read_built(cache: Path, key: Sequence[str], build: Callable[[Path], None], read: Callable[[Path], Read]) -> Read:
    """Read the folder that belongs to a key; build it first if it is missing or damaged.

    Args:
        cache: the folder that holds all built folders.
        key: everything that the content depends on.
        build: fills the empty folder that it receives.
        read: reads a built folder. If it fails, the folder is built and read once more.

    Returns:
        What `read` returned.

    Raises:
        EngineError: the folder can't be written, for example on a full disk, or can't be read after it was built again.

    >>> from tempfile import TemporaryDirectory
    >>> def build(folder):
    ...     (folder / "labels.txt").write_text("person")
    >>> with TemporaryDirectory() as cache:
    ...     read_built(Path(cache), ["yolo11n", "1.0"], build, lambda folder: (folder / "labels.txt").read_text())
    'person'
    """
    folder = built_once(cache, key, build)
    try:
        return read(folder)
    except _DAMAGED as error:
        log.warning("models: %s can't be read (%s); building it again", folder, type(error).__name__)
    shutil.rmtree(folder, ignore_errors=True)
    folder = built_once(cache, key, build)
    try:
        return read(folder)
    except _DAMAGED as error:
        raise EngineError(
            f"models: {folder} can't be read ({type(error).__name__}) even after a rebuild; delete it"
        ) from error


def built_once(cache: Path, key: Sequence[str], build: Callable[[Path], None]) -> Path:
    """Return the folder that belongs to a key; build it first if it is missing.

    Args:
        cache: the folder that holds all built folders. If it can't be written, the result goes to a temporary folder
            that is removed at exit, so every start builds again.
        key: everything that the content depends on.
        build: fills the empty folder that it receives. The folder appears in the cache only once it is complete.

    Returns:
        The folder.

    Raises:
        EngineError: the folder can't be written, for example because the disk is full.

    >>> from tempfile import TemporaryDirectory
    >>> def build(folder):
    ...     print("building")
    >>> with TemporaryDirectory() as cache:
    ...     first, second = (built_once(Path(cache), ["yolo11n", "1.0"], build) for _ in range(2))
    building
    >>> first == second
    True
    """
    name = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    folder = cache / name
    try:
        if folder.is_dir():
            with contextlib.suppress(OSError):  # it belongs to another user, or the file system is read-only
                os.utime(folder)
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(prefix="begun-", dir=cache))
    except OSError as error:
        log.warning("models: %s can't be written (%s); every start converts the network again", cache, error.strerror)
        begun = Path(tempfile.mkdtemp(prefix="realtime-pose-"))
        atexit.register(shutil.rmtree, begun, ignore_errors=True)
        _build(build, begun)
        return begun
    try:
        _build(build, begun)
        begun.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # if it is there, another process built the same one first
            raise EngineError(f"models: {folder} can't be written: {error.strerror}") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    _remove_oldest(cache)
    return folder


def _build(build: Callable[[Path], None], folder: Path) -> None:
    """Fill a folder.

    Raises:
        EngineError: it can't be written, for example because the disk is full.
    """
    try:
        build(folder)
    except OSError as error:
        raise EngineError(f"models: {folder} can't be written: {error.strerror or error}") from error


def _remove_oldest(cache: Path) -> None:
    with contextlib.suppress(OSError):  # another process may be renaming or removing one
        folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for folder in folders[:-_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)
