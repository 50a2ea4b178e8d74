"""Who else can change a file: owners, permission bits, and the folders and links on the way."""

import os
import tempfile
from pathlib import Path

import pytest

from realtime.wire import writers
from realtime.wire.writers import changed_by_others


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file belong to another user; only root can do that, so for others everything then does."""
    if os.getuid() == 0:
        os.chown(path, 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """outer/inner/file, as a careful user creates it."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    for path, mode in ((inner.parent, 0o755), (inner, 0o755), (inner / "file", 0o644)):
        path.chmod(mode)
    return inner


def test_a_folder_of_our_own_is_changed_by_no_other_user(folder: Path) -> None:
    assert changed_by_others(folder) is None
    assert changed_by_others(folder / "file") is None
    assert changed_by_others(Path("/")) is None


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_found_with_its_remedy(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert changed_by_others(folder) == f"other users can change {folder} (mode {mode:o}): run chmod go-w {folder}"


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_can_write_is_found(folder: Path, mode: int) -> None:
    (folder / "file").chmod(mode)
    assert f"chmod go-w {folder / 'file'}" in str(changed_by_others(folder / "file"))
    assert changed_by_others(folder) is None


def test_a_folder_above_counts_unless_its_sticky_bit_keeps_others_from_renaming(folder: Path) -> None:
    folder.parent.chmod(0o777)
    assert f"chmod go-w {folder.parent}" in str(changed_by_others(folder))
    folder.parent.chmod(0o1777)
    assert changed_by_others(folder) is None


def test_a_folder_of_another_user_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(folder.parent, monkeypatch)
    assert "belongs to user" in str(changed_by_others(folder))


def test_a_link_leads_to_the_folders_behind_it_and_is_itself_in_one(folder: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "link").symlink_to(folder)
    (tmp_path / "second").symlink_to("shelf/link")
    assert changed_by_others(tmp_path / "second" / "file") is None
    shelf.chmod(0o777)  # others could redirect the first link
    assert f"chmod go-w {shelf}" in str(changed_by_others(tmp_path / "second" / "file"))
    shelf.chmod(0o755)
    folder.parent.chmod(0o777)  # others could replace the folder that it leads to
    assert f"chmod go-w {folder.parent}" in str(changed_by_others(tmp_path / "second"))


def test_a_link_of_another_user_is_found(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(folder)
    give_away(tmp_path / "link", monkeypatch)
    assert "belongs to user" in str(changed_by_others(tmp_path / "link"))


def test_a_path_that_goes_up_ends_where_the_system_ends(folder: Path) -> None:
    folder.parent.chmod(0o1777)
    assert f"chmod go-w {folder.parent}" in str(changed_by_others(folder / ".."))


def test_a_relative_path_is_followed_from_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    folder.parent.chmod(0o777)
    assert f"chmod go-w {folder.parent}" in str(changed_by_others(Path("file")))


def test_no_one_can_change_what_is_mounted_read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.chmod(0o1777)  # as Kubernetes mounts a secret
    monkeypatch.setattr(writers, "_is_read_only", lambda entry: entry == folder)
    assert changed_by_others(folder) is None


def test_a_missing_file_and_a_circle_of_links_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        changed_by_others(tmp_path / "none" / "file")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="symbolic links"):
        changed_by_others(tmp_path / "circle")


def test_the_folder_for_temporary_files_is_open_to_others_but_what_we_make_there_is_not() -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert changed_by_others(Path(folder)) is None
