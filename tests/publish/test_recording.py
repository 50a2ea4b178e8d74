"""The file of a recording: what was there before, who else writes it, and whole lines only."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.errors import OutputError
from realtime.publish import output_file as module
from realtime.publish.recording import RecordingFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


def record(path: Path, *lines: bytes) -> None:
    file = RecordingFile(path)
    file.begin()
    for line in lines:
        file.write(line)
    file.close()


def earlier(path: Path) -> list[str]:
    return sorted(file.read_text() for file in path.parent.glob("x-*.jsonl"))


def test_an_earlier_recording_is_renamed_when_the_run_begins(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("old\n")
    path.chmod(0o640)
    os.utime(path, (0, 1795873500))
    file = RecordingFile(path)
    assert path.read_text() == "old\n"
    with caplog.at_level("INFO"):
        file.begin()
    file.write(b"new")
    file.close()
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.with_name("x-20261128T134500Z.jsonl").read_text() == "old\n"
    assert [each.getMessage() for each in caplog.records] == [
        f"record: the earlier {path} is now called x-20261128T134500Z.jsonl"
    ]


@pytest.mark.parametrize("before", [None, "", "old\n"])
def test_a_run_that_does_not_start_changes_nothing(path: Path, before: str | None) -> None:
    if before is not None:
        path.write_text(before)
    RecordingFile(path).close()
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == (
        [] if before is None else [("x.jsonl", before)]
    )


def test_an_empty_file_is_written_as_it_is(path: Path) -> None:
    path.touch()
    inode = path.stat().st_ino
    record(path, b"a")
    assert (path.stat().st_ino, path.read_text(), earlier(path)) == (inode, "a\n", [])


def test_a_recording_of_nothing_is_an_empty_file(path: Path) -> None:
    record(path)
    assert path.read_text() == ""


def test_the_target_of_a_link_is_renamed_and_the_link_stays(path: Path) -> None:
    target = path.parent / "data" / "poses"
    target.parent.mkdir()
    path.symlink_to(target)
    for line in (b"1", b"2"):
        record(path, line)
    assert path.is_symlink()
    assert sorted(file.read_text() for file in target.parent.iterdir()) == ["1\n", "2\n"]
    assert target.read_text() == "2\n"
    assert len(list(path.parent.iterdir())) == 2


# ---- several runs


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize("before", [None, "old\n"])
def test_a_file_that_another_run_writes_is_refused(path: Path, has_begun: bool, before: str | None) -> None:
    if before:
        path.write_text(before)
    first = RecordingFile(path)
    if has_begun:
        first.begin()
        first.write(b"a")
    names = sorted(path.parent.iterdir())
    with pytest.raises(OutputError, match=rf"^record: another run writes {path}: choose another file") as told:
        RecordingFile(path)
    assert told.value.exit_code == 2
    assert sorted(path.parent.iterdir()) == names
    first.close()
    record(path, b"b")
    assert path.read_text() == "b\n"


def test_a_file_that_is_renamed_before_it_is_locked_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("old\n")
    lock = module.try_lock

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(module, "try_lock", lock)
        path.rename(path.with_name("moved"))
        path.write_text("of a run in between\n")
        return lock(descriptor)

    monkeypatch.setattr(module, "try_lock", late)
    record(path, b"a")
    assert path.with_name("moved").read_text() == "old\n"
    assert earlier(path) == ["of a run in between\n"]
    assert path.read_text() == "a\n"


def test_a_file_that_is_renamed_again_and_again_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_at", lambda path, descriptor: False)
    with pytest.raises(OutputError, match="another run writes"):
        RecordingFile(path)


def test_a_file_that_changed_while_the_models_loaded_is_not_emptied(path: Path) -> None:
    file = RecordingFile(path)
    path.write_text("of another program\n")
    file.begin()
    file.write(b"a")
    file.close()
    assert (path.read_text(), earlier(path)) == ("a\n", ["of another program\n"])


def test_a_file_that_was_moved_while_the_models_loaded_is_left_alone(path: Path) -> None:
    path.write_text("old\n")
    file = RecordingFile(path)
    path.rename(path.with_name("moved"))
    file.begin()
    file.write(b"a")
    file.close()
    assert (path.read_text(), path.with_name("moved").read_text()) == ("a\n", "old\n")


def test_a_run_that_takes_the_name_in_between_keeps_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("old\n")
    file = RecordingFile(path)
    rename = module.set_aside

    def slow(path: Path, written_s: float, companions: tuple[str, ...]) -> Path:
        new = rename(path, written_s, companions)
        path.write_text("of a faster run\n")
        return new

    monkeypatch.setattr(module, "set_aside", slow)
    with pytest.raises(OutputError, match="another run writes"):
        file.begin()
    file.close()
    assert (path.read_text(), earlier(path)) == ("of a faster run\n", ["old\n"])


# ---- paths that can't be used


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "can't write .*: Is a directory"),
        (lambda path: path.symlink_to(path), "can't write .*: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("none/x"), "can't write .*: No such file or directory"),
        (lambda path: path.symlink_to("/dev/null/x"), "can't write .*: Not a directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_line(path: Path, make: Callable[[Path], None], why: str) -> None:
    make(path)
    with pytest.raises(OutputError, match=f"^record: {why}$"):
        RecordingFile(path)


def test_a_folder_in_which_nothing_can_be_renamed_is_found_at_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda folder, mode: False)
    RecordingFile(path).close()  # nothing has to be renamed
    path.write_text("old\n")
    with pytest.raises(OutputError, match=r"is not empty and can't be renamed, because its folder can't be written"):
        RecordingFile(path)
    assert path.read_text() == "old\n"


def test_a_file_that_is_mounted_alone_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    path.write_text("old\n")
    file = RecordingFile(path)
    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(OutputError, match=r"can't be renamed \(Device or resource busy\): choose another file"):
        file.begin()
    file.close()
    assert [each.read_text() for each in path.parent.iterdir()] == ["old\n"]


def test_a_name_that_is_too_long_to_be_renamed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 245 + ".jsonl")
    path.write_text("old\n")
    file = RecordingFile(path)
    with pytest.raises(OutputError, match=r"can't be renamed \(File name too long\)"):
        file.begin()
    file.close()
    assert path.read_text() == "old\n"


def test_a_disk_is_not_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.stat, "S_ISBLK", lambda mode: True)
    with pytest.raises(OutputError, match="is a disk, which would be overwritten"):
        RecordingFile(path)


# ---- failures


def no_room(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk take this many bytes and no more."""
    write, left = module.write_some, [after]

    def write_less(descriptor: int, data: memoryview, is_over: Callable[[], bool]) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[: left[0]], is_over)
        left[0] -= written
        return written

    monkeypatch.setattr(module, "write_some", write_less)


@pytest.mark.parametrize("after", [0, 5, 7, 9, 10, 11])
def test_a_full_disk_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    file = RecordingFile(path)
    file.begin()
    with monkeypatch.context() as full:
        no_room(full, after)
        written = after // 5
        for _ in range(written):
            file.write(b"1234")
        with pytest.raises(OSError, match="No space left"):
            file.write(b"1234")
        assert path.read_bytes() == b"1234\n" * written
    file.write(b"next")
    file.close()
    assert path.read_bytes() == b"1234\n" * written + b"next\n"


def test_a_line_that_cannot_be_removed_is_ended_before_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = RecordingFile(path)
    file.begin()
    monkeypatch.setattr(os, "ftruncate", refuse)
    with monkeypatch.context() as full:
        no_room(full, 7)
        file.write(b"1234")
        with pytest.raises(OSError, match="No space left"):
            file.write(b"1234")
    file.write(b"5678")
    file.write(b"9")
    file.close()
    assert path.read_bytes() == b"1234\n12\n5678\n9\n"


def test_a_file_that_was_removed_to_make_room_is_made_anew(path: Path) -> None:
    file = RecordingFile(path)
    file.begin()
    file.write(b"a")
    path.unlink()
    before = len(list(Path("/proc/self/fd").iterdir()))
    file.renew()
    assert len(list(Path("/proc/self/fd").iterdir())) == before  # the removed one is closed, so its room is free
    file.write(b"b")
    file.close()
    assert path.read_bytes() == b"b\n"


def test_a_file_that_is_deleted_is_made_anew_at_the_next_line(path: Path) -> None:
    file = RecordingFile(path)
    file.begin()
    file.write(b"a")
    path.unlink()
    file.write(b"b")
    file.write(b"c")
    file.close()
    assert path.read_bytes() == b"b\nc\n"


def test_a_file_that_is_moved_away_is_continued(path: Path) -> None:
    file = RecordingFile(path)
    file.begin()
    file.write(b"a")
    path.rename(path.with_name("moved"))
    file.write(b"b")
    file.close()
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [("moved", b"a\nb\n")]


def test_a_file_that_is_still_there_is_continued(path: Path) -> None:
    file = RecordingFile(path)
    file.begin()
    file.write(b"a")
    file.renew()
    file.write(b"b")
    file.close()
    assert (path.read_bytes(), earlier(path)) == (b"a\nb\n", [])


def test_a_disk_without_room_for_a_new_file_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("old\n")
    file = RecordingFile(path)
    open_file, fails = os.open, [errno.ENOSPC, 0, errno.ENOSPC]  # for the new name, the name taken, the new file

    def open_some(name: Path, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT and fails and (error := fails.pop(0)):
            raise OSError(error, os.strerror(error))
        return open_file(name, flags, *rest)

    monkeypatch.setattr(os, "open", open_some)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            file.begin()
    file.renew()
    file.write(b"a")
    file.close()
    assert (path.read_text(), earlier(path)) == ("a\n", ["old\n"])


# ---- devices and pipes


def test_a_device_is_written_as_it_is(path: Path) -> None:
    path.symlink_to("/dev/null")
    record(path, b"a")
    assert [file.name for file in path.parent.iterdir()] == ["x.jsonl"]


def test_a_pipe_without_a_reader_does_not_hang_and_is_opened_later(path: Path) -> None:
    os.mkfifo(path)
    file = RecordingFile(path)
    for _ in range(2):
        with pytest.raises(OSError, match="No such device") as told:
            file.begin()
        assert told.value.errno == errno.ENXIO
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.begin()
    file.write(b"a")
    assert os.read(reader, 10) == b"a\n"
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        file.write(b"b")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file.renew()
    file.write(b"c")
    assert os.read(reader, 10) == b"c\n"
    file.close()
    os.close(reader)
    assert path.is_fifo()


def test_a_line_that_a_reader_got_in_part_is_ended_before_the_next(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    file = RecordingFile(path, is_over=lambda: True)
    file.begin()
    with pytest.raises(OSError, match="stopped reading"):
        file.write(b"x" * 5000)
    assert os.read(reader, 10_000) == b"x" * 4096
    file.write(b"next")
    assert os.read(reader, 10_000) == b"\nnext\n"
    file.close()
    os.close(reader)
