import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.runtime.memory import drop_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs glibc's malloc pools")

# Prints the pools of 6 threads, then the resident MB before and after 36 of 40 MB are freed.
PROGRAM = """
import ctypes, sys, threading
from pathlib import Path
from realtime.runtime import memory

libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
libc.free.argtypes = libc.fflush.argtypes = [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
resident_mb = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

if "shared" in sys.argv:
    memory.share_pools()
together = threading.Barrier(6)
def work():
    together.wait()
    libc.malloc(5000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
output = libc.fdopen(1, b"w")
libc.malloc_info(0, output)
libc.fflush(output)

blocks = [libc.malloc(100_000) for _ in range(400)]  # smaller than the blocks that glibc maps separately
[libc.memset(block, 1, 100_000) for block in blocks]
before_mb = resident_mb()
[libc.free(block) for i, block in enumerate(blocks) if i % 10]
memory.give_back_memory()
print(before_mb, resident_mb(), flush=True)
"""


def run(*arguments: str) -> tuple[int, float]:
    """Run PROGRAM. Return the number of pools, and how many MB were returned to the system."""
    result = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    before_mb, after_mb = map(float, result.stdout.splitlines()[-1].split())
    return result.stdout.count("<heap nr="), before_mb - after_mb


def test_threads_share_two_pools_and_freed_memory_returns_to_the_system() -> None:
    alone, _ = run()
    assert alone > 2  # one pool per thread
    pools, returned_mb = run("shared")
    assert pools <= 2
    assert returned_mb > 25


def resident_kb(file: Path) -> int:
    """How much of a mapped file is in this process's memory."""
    maps = Path("/proc/self/smaps").read_text(errors="surrogateescape")
    _, _, after = maps.partition(str(file).replace("\n", "\\012") + "\n")
    found = re.search(r"^Rss:\s+(\d+) kB", after, re.MULTILINE)
    return int(found[1]) if found else -1


def test_the_pages_of_a_mapped_file_are_dropped_and_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "with a blank"
    file.write_bytes(b"ab" * 500_000)
    (tmp_path / "link").symlink_to(file)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        assert bytes(pages) == b"ab" * 500_000
        assert resident_kb(file) > 900
        drop_pages(tmp_path / "link")
        assert resident_kb(file) == 0
        assert bytes(pages) == b"ab" * 500_000


def test_pages_that_could_hold_changes_are_not_dropped(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(10_000))
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as pages:
        pages[5] = 1
        drop_pages(file)
        assert pages[5] == 1
    drop_pages(tmp_path / "not there")


def test_without_proc_no_pages_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **keywords: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    drop_pages(tmp_path / "file")
