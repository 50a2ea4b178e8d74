import logging
import os
import tempfile
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.machine import prepare_home


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Restore the variables after each test, and keep temporary folders out of the system's."""
    for name in ("HOME", "USER"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def test_a_home_that_can_be_used_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare_home()()
    assert os.environ["HOME"] == str(tmp_path)
    assert tmp_path.is_dir()


@pytest.mark.parametrize("home", ["{tmp}/none", "{tmp}/file", "{tmp}/file/below", "relative", "~"])
def test_any_other_home_is_replaced_until_the_end(home, monkeypatch, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", home.format(tmp=tmp_path))
    monkeypatch.chdir(tmp_path)
    remove = prepare_home()
    folder = Path.home()
    assert folder.parent == tmp_path / "scratch"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(caplog.messages) == 1
    assert str(folder) in caplog.messages[0]
    (folder / ".cache").mkdir()
    remove()
    assert not folder.exists()


def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("getpass.getuser", unknown)
    prepare_home()
    assert os.environ["USER"] == f"uid{os.getuid()}"


@pytest.mark.parametrize("is_readable", [True, False])
def test_a_home_that_can_only_be_read_is_kept_if_there_is_a_temporary_folder(
    is_readable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def access(path: str, mode: int) -> bool:
        return is_readable and not mode & os.W_OK

    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("os.access", access)
    prepare_home()
    assert (os.environ["HOME"] == str(tmp_path)) == is_readable
    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(ConfigError, match="set HOME or TMPDIR"):
        prepare_home()
