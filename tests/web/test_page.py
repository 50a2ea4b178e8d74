"""The live page of a run: what is checked, opened and given to its process."""

import importlib.util
import logging
import os
import shlex
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from realtime.config import AppConfig, load
from realtime.errors import ConfigError, OutputError
from realtime.publish.purpose import PrivateEndpoints
from realtime.web import page as module
from realtime.web.page import live_page

# Answers one connection to the first inherited socket, then waits for the end of standard input.
SERVER = """
import socket, sys
listener = socket.socket(fileno=int([word for word in sys.argv if "--listen-fd" in word][0].partition("=")[2]))
connection, _ = listener.accept()
connection.sendall(b"here")
connection.close()
sys.stdin.read()
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("correct horse battery\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small stand-in serve the page."""
    command = module._command

    def stand_in(*given: object) -> list[str]:
        return [sys.executable, "-S", "-c", SERVER, *command(*given)[4:]]

    monkeypatch.setattr(module, "_command", stand_in)


def configuration(**keys: object) -> AppConfig:
    return load(environment={}, flags=keys)


def opened(config: AppConfig, dry_run: bool = False):
    return live_page(config, dry_run, is_ending=lambda: False)


def test_a_run_without_a_page_opens_nothing() -> None:
    with opened(configuration()) as endpoints:
        assert endpoints is None


@pytest.mark.usefixtures("served")
def test_the_page_answers_until_the_run_ends(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with (
        opened(configuration(web=str(port))) as endpoints,
        socket.create_connection(("127.0.0.1", port), timeout=30) as browser,
    ):
        assert browser.recv(4) == b"here"
        folder = Path(endpoints.poses.removeprefix("ipc://")).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert endpoints.pictures == f"ipc://{folder}/pictures"
    assert not folder.exists()
    socket.create_server(("127.0.0.1", port)).close()
    assert caplog.messages == [f"page: http://127.0.0.1:{port}/"]


@pytest.mark.usefixtures("served")
def test_without_pictures_there_is_no_endpoint_for_them(port: int) -> None:
    with opened(configuration(web=str(port), web_pictures="false")) as endpoints:
        assert endpoints.pictures is None


@pytest.mark.usefixtures("served")
def test_a_temporary_folder_with_a_long_path_does_not_matter(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with opened(configuration(web=str(port))) as endpoints:
        assert len(endpoints.pictures.removeprefix("ipc://").encode()) <= 103


def test_a_dry_run_checks_the_token_and_opens_no_socket(port: int, token: Path) -> None:
    with opened(configuration(web=str(port), web_token_file=str(token)), dry_run=True) as endpoints:
        assert endpoints is None
        socket.create_server(("127.0.0.1", port)).close()
    token.chmod(0o644)
    with (
        pytest.raises(ConfigError, match=r"^web_token_file: "),
        opened(configuration(web=str(port), web_token_file=str(token)), dry_run=True),
    ):
        pass


def test_a_token_from_a_pipe_is_refused_without_reading_it(port: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match=r"^web_token_file: .*not a regular file, expected one"):
        opened(configuration(web=str(port), web_token_file=str(tmp_path / "pipe"))).__enter__()


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "websockets", "prometheus_client"])
def test_a_missing_library_is_an_error_with_the_line_that_installs_it(
    library: str, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else find(name))
    with pytest.raises(ConfigError, match=rf"{library} is not installed\): pip install 'realtime-pose\[web\]'$"):
        opened(configuration(web=str(port))).__enter__()


def test_a_private_folder_that_cannot_be_made_is_an_error(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **more: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(OutputError, match=r"^web: .*\(No space left on device\): set TMPDIR"):
        opened(configuration(web=str(port))).__enter__()
    socket.create_server(("127.0.0.1", port)).close()  # nothing was left open


def test_every_key_of_the_page_reaches_its_process(token: Path) -> None:
    config = configuration(
        web="8080",
        web_token_file=str(token),
        web_allow_insecure="true",
        web_lost_s="12.5",
        web_source_url="https://example.org/source",
        web_hosts=["a.example.org", "-b.example.org"],
        log_format="json",
        log_level="debug",
    )
    command = module._command(config, PrivateEndpoints("ipc:///x/poses", "ipc:///x/pictures"), "/x", 7)
    assert shlex.join(command[1:]) == (
        "-P -m realtime.dashboard --until-eof --leftover=/x --connect=ipc:///x/poses --pictures=ipc:///x/pictures "
        f"--listen-fd=7 --token-file={token} --allow-insecure --source-url=https://example.org/source "
        "--host=a.example.org --host=-b.example.org --lost-s=12.5 --log-format=json --log-level=debug"
    )
    assert "--no-pictures" in module._command(config, PrivateEndpoints("ipc:///x/poses", None), "/x", 7)
