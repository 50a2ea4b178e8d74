import logging
import os
import sysconfig
import tempfile
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.machine import child_environment, prepared_folders

VARIABLES = "HOME", "USER", "TMPDIR", "YOLO_CONFIG_DIR", "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture(autouse=True)
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder for temporary files. All variables are restored after each test."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USER", "anna")
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def no_temporary_folder() -> str:
    raise FileNotFoundError("No usable temporary directory found")


def test_the_libraries_write_to_a_private_folder_that_is_removed(scratch: Path) -> None:
    with prepared_folders():
        (folder,) = scratch.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert os.environ["YOLO_CONFIG_DIR"] == os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
        (folder / "Ultralytics").mkdir()
    assert not folder.exists()


def test_the_choice_of_the_user_and_a_home_that_can_be_used_are_kept(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("YOLO_CONFIG_DIR", "/mine")
    with prepared_folders():
        pass
    assert os.environ["YOLO_CONFIG_DIR"] == "/mine"
    assert os.environ["HOME"] == str(tmp_path / "home")
    assert os.environ["USER"] == "anna"
    assert not caplog.messages


@pytest.mark.parametrize("home", ["{tmp}/none", "{tmp}/file", "{tmp}/file/below", "relative", "~"])
def test_any_other_home_is_replaced_with_one_line(home, scratch, monkeypatch, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", home.format(tmp=tmp_path))
    monkeypatch.chdir(tmp_path)
    with prepared_folders():
        assert Path.home().parent == scratch
    assert len(caplog.messages) == 1
    assert str(Path.home()) in caplog.messages[0]


def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", unknown)
    with prepared_folders():
        pass
    assert os.environ["USER"] == f"uid{os.getuid()}"


def test_the_home_folder_is_used_if_there_is_none_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", no_temporary_folder)
    with prepared_folders():
        (folder,) = (tmp_path / "home").iterdir()
        assert os.environ["TMPDIR"] == str(folder)
        assert os.environ["HOME"] == str(tmp_path / "home")
    assert not folder.exists()


@pytest.mark.parametrize(("mask", "left"), [(0o777, 0o077), (0o022, 0o022), (0o000, 0o000)])
def test_a_umask_never_hides_files_from_their_owner(mask: int, left: int, scratch: Path) -> None:
    before = os.umask(mask)
    try:
        with prepared_folders():
            (folder,) = scratch.iterdir()
            assert folder.stat().st_mode & 0o777 == 0o700
            assert os.umask(0o777) == left
    finally:
        os.umask(before)


def test_no_folder_to_write_to_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", no_temporary_folder)
    monkeypatch.setenv("HOME", "/proc")
    with pytest.raises(ConfigError, match="set HOME or TMPDIR"), prepared_folders():
        pass


def test_a_current_folder_that_cannot_be_entered_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exists(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", exists)
    with (
        pytest.raises(ConfigError, match=r"the current folder can't be used \(Permission denied\)"),
        prepared_folders(),
    ):
        pass


def test_a_current_folder_that_was_removed_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path / "home")
    (tmp_path / "home").rmdir()
    with pytest.raises(ConfigError, match="the current folder can't be used"), prepared_folders():
        pass


def test_a_child_gets_no_configuration_and_no_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REALTIME_CAMERAS", "REALTIME_POSE__MODEL", "DOOR_URL", "HF_TOKEN", "LD_LIBRARY_PATH", "LC_ALL"):
        monkeypatch.setenv(name, "rtsp://u:s3cret@10.0.0.5/s1")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    passed = child_environment(Path("/opt/pose"))
    assert {name for name, text in passed.items() if "s3cret" in text} == {"LD_LIBRARY_PATH", "LC_ALL"}
    assert passed["PYTHONPATH"] == "/opt/pose:/mine"
    assert "HOME" in passed


def test_a_child_finds_an_installed_package_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert "PYTHONPATH" not in child_environment(Path(sysconfig.get_path("purelib")))
