"""Locks, links and writing that never blocks for ever."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from realtime.outputs import OPEN_FLAGS, is_at, keep_access, real_path, try_lock, write_some


@pytest.fixture
def pipe(tmp_path: Path):
    """The two ends of a full named pipe: reader, writer."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, OPEN_FLAGS)
    while True:
        try:
            os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_full_pipe_is_waited_for_until_it_is_over(pipe: tuple[int, int]) -> None:
    looks = iter([False, True])
    with pytest.raises(OSError, match="has stopped reading") as told:
        write_some(pipe[1], b"y", lambda: next(looks))
    assert told.value.errno == errno.ETIMEDOUT


def test_a_pipe_that_is_read_again_is_written(pipe: tuple[int, int]) -> None:
    def read() -> bool:
        os.read(pipe[0], 65536)
        return False

    assert write_some(pipe[1], b"y", read) == 1


def test_a_file_that_takes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
    with pytest.raises(OSError, match="Input/output error"):
        write_some(1, b"y")


def test_a_lock_holds_until_the_file_is_closed(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_lock(first)
    assert not try_lock(second)
    os.close(first)
    assert try_lock(second)
    os.close(second)


def test_a_file_system_without_locks_counts_as_locked(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level("DEBUG", "realtime"):
        assert try_lock(0)
    assert "no locks (No locks available)" in caplog.text


def test_links_lead_to_their_files_but_not_out_of_proc(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("c")
    assert real_path(tmp_path / "a") == tmp_path / "c"  # which does not exist yet
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "loop") == tmp_path / "loop"
    reader, writer = os.pipe()
    (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{writer}")
    assert real_path(tmp_path / "stdout").is_fifo()
    os.close(reader)
    os.close(writer)


def test_a_renamed_file_is_no_longer_at_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    assert is_at(path, descriptor)
    path.rename(tmp_path / "y")
    assert not is_at(path, descriptor)
    path.touch()
    assert not is_at(path, descriptor)
    os.close(descriptor)
    assert not is_at(path, descriptor)


def test_a_new_file_gets_the_permissions_of_the_one_before(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch(0o640)
    old.chmod(0o640)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT, 0o666)
    keep_access(descriptor, old.stat())
    os.close(descriptor)
    assert new.stat().st_mode & 0o777 == 0o640
