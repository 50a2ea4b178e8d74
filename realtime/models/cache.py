"""Our folder in the user's cache. Networks are converted once and kept there for later starts, in one folder per key.

Used by pose.build and models.yolo. A key contains everything that the content depends on, including the versions
of the libraries. Only the most recently used folders are kept.

A cache is a convenience: if it can't be read or written, or if other users could have changed it, the program runs as
if it were empty, and says so once.
"""

from __future__ import annotations

import contextlib
import functools
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

from realtime.errors import ConfigError, first_line
from realtime.wire.writers import changed_by_others

log = logging.getLogger(__name__)

# Number of folders to keep. A converted network is as large as its weights, so not every one ever tried is kept.
_KEPT = 8
# Exceptions that numpy and OpenVINO raise when they read an incomplete file.
_DAMAGED = RuntimeError, OSError, ValueError, EOFError, zipfile.BadZipFile

Network = TypeVar("Network")


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


def is_trusted(folder: Path) -> bool:
    """Whether a folder or file of the cache exists, and only this user and root can change it; if not, warn once."""
    try:
        reason = changed_by_others(folder)
    except OSError:
        return False
    if reason is not None:
        _warn_once(f"cache: {reason}; until then it counts as empty, and every start converts the networks again")
    return reason is None


def make_private(folder: Path) -> None:
    """Create a folder and its missing parents, which only this user can use, whatever the umask is.

    Raises:
        OSError: it can't be created.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def built_once(
    cache: Path,
    key: Sequence[str],
    build: Callable[[], Network],
    write: Callable[[Network, Path], None],
    read: Callable[[Path], Network],
) -> Network:
    """Return the network of a key: read from its folder, or built if it isn't there.

    Args:
        cache: the folder that holds the folders of all keys. If it can't be used, every start builds again.
        key: everything that the network depends on.
        build: converts the network.
        write: stores it in an empty folder, which appears in the cache only once it is complete.
        read: reads such a folder. If it fails, the network is built again.

    Returns:
        What `read` returned; what `build` returned if the cache can't be used.

    >>> from tempfile import TemporaryDirectory
    >>> def build():
    ...     print("building")
    ...     return "a network"
    >>> def write(network, folder):
    ...     (folder / "file").write_text(network)
    >>> with TemporaryDirectory() as cache:
    ...     for start in range(2):
    ...         built_once(Path(cache), ["yolo11n"], build, write, lambda folder: (folder / "file").read_text())
    building
    'a network'
    'a network'
    """
    folder = cache / hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    try:
        make_private(cache)
        is_built = folder.is_dir()
        if not all(map(is_trusted, [cache, *_entries(folder)] if is_built else [cache])):
            return build()
    except OSError as error:
        _warn_not_kept(cache, error)
        return build()
    if is_built:
        with contextlib.suppress(OSError):  # it belongs to another user, or the file system is read-only
            os.utime(folder)
        try:
            return read(folder)
        except _DAMAGED as error:
            log.warning("models: %s can't be read (%s); building it again", folder, type(error).__name__)
        shutil.rmtree(folder, ignore_errors=True)
    network = build()
    try:
        _store(network, folder, write)
        return read(folder)  # and free the memory of the other one
    except _DAMAGED as error:
        _warn_not_kept(cache, error)
        return network


def _entries(folder: Path) -> list[Path]:
    """The folder of a network, and its files if other users could reach them."""
    return [folder, *folder.iterdir()] if folder.stat().st_mode & 0o011 else [folder]


def _store(network: Network, folder: Path, write: Callable[[Network, Path], None]) -> None:
    """Write a network to a folder, which appears only once it is complete.

    Raises:
        OSError: it can't be written, for example because the disk is full. Nothing is left.
    """
    begun = Path(tempfile.mkdtemp(prefix="begun-", dir=folder.parent))
    try:
        write(network, begun)
        for file in begun.iterdir():
            file.chmod(0o600)
        begun.rename(folder)
    except OSError:
        if not folder.is_dir():  # if it is there, another process built the same one first
            raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    _remove_oldest(folder)


def _warn_not_kept(cache: Path, error: Exception) -> None:
    reason = getattr(error, "strerror", None) or first_line(error, type(error).__name__)
    _warn_once(f"cache: {cache} can't be used ({reason}); every start converts the networks again")


@functools.cache
def _warn_once(text: str) -> None:
    """Log a warning, once in a run even if several networks cause it."""
    log.warning("%s", text)


def _remove_oldest(kept: Path) -> None:
    """Remove the least recently used folders beside this one, which stays even if the clock of the machine is wrong."""
    with contextlib.suppress(OSError):  # another process may be renaming or removing one
        others = [path for path in kept.parent.iterdir() if path.is_dir() and path != kept]
        for folder in sorted(others, key=lambda path: path.stat().st_mtime)[: -_KEPT + 1]:
            shutil.rmtree(folder, ignore_errors=True)
