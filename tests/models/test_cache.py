from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from realtime.errors import ConfigError, ModelError
from realtime.models.cache import built_once, cache_folder, read_built


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other cache folders")
def test_the_cache_is_in_the_folder_that_the_system_names(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "realtime-pose"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "realtime-pose"
    assert not cache_folder().exists()


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_a_strange_home_folder_is_no_obstacle(monkeypatch, home):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    assert cache_folder().is_absolute()


def no_home(*args, **keywords):
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("answer", [no_home, lambda *args, **keywords: Path("~/.cache/realtime-pose")])
def test_a_user_without_a_home_folder_learns_what_to_set(monkeypatch, answer):
    monkeypatch.setattr("platformdirs.user_cache_path", answer)
    with pytest.raises(ConfigError, match="set HOME or XDG_CACHE_HOME"):
        cache_folder()


def builder(text="built"):
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "file").write_text(text)

    return build, calls


def test_the_same_key_is_built_once(tmp_path):
    build, calls = builder()
    first, second = (built_once(tmp_path, ["a", "b"], build) for _ in range(2))
    assert first == second
    assert len(calls) == 1
    assert (first / "file").read_text() == "built"


def test_a_damaged_folder_is_rebuilt_once(tmp_path):
    build, calls = builder()
    built_once(tmp_path, ["a"], build)
    broken = [OSError("half"), None]

    def read(folder):
        if error := broken.pop(0):
            raise error
        return (folder / "file").read_text()

    assert read_built(tmp_path, ["a"], build, read) == "built"
    assert len(calls) == 2
    broken[:] = [RuntimeError("half"), RuntimeError("half again")]
    with pytest.raises(ModelError, match=r"can't be read \(RuntimeError\) even after a rebuild; delete it"):
        read_built(tmp_path, ["a"], build, read)


def test_each_key_has_its_own_folder(tmp_path):
    build, _ = builder()
    assert len({built_once(tmp_path, key, build) for key in (["a"], ["b"], ["a", "b"], ["ab"])}) == 4


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        built_once(tmp_path, ["a"], fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_in_one_line(tmp_path):
    def fill(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelError, match="No space left"):
        built_once(tmp_path, ["a"], fill)


def test_the_first_of_two_concurrent_builds_wins(tmp_path):
    build, _ = builder("first")

    def build_late(folder):
        built_once(tmp_path, ["a"], build)
        (folder / "file").write_text("late")

    assert (built_once(tmp_path, ["a"], build_late) / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_under_the_temporary_folder_is_reported_in_one_line(tmp_path):
    (tmp_path / "file").write_text("in the place of the cache folder")

    def build(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelError, match=r"can't be written: No space left on device$"):
        built_once(tmp_path / "file", ["key"], build)


def test_the_least_recently_used_folders_are_removed(tmp_path):
    build, calls = builder()
    for i in range(8):
        os.utime(built_once(tmp_path, [str(i)], build), (1000 + i, 1000 + i))
    built_once(tmp_path, ["0"], build)  # used again
    built_once(tmp_path, ["new"], build)
    assert len(calls) == 9
    built_once(tmp_path, ["0"], build)
    assert len(calls) == 9
    built_once(tmp_path, ["1"], build)
    assert len(calls) == 10


def test_an_unwritable_cache_is_replaced_by_a_temporary_folder(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    build, _ = builder()
    folder = built_once(tmp_path / "file" / "cache", ["a"], build)
    assert (folder / "file").read_text() == "built"
    assert "every start converts the network again" in caplog.text
