"""What was built from a model once and is read from disk ever after: one folder for each key.

Used by pose.engine and models.ultralytics for converted networks. The key says all that decides the content, versions
too; the folders not used for longest are removed.
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

from realtime.errors import ModelError

log = logging.getLogger(__name__)

# A converted network is as large as its weights: a few that somebody switches between, not every one ever tried.
_KEPT = 8
# What a file that isn't whole makes its readers raise: numpy's, OpenVINO's.
_DAMAGED = RuntimeError, OSError, ValueError, EOFError, zipfile.BadZipFile

Read = TypeVar("Read")


def read_built(cache: Path, key: Sequence[str], build: Callable[[Path], None], read: Callable[[Path], Read]) -> Read:
    """What was built for this key, read; built again where it is damaged, once.

    Args:
        cache: see built_once.
        key: see built_once.
        build: see built_once.
        read: reads the folder.

    Raises:
        ModelError: the disk is full, or what was built can't be read.
    """
    folder = built_once(cache, key, build)
    try:
        return read(folder)
    except _DAMAGED as error:
        log.warning("models: %s can't be read (%s): built again", folder, type(error).__name__)
    shutil.rmtree(folder, ignore_errors=True)
    folder = built_once(cache, key, build)
    try:
        return read(folder)
    except _DAMAGED as error:
        raise ModelError(f"models: {folder} can't be read ({type(error).__name__}): delete it") from error


def built_once(cache: Path, key: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The folder that was built for this key; built now where there is none.

    Args:
        cache: where the folders are. One that can't be written costs a build at every start, nothing else.
        key: all that decides the content.
        build: fills the empty folder that it is given. Whoever finds a folder finds it whole.

    Returns:
        The folder.

    Raises:
        ModelError: the disk is full.
    """
    name = hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]
    folder = cache / name
    try:
        if folder.is_dir():
            with contextlib.suppress(OSError):  # somebody else's, or a file system that is read only
                os.utime(folder)
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(prefix="begun-", dir=cache))
    except OSError as error:
        log.warning("models: %s can't be written (%s): built anew at every start", cache, error.strerror)
        begun = Path(tempfile.mkdtemp(prefix="realtime-pose-"))
        atexit.register(shutil.rmtree, begun, ignore_errors=True)
        build(begun)
        return begun
    try:
        build(begun)
        begun.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was quicker with the same
            raise ModelError(f"models: {folder} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    _remove_oldest(cache)
    return folder


def _remove_oldest(cache: Path) -> None:
    with contextlib.suppress(OSError):  # another process may be moving one
        folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for folder in folders[:-_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)
