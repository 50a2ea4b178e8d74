"""The files of a Parquet recording: readable at any moment, finished at the end or by the next run."""

import errno
import os
import sys
from pathlib import Path

import pytest

from realtime import recordings, wire
from realtime.errors import ConfigError, OutputError
from realtime.publish import output_file
from realtime.publish import parquet_file as module
from realtime.publish.parquet_file import ParquetFile
from realtime.recordings import parquet_writing
from realtime.recordings.reading import open_recording
from tests.recordings.recorded import of_camera

SENT = of_camera(9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.parquet"


def begun(path: Path, *parts: list[wire.PoseMessage]) -> ParquetFile:
    file = ParquetFile(path)
    file.begin()
    for part in parts:
        file.write(file.encode(part))
    return file


def kill(file: ParquetFile) -> None:
    """End as a killed run does."""
    os.close(file._file._descriptor)
    file._file._descriptor = None


def read(path: Path) -> list[wire.PoseMessage]:
    return list(open_recording(path).messages())


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def at(file: Path, seconds: int = 1795873500) -> None:
    os.utime(file, (0, seconds))


STAMPED = "x-20261128T134500Z"


def test_a_recording_is_readable_at_any_moment_and_two_files_at_the_end(path: Path) -> None:
    file = begun(path)
    for count in range(1, 4):
        file.write(file.encode(SENT[count - 1 : count]))
        file.advance()
        assert read(path) == SENT[:count]
    file.close()
    assert names(path) == ["x.frames.parquet", "x.parquet"]
    assert read(path) == SENT[:3]


def test_a_long_recording_becomes_parquet_while_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PART_BYTES", 1)
    monkeypatch.setattr(module, "_REST", 0)
    monkeypatch.setattr(parquet_writing, "_GROUP_BYTES", 1)
    file = begun(path)
    for message in SENT:
        file.write(file.encode([message]))
        file.advance()
    assert file._finisher is not None
    assert file._finisher.position == file.size
    file.close()
    assert read(path) == SENT


def test_a_run_without_messages_leaves_files_without_rows(path: Path) -> None:
    begun(path).close()
    assert names(path) == ["x.frames.parquet", "x.parquet"]
    with pytest.raises(ConfigError, match="empty: its run has not published anything"):
        read(path)


def test_a_start_that_fails_changes_nothing(path: Path) -> None:
    begun(path, SENT).close()
    before = names(path)
    ParquetFile(path).close()
    assert names(path) == before


def test_the_next_run_finishes_what_a_killed_one_left(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = begun(path, SENT[:4], SENT[4:6])
    kill(killed)
    (path.parent / "x.info.json").write_text("{}")
    (path.parent / ".x.parquet.tmp").write_text("left by the killed run")
    os.truncate(killed.path, killed.path.stat().st_size - 9)
    at(killed.path)
    with caplog.at_level("INFO"):
        file = begun(path, SENT[6:])
        assert read(path.with_name(f"{STAMPED}.parquet.open")) == SENT[:4]
        file.close()
    assert names(path) == [
        f"{STAMPED}.frames.parquet", f"{STAMPED}.info.json", f"{STAMPED}.parquet", "x.frames.parquet", "x.parquet",
    ]  # fmt: skip
    assert read(path.with_name(f"{STAMPED}.parquet")) == SENT[:4]
    assert read(path) == SENT[6:]
    said = [record.getMessage() for record in caplog.records]
    begins = f"record: finishing {path.with_name(STAMPED)}.parquet.open"
    ends = f"record: {path.with_name(STAMPED)}.parquet is complete"
    assert said.index(begins) < said.index(ends)


def test_it_is_finished_while_the_next_run_records(path: Path) -> None:
    killed = begun(path, SENT)
    kill(killed)
    at(killed.path)
    file = begun(path)
    file.advance()
    assert names(path) == [f"{STAMPED}.frames.parquet", f"{STAMPED}.parquet", "x.parquet.open"]
    assert read(path.with_name(f"{STAMPED}.parquet")) == SENT
    file.close()


def test_an_earlier_recording_is_renamed_with_its_companions(path: Path) -> None:
    begun(path, SENT).close()
    (path.parent / "x.info.json").write_text("{}")
    at(path)
    begun(path, SENT[:1]).close()
    assert names(path) == [
        f"{STAMPED}.frames.parquet", f"{STAMPED}.info.json", f"{STAMPED}.parquet", "x.frames.parquet", "x.parquet",
    ]  # fmt: skip
    assert read(path.with_name(f"{STAMPED}.parquet")) == SENT


def test_another_file_of_that_name_is_kept(path: Path) -> None:
    file = begun(path, SENT)
    path.write_text("of another program")
    at(file.path)
    file.close()
    assert path.read_text() == "of another program"
    assert read(path.with_name(f"{STAMPED}.parquet")) == SENT


def test_a_stream_of_another_program_is_kept(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stream = path.with_name("x.parquet.open")
    stream.write_text("of another program")
    at(stream)
    begun(path, SENT).close()
    assert path.with_name(f"{STAMPED}.parquet.open").read_text() == "of another program"
    assert f"record: {path.with_name(STAMPED)}.parquet.open is left as it is: " in caplog.text
    assert read(path) == SENT


def test_segments_are_files_of_their_own(path: Path) -> None:
    file = begun(path, SENT[:2])
    at(file.path)
    file.begin()
    file.write(file.encode(SENT[2:5]))
    at(file.path, 1795873560)
    file.close(is_split=True)
    assert names(path) == [
        f"x-20261128T134{minute}00Z{ending}" for minute in "56" for ending in (".frames.parquet", ".parquet")
    ]
    assert [len(read(path.with_name(f"x-20261128T134{minute}00Z.parquet"))) for minute in "56"] == [2, 3]


def test_a_second_run_is_refused(path: Path) -> None:
    file = begun(path, SENT)
    with pytest.raises(OutputError, match=r"another run writes .*x\.parquet\.open: choose another file"):
        ParquetFile(path)
    file.close()


def test_only_a_regular_file_will_do(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OutputError, match="is not a regular file, which Parquet needs"):
        ParquetFile(path)
    path.unlink()
    path.with_name("x.parquet.open").symlink_to("/dev/null")
    with pytest.raises(OutputError):
        ParquetFile(path)


def test_without_pyarrow_one_line_tells_how_to_install_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("parquet", "parquet_reading", "parquet_writing"):
        monkeypatch.delitem(sys.modules, f"realtime.recordings.{name}")
        monkeypatch.delattr(recordings, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ConfigError, match=r"^record: x\.parquet needs .* pip install 'realtime-pose\[record\]'$"
    ) as told:
        ParquetFile(path)
    assert told.value.exit_code == 2
    assert names(path) == []


# ---- failures


def test_a_block_that_cannot_be_written_leaves_whole_ones(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = output_file.write_some

    def write_less(descriptor: int, data: memoryview, is_over: object) -> int:
        if len(data) > 100:
            return write(descriptor, data[:100], is_over)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = begun(path, SENT[:2])
    with monkeypatch.context() as full:
        full.setattr(output_file, "write_some", write_less)
        with pytest.raises(OSError, match="No space left"):
            file.write(file.encode(SENT[2:4]))
    file.renew()
    file.write(file.encode(SENT[4:]))
    file.close()
    assert read(path) == SENT[:2] + SENT[4:]


def test_a_block_that_cannot_be_removed_ends_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = begun(path, SENT[:2])
    file._file.is_cut = True
    os.write(file._file._descriptor, file.encode(SENT[2:3])[:50])
    at(file.path)
    file.write(file.encode(SENT[3:]))
    file.close()
    assert read(path.with_name(f"{STAMPED}.parquet")) == SENT[:2]
    assert read(path) == SENT[3:]


def test_a_stream_that_was_deleted_is_begun_anew(path: Path) -> None:
    file = begun(path, SENT[:2])
    file.path.unlink()
    file.write(file.encode(SENT[2:]))
    file.close()
    assert read(path) == SENT[2:]


def test_a_stream_that_cannot_be_finished_stays_and_the_next_run_finishes_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: parquet_writing.Finisher, people: Path, frames: Path) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = begun(path, SENT)
    with monkeypatch.context() as full:
        full.setattr(parquet_writing.Finisher, "finish", refuse)
        with pytest.raises(OSError, match="No space left"):
            file.close()
    assert names(path) == ["x.parquet.open"]
    assert read(path) == SENT
    at(path.with_name("x.parquet.open"))
    begun(path, SENT[:1]).close()
    assert read(path.with_name(f"{STAMPED}.parquet")) == SENT


def test_a_segment_that_was_deleted_is_forgotten(path: Path) -> None:
    file = begun(path, SENT[:2])
    file.begin()
    next(path.parent.glob("x-*")).unlink()
    file.write(file.encode(SENT[2:]))
    file.close()
    assert names(path) == ["x.frames.parquet", "x.parquet"]
    assert read(path) == SENT[2:]


def test_a_stop_leaves_the_stream(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = ParquetFile(path, is_over=lambda: True)
    file.begin()
    file.write(file.encode(SENT))
    file.close()
    assert names(path) == ["x.parquet.open"]
    assert read(path) == SENT
    assert "x.parquet.open is not finished; it can be read, and the next run finishes it" in caplog.text
