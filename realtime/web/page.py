"""The live page of a run: its address, its private endpoints, and the process that serves it.

Not on the data path: the page is a program of its own (realtime.dashboard), which reads the stream as any other reader
does. This file opens what it needs. realtime.cli does so before it imports the libraries of the pipeline, so that the
page can be opened while the models load.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from realtime.config import AppConfig
from realtime.dashboard.command import read_token
from realtime.dashboard.listen import bind, url
from realtime.errors import ConfigError, OutputError
from realtime.machine import child_environment
from realtime.publish.ipc import LONGEST_PATH
from realtime.publish.purpose import PrivateEndpoints
from realtime.web.child import Child
from realtime.wire.endpoints import parse_address

log = logging.getLogger(__name__)

# The libraries of the extra `web`, by the names under which they are imported.
_LIBRARIES = ("starlette", "uvicorn", "websockets", "prometheus_client")
# The parent of the private folder if its path would be too long in the usual place.
_SHORT_FOLDER = "/tmp"  # noqa: S108 - mkdtemp makes a folder there that only this user can enter


def _check(config: AppConfig) -> None:
    """Check what needs no socket.

    Raises:
        ConfigError: the extra `web` is missing, or the token can't be used.
    """
    if sys.platform == "win32":
        raise ConfigError("web: not available on Windows; run python -m realtime.dashboard beside the pipeline")
    for name in _LIBRARIES:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"web needs the extra 'web' ({name} is not installed): pip install 'realtime-pose[web]'")
    if (file := config.web_token_file) is not None:
        if file.exists() and not file.is_file():
            # A pipe can be read only once, and the page's process reads it too.
            raise ConfigError(f"web_token_file: {file}: not a regular file, expected one: it is read more than once")
        try:
            read_token(file)
        except ValueError as error:
            raise ConfigError(f"web_token_file: {error}") from None


@contextlib.contextmanager
def live_page(config: AppConfig, dry_run: bool, is_ending: Callable[[], bool]) -> Iterator[PrivateEndpoints | None]:
    """Serve the page inside a `with` block.

    Args:
        config: the configuration of the run.
        dry_run: check only what needs no socket.
        is_ending: whether the program is ending, because of a signal that the page's process may have received too.

    Yields:
        The endpoints on which the pipeline publishes for the page, in a folder that only this user can enter; None if
        there is no page.

    Raises:
        ConfigError: the extra `web` is missing, or the token can't be used.
        OutputError: the address can't be bound, or the private folder can't be created.
    """
    if config.web is None:
        yield None
        return
    _check(config)
    if dry_run:
        yield None
        return
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listener(config.web))
        folder = _private_folder()
        stack.callback(partial(shutil.rmtree, folder, ignore_errors=True))
        pictures = f"ipc://{folder}/pictures" if config.web_pictures else None
        endpoints = PrivateEndpoints(f"ipc://{folder}/poses", pictures)
        command = _command(config, endpoints, folder, listener.fileno())
        child = Child("page", command, [listener.fileno()], _environment(), is_ending)
        stack.callback(child.close)
        child.start()
        log.info("page: %s", url(listener))
        yield endpoints


def _listener(web: str) -> socket.socket:
    """Listen at the address of the page.

    Raises:
        OutputError: the address can't be bound.
    """
    address = parse_address(web)
    assert address is not None  # the configuration has checked it
    try:
        return bind(address)
    except ValueError as error:
        raise OutputError(f"web: {error}") from None


def _private_folder() -> str:
    """Create a folder that only this user can enter, with a path that is short enough for a socket.

    Raises:
        OutputError: it can't be created.
    """
    name = "realtime-pose-page-"
    try:
        usual = tempfile.gettempdir()
        fits = len(os.fsencode(f"{usual}/{name}12345678/pictures")) <= LONGEST_PATH
        return tempfile.mkdtemp(prefix=name, dir=usual if fits else _SHORT_FOLDER)
    except OSError as error:
        raise OutputError(
            f"web: can't create a folder for temporary files ({error.strerror or error}): set TMPDIR to a folder with "
            "a short path that this user can write"
        ) from None


def _command(config: AppConfig, endpoints: PrivateEndpoints, folder: str, descriptor: int) -> list[str]:
    """The command line of the page's process. It contains no secret: the token stays in its file."""
    # -P: without it, Python would import modules from the current folder. A value may begin with a dash, hence the =.
    flags = ["--until-eof", f"--leftover={folder}", f"--connect={endpoints.poses}"]
    flags.append(f"--pictures={endpoints.pictures}" if endpoints.pictures else "--no-pictures")
    flags.append(f"--listen-fd={descriptor}")
    if config.web_token_file is not None:
        flags.append(f"--token-file={config.web_token_file.absolute()}")
    if config.web_allow_insecure:
        flags.append("--allow-insecure")
    if config.web_source_url is not None:
        flags.append(f"--source-url={config.web_source_url}")
    flags += [f"--host={host}" for host in config.web_hosts]
    flags += [f"--lost-s={config.web_lost_s}", f"--log-format={config.log_format}", f"--log-level={config.log_level}"]
    return [sys.executable, "-P", "-m", "realtime.dashboard", *flags]


def _environment() -> dict[str, str]:
    """The variables of the page's process, which imports this package from where we did."""
    import realtime

    return child_environment(Path(realtime.__file__).parents[1])
