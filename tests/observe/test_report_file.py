"""The report replaces a report and nothing else, and what was there survives a write that fails."""

import errno
import json
import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.errors import OutputError, RealtimeError
from realtime.observe import report_file as module
from realtime.observe.report_file import check_report, write_report

OLD = {"version": "0.1", "cameras": {}, "stages": {}, "wall_s": 1.0, "device": "cpu"}
NEW = {**OLD, "wall_s": 2.0, "models": {"detector": "yolo11n"}}


def text_of(report: dict[str, object]) -> str:
    return json.dumps(report, indent=2) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int = 10) -> None:
    """Let the disk have no room after this many bytes of a new file or beyond the end of an old one."""
    write, left = os.write, [after]

    def write_less(descriptor: int, data: bytes) -> int:
        end = os.lseek(descriptor, 0, os.SEEK_CUR) + len(data)
        grows = max(0, end - os.fstat(descriptor).st_size)
        if grows and not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = len(data) - grows + min(grows, left[0])
        left[0] -= min(grows, left[0])
        return write(descriptor, bytes(data)[:taken])

    monkeypatch.setattr(os, "write", write_less)


def no_new_files(monkeypatch: pytest.MonkeyPatch, error: int = errno.EACCES) -> None:
    """Let the folder be read-only, for root too."""
    open_file = os.open

    def open_old(path: object, flags: int, *rest: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(error, os.strerror(error))
        return open_file(path, flags, *rest)

    monkeypatch.setattr(os, "open", open_old)


@pytest.mark.parametrize("before", ["", text_of(OLD), json.dumps(OLD)])
def test_a_report_replaces_an_empty_file_and_an_earlier_report(path: Path, before: str) -> None:
    path.write_text(before)
    check_report(path)
    assert path.read_text() == before  # the check changes nothing
    write_report(path, NEW)
    assert path.read_text() == text_of(NEW)
    assert list(path.parent.iterdir()) == [path]


def test_a_new_report_is_made_at_the_end_only_and_everyone_may_read_it(path: Path) -> None:
    check_report(path)
    assert list(path.parent.iterdir()) == []
    before = os.umask(0o022)
    write_report(path, NEW)
    os.umask(before)
    assert path.read_text() == text_of(NEW)
    assert path.stat().st_mode & 0o777 == 0o644


OTHERS = {
    "notes": b"call home",
    "another object": b'{"version": 1, "cameras": {}}',
    "a list": b'["version", "cameras", "stages", "wall_s"]',
    "part of a report": text_of(OLD)[:-3].encode(),
    "not text": b"\xff\xd8\xff\xe0 a photo",
    "deeply nested": b"[" * 100_000,
    "a space": b" ",
    "too large": b'{"version": 1, "cameras": 1, "stages": 1, "wall_s": 1}' + b" " * module._LARGEST_BYTES,
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_every_other_file_is_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutputError, match=rf"^report: {path} is not empty and not a run report, so it is kept: choose"):
        check_report(path)
    assert path.read_bytes() == content


def test_a_file_that_took_the_place_during_the_run_is_kept(path: Path) -> None:
    check_report(path)
    path.write_text("call home")
    with pytest.raises(RealtimeError, match="not a run report") as told:
        write_report(path, NEW)
    assert told.value.exit_code == 1
    assert path.read_text() == "call home"


def test_permissions_and_links_stay(path: Path) -> None:
    target = path.parent / "data" / "r.json"
    target.parent.mkdir()
    target.write_text(text_of(OLD))
    target.chmod(0o640)
    path.symlink_to(target)
    write_report(path, NEW)
    assert path.is_symlink()
    assert target.read_text() == text_of(NEW)
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_link_to_a_file_that_does_not_exist_yet_is_followed(path: Path) -> None:
    path.symlink_to("later.json")
    check_report(path)
    write_report(path, NEW)
    assert (path.parent / "later.json").read_text() == text_of(NEW)


@pytest.mark.parametrize("before", [None, text_of(OLD)])
def test_a_full_disk_keeps_the_earlier_report_and_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before:
        path.write_text(before)
    full_disk(monkeypatch)
    with pytest.raises(RealtimeError, match=rf"^report: can't write {path}: No space left on device$") as told:
        write_report(path, NEW)
    assert told.value.exit_code == 1
    assert [file.read_text() for file in path.parent.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_report_in_a_folder_that_cannot_be_written_is_written_in_place(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    path.write_text(text_of(NEW))
    no_new_files(monkeypatch, error)
    check_report(path)
    write_report(path, OLD)  # shorter
    assert path.read_text() == text_of(OLD)


def test_a_full_disk_keeps_a_report_that_is_written_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(text_of(OLD))
    no_new_files(monkeypatch)
    full_disk(monkeypatch)
    with pytest.raises(RealtimeError, match="No space left"):
        write_report(path, NEW)
    assert path.read_text() == text_of(OLD)


def test_a_file_that_is_mounted_alone_is_written_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(self: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    path.write_text(text_of(OLD))
    monkeypatch.setattr(Path, "replace", busy)
    write_report(path, NEW)
    assert path.read_text() == text_of(NEW)
    assert list(path.parent.iterdir()) == [path]


def test_a_new_report_needs_a_folder_that_can_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_new_files(monkeypatch)
    with pytest.raises(OutputError, match="Permission denied"):
        check_report(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("none/r.json"), "No such file or directory"),
        (lambda path: path.symlink_to("/dev/full/r.json"), "Not a directory"),
    ],
)
def test_a_report_that_cannot_be_written_is_an_error_in_one_line(
    path: Path, make: Callable[[Path], None], why: str
) -> None:
    make(path)
    with pytest.raises(OutputError, match=rf"^report: can't write {path}: {why}$"):
        check_report(path)
    with pytest.raises(RealtimeError, match=rf"^report: can't write {path}: {why}$"):
        write_report(path, NEW)


def test_devices_are_written_as_they_are() -> None:
    check_report(Path("/dev/null"))
    write_report(Path("/dev/null"), NEW)
    with pytest.raises(RealtimeError, match="No space left on device"):
        write_report(Path("/dev/full"), NEW)


def test_a_disk_is_not_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("")
    monkeypatch.setattr(module.stat, "S_ISBLK", lambda mode: True)
    with pytest.raises(OutputError, match="is a disk, which would be overwritten: choose a file"):
        check_report(path)


def test_a_pipe_gets_the_report_and_its_reader_survives_the_check(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    check_report(path)
    poll = select.poll()
    poll.register(reader)
    assert poll.poll(0) == []  # no hang-up: nothing has opened and closed it
    write_report(path, NEW)
    assert os.read(reader, 65536).decode() == text_of(NEW)
    os.close(reader)


def test_a_pipe_that_no_program_reads_does_not_hang(path: Path) -> None:
    os.mkfifo(path)
    check_report(path)
    with pytest.raises(RealtimeError, match=rf"^report: can't write {path}: no program reads this pipe$"):
        write_report(path, NEW)
