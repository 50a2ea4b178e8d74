"""An ipc endpoint: a socket file at a path that is free, or whose last owner has died.

Used by publish.socket. libzmq would delete any file at the path before it binds, and again when it closes. So
the listening socket is made here and libzmq gets its descriptor (ZMQ_USE_FD): then it leaves the path alone.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import logging
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from realtime.errors import OutputError
from realtime.outputs import real_path, try_lock

log = logging.getLogger(__name__)

_PREFIX = "ipc://"
# Longest path of a socket in bytes: sun_path of struct sockaddr_un, less the zero at its end.
LONGEST_PATH = 103 if sys.platform == "darwin" else 107
# Connections that may wait to be accepted; libzmq's default (ZMQ_BACKLOG).
_BACKLOG = 100
# Two programs of ours that start at once take turns for the few milliseconds that binding takes. If another program
# holds a lock on the folder for longer than _LOCK_S, binding continues without it.
_LOCK_S, _LOCK_LOOK_S = 2.0, 0.01

_WHY_NOT_BOUND = {
    errno.EADDRINUSE: "already in use by another program: choose another path",
    errno.ENOENT: "the socket's folder does not exist",
    errno.ENOTDIR: "the socket's folder is not a folder",
    errno.EACCES: "permission denied: choose a folder that you can write to",
    errno.EPERM: "permission denied: another user's socket is there: choose another path",
}


def is_ours_to_bind(endpoint: str) -> bool:
    """Whether the endpoint is an ipc endpoint with a name. For `ipc://*`, libzmq itself creates a folder.

    >>> is_ours_to_bind("ipc:///run/pose"), is_ours_to_bind("ipc://*"), is_ours_to_bind("tcp://127.0.0.1:*")
    (True, False, False)
    """
    return endpoint.startswith(_PREFIX) and not endpoint.startswith("ipc://*") and hasattr(socket, "AF_UNIX")


class IpcListener:
    """A listening Unix socket. Its file belongs to this run until `remove`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     listener = IpcListener(f"ipc://{folder}/pose")
    ...     there = os.listdir(folder)
    ...     listener.remove()
    ...     there, os.listdir(folder)
    (['pose'], [])
    """

    def __init__(self, endpoint: str, key: str = "publish.bind") -> None:
        """Bind the socket. If the path is that of a dead socket, replace it.

        Args:
            endpoint: ipc://PATH or, for a name in Linux's abstract namespace, ipc://@NAME.
            key: the configuration key that asks for it, named in errors.

        Raises:
            OutputError: something other than a socket is at the path, or a program uses the socket there; or it can't
                be bound.
        """
        name = endpoint.removeprefix(_PREFIX)
        self._file: Path | None = None
        self._owned: tuple[int, int] | None = None  # device and inode of the file
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        atexit.register(self.remove)  # for a run that ends before its publisher has started
        try:
            if name.startswith("@"):
                self._socket.bind("\0" + name[1:])
                self._socket.listen(_BACKLOG)
            else:
                self._bind(Path(name))
            self._socket.setblocking(False)
        except OSError as error:
            self.remove()
            why = _WHY_NOT_BOUND.get(error.errno or 0, error.strerror or str(error))
            raise OutputError(f"{key}: can't bind {endpoint}: {why}") from None

    @property
    def descriptor(self) -> int:
        """The descriptor of the listening socket."""
        return self._socket.fileno()

    def hand_over(self) -> None:
        """Leave the descriptor to libzmq, which closes it. The file stays ours."""
        self._socket.detach()

    def remove(self) -> None:
        """Remove our socket file, unless another program has put its own in its place, and close the socket.

        Call it while libzmq still listens: afterwards, another program could take the socket for a dead one.
        """
        with contextlib.suppress(OSError):
            if self._file is not None and self._owned == _identity(self._file):
                self._file.unlink()
        self._file = None
        self._socket.close()
        atexit.unregister(self.remove)

    def _bind(self, path: Path) -> None:
        # If it is no link, use the path as the user wrote it, because an absolute one may exceed the limit.
        path = real_path(path) if path.is_symlink() else path
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, f"the path is longer than {LONGEST_PATH} bytes: choose a shorter one")
        with _turn(path.parent):
            _make_way(path)
            self._socket.bind(os.fspath(path))
            self._file = path.absolute()
            self._owned = _identity(self._file)
            self._socket.listen(_BACKLOG)  # before the next program checks whether it answers


def _identity(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _make_way(path: Path) -> None:
    """Remove the socket of a program that has died.

    Raises:
        OSError: something else is there, or the socket can't be removed.
    """
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "the path is not that of a socket: choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            log.debug("ipc: the program that used %s has ended; its socket is replaced", path)
            path.unlink()
            return
        except FileNotFoundError:
            return
        except OSError as error:  # it answers, but not to us: too busy, of another type, not permitted
            log.debug("ipc: %s is in use (%s)", path, error.strerror)
    raise OSError(errno.EADDRINUSE, "in use")


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, so that only one of two programs that find a dead socket replaces it.

    Without the lock, the second could delete the new socket of the first.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except PermissionError:  # a folder that can be written but not listed
        log.debug("ipc: %s can't be locked, continuing without a lock", folder)
        yield
        return
    try:
        end_s = time.monotonic() + _LOCK_S
        while not try_lock(descriptor):
            if time.monotonic() > end_s:
                log.debug("ipc: another program holds a lock on %s, continuing without it", folder)
                break
            time.sleep(_LOCK_LOOK_S)
        yield
    finally:
        os.close(descriptor)
