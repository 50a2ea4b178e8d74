"""Small files that a user names: whatever the path leads to, reading ends."""

import os
import threading
from pathlib import Path

import pytest

from realtime.wire.small_file import read_small

MOST = 16 * 1024


def test_a_file_up_to_the_limit_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * MOST)
    assert read_small(tmp_path / "file", MOST) == b"x" * MOST


def missing(path: Path) -> None:
    pass


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 10**9)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (missing, "no such file"),
        (Path.mkdir, "Is a directory"),
        (huge, "too large: expected at most 16 kB"),
        (lambda path: path.write_bytes(b"x" * (MOST + 1)), "too large: expected at most 16 kB"),
        (lambda path: path.symlink_to("/dev/zero"), "too large: expected at most 16 kB"),  # never ends
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: os.mkfifo(path), "did not end within 0.01 s"),  # no other program opens it
    ],
)
def test_a_path_that_leads_elsewhere_is_one_line(tmp_path: Path, make: object, says: str) -> None:
    make(tmp_path / "it")  # type: ignore[operator]
    with pytest.raises(ValueError, match=says):
        read_small(tmp_path / "it", MOST, longest_wait_s=0.01)


def test_a_pipe_is_read_as_long_as_another_program_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"rtsp://10.0.0.5/s1\n",))
    writer.start()
    assert read_small(tmp_path / "pipe", MOST) == b"rtsp://10.0.0.5/s1\n"
    writer.join()


def test_a_process_substitution_is_read() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"rtsp://10.0.0.5/s1")
    os.close(theirs)
    try:
        assert read_small(Path(f"/dev/fd/{ours}"), MOST) == b"rtsp://10.0.0.5/s1"
    finally:
        os.close(ours)


def test_a_writer_that_stays_silent_is_not_waited_for_for_ever() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"rtsp://")
    try:
        with pytest.raises(ValueError, match=r"did not end within 0\.01 s"):
            read_small(Path(f"/dev/fd/{ours}"), MOST, longest_wait_s=0.01)
    finally:
        os.close(ours)
        os.close(theirs)
