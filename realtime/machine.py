"""Prepares the machine as the libraries expect it: folders that can be written, and a name for the user.

Not part of the data path. cli and evaluate call it before they import the libraries. Besides the configuration, this is
the only file that reads environment variables, because the libraries find their folders by them.
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import shutil
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from realtime.errors import ConfigError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def prepared_folders() -> Iterator[None]:
    """Give the libraries a temporary folder of this process, and this process a home folder if it has none.

    ultralytics writes its settings when it is imported, and torch creates a folder for its compiler in /tmp, under a
    name that other users could take first. Neither is needed later. Our own cache and huggingface_hub need a home
    folder, and torch needs the user's name; a container with an arbitrary user id may have neither. A home that can be
    read but not written is kept, because it may contain models. A umask that would keep this process from using its own
    new files is corrected.

    Raises:
        ConfigError: the current folder can't be used, or neither the home folder nor any folder for temporary files can
            be written.
    """
    _check_current_folder()
    if sys.platform == "win32":
        yield
        return
    try:
        getpass.getuser()
    except (KeyError, OSError):  # no such user; KeyError before Python 3.13
        os.environ["USER"] = f"uid{os.getuid()}"
    os.umask(os.umask(0o077) & 0o077)
    home = _home()
    folder = _temporary_folder(home)
    os.environ.setdefault("YOLO_CONFIG_DIR", folder)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", folder)
    if not _is_folder(home):
        os.environ["HOME"] = folder
        found = f"the home folder {home} can't be used" if home else "this user has no home folder"
        log.info("%s: using %s until the end of the run; set HOME to keep the caches", found, folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_current_folder() -> None:
    """Check that the current folder can be used. torch aborts if it was removed, and ultralytics looks into it.

    Raises:
        ConfigError: it was removed, or can't be entered.
    """
    try:
        Path.cwd()
        Path("pyproject.toml").exists()
    except OSError as error:
        raise ConfigError(f"the current folder can't be used ({error.strerror}): change to another one") from None


def _home() -> str:
    """The user's home folder according to HOME or the system's list of users; empty if neither has one."""
    try:
        return str(Path("~").expanduser())
    except RuntimeError:
        return ""


def _is_folder(path: str) -> bool:
    """Whether this is the absolute path of a folder that this user can enter."""
    return Path(path).is_absolute() and os.access(f"{path}/.", os.X_OK)


def _temporary_folder(home: str) -> str:
    """Create a folder that only this user can enter, in the home folder if there is none for temporary files.

    Raises:
        ConfigError: it can't be created.
    """
    try:
        return tempfile.mkdtemp(prefix="realtime-pose-")
    except OSError:
        pass
    try:
        if _is_folder(home):
            folder = tempfile.mkdtemp(prefix=".realtime-pose-", dir=home)
            os.environ["TMPDIR"] = folder
            return folder
    except OSError:
        pass
    raise ConfigError(
        "neither the home folder nor /tmp can be written: set HOME or TMPDIR to a folder that this user can write"
    )


# Variables that a Python program may need, and that hold no secret: names, and how others begin.
_HARMLESS = {
    "HOME", "USER", "LOGNAME", "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP", "VIRTUAL_ENV", "NO_COLOR",
}  # fmt: skip
_HARMLESS_BEGIN = ("LC_", "LD_", "DYLD_", "PYTHON", "MALLOC_", "GLIBC_")


def child_environment(packages: Path) -> dict[str, str]:
    """Return the environment of a child process of ours: without our configuration, which may contain passwords.

    >>> "PATH" in child_environment(Path("/opt/pose")), child_environment(Path("/opt/pose"))["PYTHONPATH"].split(":")[0]
    (True, '/opt/pose')

    Args:
        packages: the folder from which the child imports this package. It comes first, unless it is the folder of all
            installed packages, which the child finds by itself and which must stay behind the standard library.
    """
    kept = {name: text for name, text in os.environ.items() if name in _HARMLESS or name.startswith(_HARMLESS_BEGIN)}
    if str(packages) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()):
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(packages), kept.get("PYTHONPATH")]))
    return kept


# Variables that torch, ultralytics and our own code set for libraries that are imported later: names, and how others
# begin.
_SET_BY_LIBRARIES = {
    "OMP_NUM_THREADS", "NUMEXPR_MAX_THREADS", "TF_CPP_MIN_LOG_LEVEL", "TORCH_CPP_LOG_LEVEL", "KINETO_LOG_LEVEL",
    "TORCHINDUCTOR_CACHE_DIR",
}  # fmt: skip
_SET_BY_LIBRARIES_BEGIN = ("YOLO_", "ULTRALYTICS_")


@contextlib.contextmanager
def environment_kept() -> Iterator[None]:
    """Restore, at the end of the block, the environment variables that libraries set when they are imported.

    >>> with environment_kept():
    ...     os.environ["YOLO_EXAMPLE"] = "1"
    >>> "YOLO_EXAMPLE" in os.environ
    False
    """
    before = _set_by_libraries()
    try:
        yield
    finally:
        for name in _set_by_libraries().keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _set_by_libraries() -> dict[str, str]:
    return {
        name: text
        for name, text in os.environ.items()
        if name in _SET_BY_LIBRARIES or name.startswith(_SET_BY_LIBRARIES_BEGIN)
    }


def environment_without_settings() -> dict[str, str]:
    """Return the variables of this process without those that configure the program, for a child with its own flags."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REALTIME_")}
