from __future__ import annotations

import os

import pytest

from realtime.errors import ModelError
from realtime.models.cache import built_once, read_built


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


def test_what_is_damaged_is_built_again_once(tmp_path):
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
    with pytest.raises(ModelError, match=r"can't be read \(RuntimeError\): delete it"):
        read_built(tmp_path, ["a"], build, read)


def test_other_keys_are_other_folders(tmp_path):
    build, _ = builder()
    assert len({built_once(tmp_path, key, build) for key in (["a"], ["b"], ["a", "b"], ["ab"])}) == 4


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        built_once(tmp_path, ["a"], fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path):
    def fill(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelError, match="No space left"):
        built_once(tmp_path, ["a"], fill)


def test_who_builds_the_same_meanwhile_wins(tmp_path):
    build, _ = builder("first")

    def build_late(folder):
        built_once(tmp_path, ["a"], build)
        (folder / "file").write_text("late")

    assert (built_once(tmp_path, ["a"], build_late) / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folders_unused_for_longest_are_removed(tmp_path):
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


def test_a_cache_that_cant_be_written_is_built_elsewhere(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    build, _ = builder()
    folder = built_once(tmp_path / "file" / "cache", ["a"], build)
    assert (folder / "file").read_text() == "built"
    assert "built anew at every start" in caplog.text
