import errno
import resource

import pytest

from realtime.limits import explained, limit


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("can't start new thread"), "threads"),
        (RuntimeError("std::system_error: Resource temporarily unavailable"), "threads"),
        (MemoryError(), "not enough memory (MemoryError)"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory"),
        (ImportError("x.so: failed to map segment from shared object: Cannot allocate memory"), "memory"),
        (OSError(errno.EMFILE, "Too many open files", "x.jsonl"), "open files"),
    ],
)
def test_a_limit_is_named(error, says):
    assert says in str(explained(error))
    assert explained(error).exit_code == 1


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        ImportError("x.so: failed to map segment from shared object: Operation not permitted"),  # a mount with noexec
    ],
)
def test_another_error_is_not_taken_for_a_limit(error):
    assert explained(error) is None


def test_the_line_says_how_high_the_limit_is_and_how_to_raise_it(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda number: (1000 * 1024, -1))
    assert str(explained(MemoryError())).endswith("the limit is 1000 kB of addresses; raise it (ulimit -v)")
    monkeypatch.setattr(resource, "getrlimit", lambda number: (-1, -1))
    assert "container" in str(explained(MemoryError()))
    assert limit("RLIMIT_NPROC") == float("inf")
