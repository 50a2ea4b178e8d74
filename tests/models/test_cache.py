from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.models.cache import built_once, cache_folder, is_trusted
from tests.wire.test_writers import give_away


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


class Network:
    """A network that is a text, and counts how often it is built."""

    def __init__(self, text: str = "built") -> None:
        self.text, self.builds = text, 0

    def build(self) -> str:
        self.builds += 1
        return self.text

    def fetch(self, cache, *key, write=lambda text, folder: (folder / "file").write_text(text), read=None):
        return built_once(
            cache, key or ["a"], self.build, write, read or (lambda folder: (folder / "file").read_text())
        )


def only_folder(cache: Path) -> Path:
    (folder,) = cache.iterdir()
    return folder


def test_the_same_key_is_built_once(tmp_path):
    network = Network()
    assert [network.fetch(tmp_path, "a", "b") for _ in range(2)] == ["built", "built"]
    assert network.builds == 1
    assert (only_folder(tmp_path) / "file").read_text() == "built"


def test_a_network_that_was_just_built_is_read_from_its_folder(tmp_path):
    assert Network("built").fetch(tmp_path, read=lambda folder: "read") == "read"


def test_each_key_has_its_own_folder(tmp_path):
    for key in (["a"], ["b"], ["a", "b"], ["ab"]):
        Network().fetch(tmp_path, *key)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_folder_is_rebuilt_once(tmp_path):
    network = Network()
    network.fetch(tmp_path)
    (only_folder(tmp_path) / "file").unlink()
    assert network.fetch(tmp_path) == "built"
    assert network.fetch(tmp_path) == "built"
    assert network.builds == 2


def test_a_network_that_can_never_be_read_is_used_from_memory(tmp_path, caplog):
    def fail(folder):
        raise RuntimeError("half")

    network = Network()
    assert network.fetch(tmp_path, read=fail) == network.fetch(tmp_path, read=fail) == "built"
    assert network.builds == 2
    assert f"cache: {tmp_path} can't be used (half); every start converts the networks again" in caplog.text


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    def fail(text, folder):
        (folder / "half").write_text("half")
        raise ValueError("planted")

    Network().fetch(tmp_path, write=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_full_disk_is_named_once_and_the_network_used_from_memory(tmp_path, caplog, number):
    def fill(text, folder):
        (folder / "half").write_text("half")
        raise OSError(number, os.strerror(number))

    network = Network()
    assert [network.fetch(tmp_path, key, write=fill) for key in ("detector", "pose")] == ["built", "built"]
    assert list(tmp_path.iterdir()) == []
    says = f"cache: {tmp_path} can't be used ({os.strerror(number)}); every start converts the networks again"
    assert [record.getMessage() for record in caplog.records] == [says]


def test_the_first_of_two_concurrent_builds_wins(tmp_path):
    first, late = Network("first"), Network("late")

    def write_late(text, folder):
        first.fetch(tmp_path)
        (folder / "file").write_text(text)

    assert late.fetch(tmp_path, write=write_late) == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_least_recently_used_folders_are_removed(tmp_path):
    network, before = Network(), set()
    for i in range(8):
        network.fetch(tmp_path, str(i))
        (new,) = set(tmp_path.iterdir()) - before
        before.add(new)
        os.utime(new, (1000 + i, 1000 + i))
    network.fetch(tmp_path, "0")  # used again
    network.fetch(tmp_path, "new")
    assert network.builds == 9
    network.fetch(tmp_path, "0")
    assert network.builds == 9
    network.fetch(tmp_path, "1")
    assert network.builds == 10


def test_the_folder_that_was_just_built_stays_whatever_the_clock_says(tmp_path):
    network = Network()
    for i in range(8):
        network.fetch(tmp_path, str(i))
    for folder in tmp_path.iterdir():
        os.utime(folder, (2**32, 2**32))  # the clock was ahead, or it is now in 1970
    network.fetch(tmp_path, "new")
    network.fetch(tmp_path, "new")
    assert network.builds == 9


def test_a_file_in_the_place_of_the_cache_is_no_obstacle(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    for cache in (tmp_path / "file", tmp_path / "file" / "cache"):
        assert Network().fetch(cache) == "built"
        assert f"cache: {cache} can't be used" in caplog.text


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ELOOP, errno.ENOTDIR, errno.EROFS])
def test_a_cache_that_can_not_be_read_counts_as_empty(tmp_path, monkeypatch, number):
    def fail(*args, **keywords):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    assert Network().fetch(tmp_path / "cache") == "built"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_this_user_can_enter_what_is_created(tmp_path, umask):
    before = os.umask(umask)
    try:
        Network().fetch(tmp_path / "home" / ".cache" / "realtime-pose")
    finally:
        os.umask(before)
    built = only_folder(tmp_path / "home" / ".cache" / "realtime-pose")
    for path, mode in ((tmp_path / "home", 0o700), (built.parent, 0o700), (built, 0o700), (built / "file", 0o600)):
        assert path.stat().st_mode & 0o777 == mode, path


# ---- what other users could have changed


def planted(cache: Path) -> Path:
    """A cache in which the network of the key "a" was exchanged."""
    Network("evil").fetch(cache)
    return only_folder(cache)


HARMS = {
    "anyone can write the cache": lambda built: built.parent.chmod(0o777),
    "the sticky bit does not keep others from adding": lambda built: built.parent.chmod(0o1777),
    "the group can write the cache": lambda built: built.parent.chmod(0o770),
    "anyone can write the built folder": lambda built: built.chmod(0o777),
    "anyone can write a file in it": lambda built: (built.chmod(0o755), (built / "file").chmod(0o666)),
    "anyone can replace the cache": lambda built: built.parent.parent.chmod(0o777),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_network_that_others_could_have_changed_is_built_anew_with_one_warning(tmp_path, caplog, harm):
    built = planted(tmp_path / "cache")
    harm(built)
    assert [Network("good").fetch(tmp_path / "cache") for _ in range(2)] == ["good", "good"]
    assert (built / "file").read_text() == "evil"  # nothing is written there either
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "run chmod go-w" in warning
    assert "until then it counts as empty, and every start converts the networks again" in warning


def test_a_network_of_another_user_is_built_anew(tmp_path, monkeypatch, caplog):
    built = planted(tmp_path / "cache")
    give_away(built, monkeypatch)
    assert Network("good").fetch(tmp_path / "cache") == "good"
    assert "belongs to user" in caplog.text


def test_a_link_to_the_folder_of_another_user_is_not_followed(tmp_path, monkeypatch):
    built = planted(tmp_path / "cache")
    built.rename(tmp_path / "theirs")
    built.symlink_to(tmp_path / "theirs")
    assert Network("good").fetch(tmp_path / "cache") == "evil"  # a link of our own to a folder of our own
    give_away(tmp_path / "theirs", monkeypatch)
    assert Network("good").fetch(tmp_path / "cache") == "good"


def test_a_shared_cache_that_others_can_only_read_is_used(tmp_path):
    built = planted(tmp_path / "cache")
    for path, mode in ((built.parent, 0o755), (built, 0o755), (built / "file", 0o644)):
        path.chmod(mode)
    assert Network("good").fetch(tmp_path / "cache") == "evil"


def test_a_missing_folder_is_not_trusted_and_not_warned_about(tmp_path, caplog):
    assert not is_trusted(tmp_path / "none")
    assert caplog.text == ""
