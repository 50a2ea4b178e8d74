import errno
import resource

import pytest

from realtime.errors import RealtimeError
from realtime.runtime import limits
from realtime.runtime.limits import check_limits, explained


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("can't start new thread"), "threads"),
        (RuntimeError("Exception from src/plugin.cpp:54:\nResource temporarily unavailable\n"), "threads"),
        (MemoryError(), "not enough memory (MemoryError)"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "memory"),
        (ImportError("x.so: failed to map segment from shared object: Cannot allocate memory"), "memory"),
        (OSError(errno.EMFILE, "Too many open files", "x.jsonl"), "open files"),
    ],
)
def test_a_limit_that_was_reached_is_named(error, says):
    assert says in str(explained(error))
    assert explained(error).exit_code == 1
    assert "\n" not in str(explained(error))


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


@pytest.mark.parametrize(
    ("name", "most", "says"),
    [
        ("RLIMIT_AS", 2_000_000_000, "memory: got a limit of 2.0 GB of addresses (ulimit -v), expected at least 5"),
        ("RLIMIT_NOFILE", 12, "files: got a limit of 12 open files (ulimit -n)"),
    ],
)
def test_a_limit_that_is_too_low_ends_the_run_at_the_start(name, most, says, monkeypatch):
    number = getattr(resource, name)
    monkeypatch.setattr(resource, "getrlimit", lambda asked: (most if asked == number else -1, -1))
    with pytest.raises(RealtimeError) as caught:
        check_limits()
    assert str(caught.value).startswith(says)
    assert caught.value.exit_code == 1


def test_too_few_threads_end_the_run_at_the_start(monkeypatch):
    class Limited(limits.threading.Thread):
        """The third one can't be started."""

        left = 2

        def start(self):
            if Limited.left == 0:
                raise RuntimeError("can't start new thread")
            Limited.left -= 1
            super().start()

    monkeypatch.setattr(limits.threading, "Thread", Limited)
    with pytest.raises(RealtimeError, match=r"only 2 could be started, expected .* \(ulimit -u\)"):
        check_limits()


def test_the_limits_of_this_machine_are_high_enough():
    check_limits()
