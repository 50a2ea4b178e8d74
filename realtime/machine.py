"""The machine as the libraries of the pipeline expect it: a home folder and a name for the user.

Not part of the data path. cli and evaluate call it before they import the libraries. Besides the configuration, this is
the only file that reads variables, because the libraries find their folders by them.
"""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from realtime.errors import ConfigError

log = logging.getLogger(__name__)


def prepare_home() -> Callable[[], None]:
    """Give this process a home folder and a user name if it has none, as in a container that runs as any user id.

    Our own cache, huggingface_hub, ultralytics and numba look for the folder, torch for the name. Without them they
    fail, or write into the current folder. A home that can be read but not written is kept: it may hold models.

    Returns:
        A function that removes the temporary folder, if there is one. It is also called when the process ends normally.

    Raises:
        ConfigError: neither the home folder nor any folder for temporary files can be used.
    """
    if sys.platform == "win32":
        return lambda: None
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no such user; KeyError before Python 3.13
        os.environ["USER"] = f"uid{os.getuid()}"
    home = _home()
    if os.access(home, os.W_OK | os.X_OK) and _is_folder(home):
        return lambda: None
    scratch = _temporary_folder()  # ultralytics needs it too if it can't write to the home
    if _is_folder(home):
        return lambda: None
    folder = tempfile.mkdtemp(prefix="realtime-pose-home-", dir=scratch)
    os.environ["HOME"] = folder
    remove = partial(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(remove)
    found = f"the home folder {home} can't be used" if home else "this user has no home folder"
    log.info("%s: using %s until the end; set HOME to keep the caches", found, folder)
    return remove


def _home() -> str:
    """The user's home folder by HOME or the system's list of users; an empty text if neither knows it."""
    try:
        return str(Path("~").expanduser())
    except RuntimeError:
        return ""


def _is_folder(path: str) -> bool:
    """Whether this is the whole path of a folder whose files can be reached."""
    return Path(path).is_absolute() and os.access(f"{path}/.", os.X_OK)


def _temporary_folder() -> str:
    """The folder for temporary files.

    Raises:
        ConfigError: none can be written.
    """
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        raise ConfigError(
            "neither the home folder nor /tmp can be written: set HOME or TMPDIR to a folder that this user can write"
        ) from None
