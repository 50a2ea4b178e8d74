"""Flags, and everything that a user can get wrong: one line, exit code 2."""

import subprocess
import sys

import pytest

from realtime.dashboard import command
from tests.wire.publisher import ROOT

TOKEN = "an example, not a secret"


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


def refused(capsys, *arguments):
    """Run with these arguments, which are refused, and return the line."""
    try:
        code = command.main(list(arguments))
    except SystemExit as end:
        code = end.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bind", "localhost"], "got 'localhost', expected HOST:PORT or a port, 1..65535"),
        (["--bind", "0"], "expected HOST:PORT or a port, 1..65535"),
        (["--bind", "127.0.0.1:99999"], "expected HOST:PORT"),
        (["--bind", "192.0.2.1:8080"], "no network interface of this machine has this address"),
        (["--bind", "0.0.0.0:0"], "expected HOST:PORT"),
        (["--connect", "127.0.0.1:5555"], "expected tcp://HOST:PORT"),
        (["--connect", "tcp://a:1", "--connect", "tcp://b:1", "--pictures", "tcp://a:2"], "more than one --connect"),
        (["--lost-s", "0"], "expected seconds"),
        (["--lost-s", "nan"], "expected seconds"),
        (["--source-url", "javascript:alert(1)"], "expected an http:// or https:// URL"),
        (["--host", "https://cams.example.org/"], "expected a name without scheme and port: cams.example.org"),
        (["--token-file", "/no/such"], "token-file: /no/such: no such file"),
        (["--token-file", "/"], "token-file: /: Is a directory"),
        (["--curve-secret", "/no/such"], "expected both or neither"),
        (["--listen-fd", "9999"], "expected a listening socket"),
        (["--conn", "tcp://a:1"], "unrecognized arguments"),
        (["--nonsense\n12:00:00 info forged"], r"--nonsense\n12:00:00"),
    ],
)
def test_what_a_user_can_get_wrong_is_told_in_one_line(capsys, arguments, said):
    assert said in refused(capsys, *arguments)


def test_beyond_loopback_a_token_is_needed(capsys, monkeypatch):
    monkeypatch.setattr(command, "_routes", lambda site: pytest.fail("it ran"))
    line = refused(capsys, "--bind", "0.0.0.0:45671")
    assert "set a token with --token-file, or accept it with --allow-insecure" in line


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666])
def test_a_token_file_that_others_can_access_is_refused(capsys, token_file, mode):
    token_file.chmod(mode)
    assert f"other users can access {token_file}: run chmod 600" in refused(capsys, "--token-file", str(token_file))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short", b"a" * 15, b"two lines of text\nof a token", b"\xff" * 20, b"a" * 5000]
)
def test_a_token_that_is_none_is_refused_and_not_shown(capsys, token_file, content):
    token_file.write_bytes(content)
    line = refused(capsys, "--token-file", str(token_file))
    assert "token-file" in line
    assert "short" not in line
    assert "two lines" not in line


def test_a_token_is_read_without_the_end_of_its_line(token_file):
    assert command.read_token(token_file) == TOKEN


def test_the_token_is_not_shown_with_the_settings(token_file):
    settings = command._settings(command.parser().parse_args(["--token-file", str(token_file)]))
    assert settings.token == TOKEN
    assert TOKEN not in repr(settings)


def test_without_the_extra_the_pip_line_is_told():
    code = "import sys\nfor name in ('starlette', 'uvicorn'): sys.modules[name] = None\n"
    code += "from realtime.dashboard.command import main\nsys.exit(main([]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [result.stderr.strip()]
    assert "is not installed: pip install 'realtime-pose[web]'" in result.stderr


def test_the_help_needs_no_library_of_the_extra():
    code = "import sys\nfor name in ('starlette', 'uvicorn', 'prometheus_client'): sys.modules[name] = None\n"
    code += "from realtime.dashboard.command import main\nmain(['--help'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0
    assert "--listen-fd" not in result.stdout
