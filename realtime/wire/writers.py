# SPDX-License-Identifier: MIT
"""Finds out whether other users of this machine can change a file or folder, by owners and permission bits.

Used at the start, before the data path exists: for the keys of permitted readers, and for caches. Access control lists
are ignored. On Windows nothing is checked, because it has no owners and bits of this kind.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

# Follow at most this many links in one path, as Linux does.
_MOST_LINKS = 40
_GROUP_OR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def changed_by_others(path: Path) -> str | None:
    """Find out whether a user other than this one and root could change a file, add to a folder, or replace it.

    Every folder on the path counts, and so do links: a user who can rename a folder can put another one in its place.
    In a folder with the sticky bit, such as /tmp, only owners can do that.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     changed_by_others(Path(folder)) is None
    ...     Path(folder).chmod(0o777)
    ...     str(changed_by_others(Path(folder))).replace(folder, "FOLDER")
    True
    'other users can change FOLDER (mode 777): run chmod go-w FOLDER'

    Args:
        path: the file or folder.

    Returns:
        None if they can't, otherwise the reason and the remedy, as a clause.

    Raises:
        OSError: it is missing, or can't be reached.
    """
    if not hasattr(os, "getuid"):
        return None
    entries, us = list(_visited(path)), os.getuid()
    for entry in entries:
        status = entry.lstat()
        if status.st_uid not in (0, us):
            return f"{entry} belongs to user {status.st_uid}, expected {us} or root: run chown {us} {entry}"
        if stat.S_ISLNK(status.st_mode) or not status.st_mode & _GROUP_OR_OTHERS or _is_read_only(entry):
            continue
        if status.st_mode & stat.S_ISVTX and entry != entries[-1]:
            continue
        return f"other users can change {entry} (mode {stat.S_IMODE(status.st_mode):o}): run chmod go-w {entry}"
    return None


def _visited(path: Path) -> Iterator[Path]:
    """Every file, folder and link that the system passes when it opens a path, the opened one last."""
    path = path.absolute()
    here, rest = Path(path.anchor), list(reversed(path.parts[1:]))
    links = 0
    yield here
    while rest:
        name = rest.pop()
        if name == "..":
            here = here.parent
            continue
        entry = here / name
        yield entry
        if not entry.is_symlink():
            here = entry
            continue
        if (links := links + 1) > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = entry.readlink()
        if target.is_absolute():
            here = Path(target.anchor)
        rest += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    yield here


def _is_read_only(entry: Path) -> bool:
    """Whether the file system is mounted read-only, as Kubernetes mounts secrets, in folders of mode 1777."""
    return bool(os.statvfs(entry).f_flag & os.ST_RDONLY)
