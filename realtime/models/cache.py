"""What was built from a model once and is read from disk ever after: one folder for each key.

Used by pose.engine for converted networks. The key says all that decides the content, versions too; the folders not
used for longest are removed.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from realtime.errors import ModelError

log = logging.getLogger(__name__)

# A converted network is as large as its weights: a few that somebody switches between, not every one ever tried.
_KEPT = 8


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
