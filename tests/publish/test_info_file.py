"""The companion of a recording: written when it changes, never in place of another file, never at a line's expense."""

import errno
import os
import re
from pathlib import Path

import msgspec
import pytest

from realtime import wire
from realtime.errors import OutputError
from realtime.publish import info_file as module
from realtime.publish.info_file import InfoFile
from realtime.publish.outage import FIRST_WAIT_S
from realtime.publish.record import Recorder
from realtime.publish.recording import RecordingFile
from realtime.recordings.info import read_infos
from tests.wire.examples import INFO, pose


class Run:
    """A run that has written one line at `now_s`."""

    def __init__(self, path: Path) -> None:
        self.recording, self.infos = RecordingFile(path), InfoFile()
        self.recording.begin()
        self.now_s = 100.0
        self.line()

    def line(self, after_s: float = 0.0, is_last: bool = False) -> None:
        self.now_s += after_s
        self.recording.write(b"{}")
        self.infos.update(self.recording, self.now_s, is_last)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@pytest.fixture
def companion(path: Path) -> Path:
    return path.with_name("x.info.json")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def of(camera: str, **changes: object) -> wire.InfoMessage:
    return msgspec.structs.replace(INFO, camera=camera, **changes)


def test_it_holds_the_latest_info_of_each_camera(path: Path, companion: Path) -> None:
    run = Run(path)
    assert not companion.exists()
    run.infos.describe(of("a"))
    run.infos.describe(of("b"))
    run.line()
    assert read_infos(companion) == {"a": of("a"), "b": of("b")}
    run.infos.describe(of("a", size=(640, 480), source_fps=25.0))
    run.line(after_s=0.5)
    assert read_infos(companion)["a"].size is None  # at most once a second
    run.line(after_s=0.5)
    assert read_infos(companion)["a"].size == (640, 480)
    assert names(path.parent) == ["x.info.json", "x.jsonl"]


def test_an_info_that_is_the_same_is_not_written_again(path: Path, companion: Path) -> None:
    run = Run(path)
    run.infos.describe(of("a"))
    run.line()
    companion.unlink()
    run.infos.describe(of("a"))
    run.line(after_s=5.0)
    assert not companion.exists()


def test_the_end_of_the_run_does_not_wait(path: Path, companion: Path) -> None:
    run = Run(path)
    for name in ("a", "b"):
        run.infos.describe(of(name))
        run.line(is_last=name == "b")
    assert list(read_infos(companion)) == ["a", "b"]


def test_a_recording_that_is_begun_again_gets_a_new_one(path: Path, companion: Path) -> None:
    run = Run(path)
    run.infos.describe(of("a"))
    run.line()
    path.unlink()
    companion.unlink()
    run.line(after_s=1.0)
    assert read_infos(companion) == {"a": of("a")}


def test_that_of_an_earlier_recording_goes_along_with_it(path: Path, companion: Path) -> None:
    path.write_text("earlier\n")
    companion.write_text("of the earlier one")
    run = Run(path)
    run.infos.describe(of("a"))
    run.line()
    assert read_infos(companion) == {"a": of("a")}
    (earlier,) = path.parent.glob("x-*.info.json")
    assert earlier.read_text() == "of the earlier one"


def test_a_file_that_belongs_to_no_recording_is_renamed(path: Path, companion: Path) -> None:
    companion.write_text("notes")
    os.utime(companion, (1795873500, 1795873500))
    run = Run(path)
    run.infos.describe(of("a"))
    run.line()
    assert read_infos(companion) == {"a": of("a")}
    assert path.with_name("x.info-20261128T134500Z.json").read_text() == "notes"


def test_a_full_disk_costs_a_warning_and_is_tried_again(
    path: Path, companion: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(path)
    run.infos.describe(of("a"))

    def fill(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(module, "write_some", fill)
        run.line()
        run.line(after_s=FIRST_WAIT_S)
    assert [record.getMessage() for record in caplog.records] == [
        f"record: can't write {companion}: No space left on device"
    ]
    assert names(path.parent) == ["x.jsonl"]
    run.line(after_s=0.5)
    assert not companion.exists()
    run.line(after_s=10.0)
    assert read_infos(companion) == {"a": of("a")}


def test_a_pipe_or_a_device_has_none(tmp_path: Path) -> None:
    link = tmp_path / "x.jsonl"
    link.symlink_to("/dev/null")
    run = Run(link)
    run.infos.describe(of("a"))
    run.line(is_last=True)
    assert names(tmp_path) == ["x.jsonl"]


def test_a_private_recording_has_a_private_one(path: Path, companion: Path) -> None:
    path.touch(0o600)
    run = Run(path)
    run.infos.describe(of("a"))
    run.line()
    assert companion.stat().st_mode & 0o777 == 0o600


def test_the_recorder_writes_it_with_its_lines(path: Path, companion: Path) -> None:
    recorder = Recorder(path)
    recorder.describe(of("cam0"))
    recorder.write(pose(), wait=True)
    recorder.finish()
    recorder.run()
    assert read_infos(companion) == {"cam0": of("cam0")}


def test_a_run_that_published_nothing_has_none(path: Path) -> None:
    recorder = Recorder(path)
    recorder.describe(of("cam0"))
    recorder.finish()
    recorder.run()
    assert names(path.parent) == ["x.jsonl"]


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ("x.jsonl", "x.parquet"),
        ("x.parquet", "x.jsonl"),
        ("x.parquet.open", "x.jsonl"),  # a run goes on, or was killed
    ],
)
def test_a_recording_of_the_other_format_keeps_its_own(there: str, name: str, tmp_path: Path) -> None:
    (tmp_path / there).write_bytes(b"{}\n")
    (tmp_path / "x.info.json").write_bytes(b"{}")
    with pytest.raises(OutputError, match=re.escape(f"x.info.json belongs to {there}: choose another name")):
        Recorder(tmp_path / name)
    assert names(tmp_path) == sorted([there, "x.info.json"])


@pytest.mark.parametrize(("first", "second"), [("x.jsonl", "x.parquet"), ("x.parquet", "x.jsonl")])
def test_two_runs_at_once_do_not_share_one(first: str, second: str, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / first)
    with pytest.raises(OutputError, match=r"x\.info\.json belongs to"):
        Recorder(tmp_path / second)
    recorder.close()
    Recorder(tmp_path / second).close()


def test_a_pipe_of_the_other_format_has_none_to_share(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jsonl")
    Recorder(tmp_path / "x.parquet").close()
    (tmp_path / "x.parquet").write_bytes(b"")
    Recorder(tmp_path / "x.jsonl").close()
