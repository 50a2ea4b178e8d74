from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from realtime.models import digests
from realtime.models import memory as memories
from realtime.models.digests import sha256_of


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """The file of remembered digests; every file counts as large."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_LARGE_BYTES", 0)
    return tmp_path / "cache" / "realtime-pose" / "digests.json"


@pytest.fixture
def reads(monkeypatch):
    """The files that were read."""
    found, read = [], digests._read
    monkeypatch.setattr(digests, "_read", lambda file: (found.append(file), read(file))[1])
    return found


def written(file, content: bytes):
    """A file that was last changed a minute ago."""
    file.write_bytes(content)
    os.utime(file, (time.time() - 60,) * 2)
    return file


def test_a_file_is_read_once(memory, reads, tmp_path):
    file = written(tmp_path / "model.pth", b"weights")
    expected = hashlib.sha256(b"weights").hexdigest()
    assert [sha256_of(file) for _ in range(3)] == [expected] * 3
    assert len(reads) == 1
    assert memory.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]


def touched(file):
    os.utime(file, (1, 1))


def overwritten_with_its_old_time(file):
    status = file.stat()
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced_with_its_old_time(file):
    status = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"WEIGHTS")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize("change", [touched, overwritten_with_its_old_time, replaced_with_its_old_time])
def test_a_file_that_may_have_changed_is_read_again(memory, reads, tmp_path, change):
    file = written(tmp_path / "model.pth", b"weights")
    sha256_of(file)
    change(file)
    assert sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(reads) == 2


def test_the_digest_of_a_file_that_was_just_written_is_not_remembered(memory, tmp_path):
    file = tmp_path / "model.pth"
    file.write_bytes(b"weights")
    sha256_of(file)
    assert not memory.exists()


DAMAGED = [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b'{"PATH": ["0"]}', b'{"PATH": "text"}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_memory_counts_as_empty(memory, reads, tmp_path, content):
    file = written(tmp_path / "model.pth", b"weights")
    memory.parent.mkdir(parents=True, mode=0o700)
    memory.write_bytes(content.replace(b"PATH", str(file).encode()))
    memory.chmod(0o600)
    expected = hashlib.sha256(b"weights").hexdigest()
    assert [sha256_of(file), sha256_of(file)] == [expected, expected]
    assert len(reads) == 1


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners on this system")
def test_a_memory_that_others_could_have_changed_is_not_believed(memory, reads, tmp_path):
    file = written(tmp_path / "model.pth", b"weights")
    sha256_of(file)
    memory.chmod(0o666)
    sha256_of(file)
    assert len(reads) == 2


def test_a_cache_that_can_not_be_written_is_no_obstacle(memory, tmp_path):
    memory.parent.parent.write_text("a file where the folder should be")
    file = written(tmp_path / "model.pth", b"weights")
    assert sha256_of(file) == hashlib.sha256(b"weights").hexdigest()


def test_only_the_latest_digests_are_kept(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(memories, "_MOST", 2)
    for name in "abc":
        sha256_of(written(tmp_path / name, name.encode()))
    assert list(json.loads(memory.read_text())) == [str(tmp_path / "b"), str(tmp_path / "c")]


def test_small_files_are_not_remembered(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(digests, "_LARGE_BYTES", 100)
    sha256_of(written(tmp_path / "model.pth", b"weights"))
    assert not memory.exists()
