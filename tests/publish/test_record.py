"""The recorder: complete for files, lossy and counted for live cameras, and outlived by a run with one."""

import errno
import json
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime import wire
from realtime.config import RecordingConfig
from realtime.errors import OutputError, RealtimeError
from realtime.publish import output_file
from realtime.publish import record as module
from realtime.publish.outage import FIRST_WAIT_S, LONGEST_WAIT_S
from realtime.publish.record import Recorder
from realtime.recordings.parquet_writing import Finisher
from realtime.recordings.reading import open_recording
from realtime.runtime.channel import Closed
from tests.clock import Clock
from tests.doubles import wait_until
from tests.wire.examples import INFO, pose


class Disk:
    """Stands in for the system's write: takes lines while it works, and a part of the first one when it does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error, self.part = 0, 0
        self.attempts_s: list[float] = []
        self.clock = Clock()
        self._write = output_file.write_some
        monkeypatch.setattr(output_file, "write_some", self.write)
        monkeypatch.setattr(module, "time", self.clock)

    def write(self, descriptor: int, data: memoryview, is_over: Callable[[], bool]) -> int:
        if not self.error:
            return self._write(descriptor, data, is_over)
        if self.part and data[:1] == b"{":
            return self._write(descriptor, data[: self.part], is_over)
        self.attempts_s.append(self.clock.now_s)
        raise OSError(self.error, os.strerror(self.error))


class Script:
    """Stands in for the queue: hands out batches, each after an action."""

    def __init__(self, *steps: tuple[Callable[[], object], list[tuple[wire.PoseMessage, bool]]]) -> None:
        self._steps = list(steps)

    def take(self, timeout_s: float | None = None) -> list[tuple[wire.PoseMessage, bool]]:
        if not self._steps:
            raise Closed
        act, batch = self._steps.pop(0)
        act()
        return batch

    def abort(self) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def messages(first: int, count: int, is_of_file: bool = False) -> list[tuple[wire.PoseMessage, bool]]:
    return [(pose(seq=seq), is_of_file) for seq in range(first, first + count)]


def play(recorder: Recorder, *steps: tuple[Callable[[], object], list[tuple[wire.PoseMessage, bool]]]) -> None:
    """Let the recorder write the batches, as if the publisher had queued them."""
    recorder._channel = Script(*steps)
    recorder._offered = sum(len(batch) for _, batch in steps)
    recorder._offered_of_files = sum(is_of_file for _, batch in steps for _, is_of_file in batch)
    recorder.run()


def seqs(path: Path) -> list[int]:
    text = path.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line)["seq"] for line in text.splitlines()]


def nothing() -> None:
    pass


# ---- a full disk


def test_a_run_with_a_camera_outlives_a_full_disk(path: Path, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(path, goes_on=lambda: True)
    told: list[wire.Recording] = []

    def fill() -> None:
        disk.error, disk.part = errno.ENOSPC, 20

    def make_room() -> None:
        told.append(recorder.status())
        disk.error = 0
        disk.clock.now_s += 1.0

    with caplog.at_level("INFO"):
        play(
            recorder, (nothing, messages(0, 2)), (fill, messages(2, 5)), (nothing, messages(7, 3)),
            (make_room, messages(10, 2)),
        )  # fmt: skip
        recorder.log_losses()
    recorder.check()
    assert seqs(path) == [0, 1, 10, 11]
    assert told == [wire.Recording(written=2, lost=8, error="No space left on device")]
    assert recorder.status() == wire.Recording(written=4, lost=8, error=None)
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", f"record: can't write {path}: No space left on device; the run continues, counts the lost lines "
         "and tries again"),
        ("INFO", f"record: {path} can be written again; 8 lines lost so far"),
        ("WARNING", f"record: {path}: 8 of 12 lines were lost"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EPIPE, errno.ESTALE, errno.EBADF, errno.EINVAL]
)
def test_a_run_of_files_ends_with_1(path: Path, disk: Disk, error: int, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(path)

    def fill() -> None:
        disk.error, disk.part = error, 20

    with pytest.raises(RealtimeError, match=rf"^record: can't write {path}: .*; lines written: 2$") as told:
        play(recorder, (nothing, messages(0, 2, True)), (fill, messages(2, 5, True)))
    assert told.value.exit_code == 1
    assert os.strerror(error) in str(told.value)
    recorder.log_losses()
    assert caplog.text == ""  # the error is the only line
    assert seqs(path) == [0, 1]


def test_a_run_of_files_and_cameras_goes_on_and_ends_with_1(path: Path, disk: Disk) -> None:
    recorder = Recorder(path, goes_on=lambda: True)

    def fill() -> None:
        disk.error = errno.ENOSPC

    def make_room() -> None:
        disk.error = 0
        disk.clock.now_s += 1.0

    play(recorder, (fill, [*messages(0, 2, True), *messages(2, 2)]), (make_room, messages(4, 2, True)))
    assert seqs(path) == [4, 5]
    with pytest.raises(RealtimeError, match=rf"^record: {path} is incomplete; missing lines of files: 2$") as told:
        recorder.check()
    assert told.value.exit_code == 1


def test_lost_lines_of_cameras_alone_are_no_error_of_the_run(path: Path, disk: Disk) -> None:
    recorder = Recorder(path, goes_on=lambda: True)

    def fill() -> None:
        disk.error = errno.ENOSPC

    play(recorder, (nothing, messages(0, 2, True)), (fill, messages(2, 2)))
    recorder.check()
    assert recorder.status().lost == 2


def test_a_recording_that_was_removed_to_make_room_is_begun_anew(path: Path, disk: Disk) -> None:
    recorder = Recorder(path, goes_on=lambda: True)

    def fill() -> None:
        disk.error = errno.ENOSPC

    def make_room() -> None:
        path.unlink()
        disk.error = 0
        disk.clock.now_s += 1.0

    play(recorder, (nothing, messages(0, 2)), (fill, messages(2, 1)), (make_room, messages(3, 1)))
    assert seqs(path) == [3]


def test_an_error_while_the_file_is_closed_is_one_too(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    close = output_file.OutputFile.close

    def fail(self: output_file.OutputFile, keeps_empty: bool = True) -> None:
        is_first = self._descriptor is not None
        close(self, keeps_empty)
        if is_first:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(output_file.OutputFile, "close", fail)
    with pytest.raises(RealtimeError, match="Disk quota exceeded"):
        play(Recorder(path), (nothing, messages(0, 1, True)))
    play(Recorder(path, goes_on=lambda: True), (nothing, messages(0, 1)))
    assert f"record: can't complete {path}: Disk quota exceeded" in caplog.text


def test_an_earlier_recording_that_cannot_be_renamed_ends_the_run_with_2(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("old\n")
    recorder = Recorder(path, goes_on=lambda: True)

    def refuse(path: Path, written_s: float, companions: tuple[str, ...]) -> Path:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(output_file, "set_aside", refuse)
    with pytest.raises(OutputError, match="can't be renamed") as told:
        play(recorder)
    assert told.value.exit_code == 2
    assert path.read_text() == "old\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 1.5 * LONGEST_WAIT_S),  # seconds since the step before
            st.sampled_from([0, 0, errno.ENOSPC, errno.EIO]),  # the error of the disk, 0: it works
            st.integers(0, 30),  # bytes of a line that it takes before the error
            st.lists(st.booleans(), max_size=4),  # for each message, whether it is of a file
            st.sampled_from([False, False, True]),  # whether a user moves the file away meanwhile
        ),
        max_size=30,
    )
)
def test_whatever_the_disk_does_lines_are_whole_in_order_and_counted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, int, int, list[bool], bool]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk, recorder = Disk(monkeypatch), Recorder(path, goes_on=lambda: True)
        script, seq = [], 0
        for step_s, error, part, of_files, is_moved in steps:

            def act(step_s: float = step_s, error: int = error, part: int = part, moved: bool = is_moved) -> None:
                disk.clock.now_s += step_s
                disk.error, disk.part = error, part
                if moved and path.exists():
                    path.rename(path.with_name(f"moved-{len(list(path.parent.iterdir()))}"))

            batch = [(pose(seq=seq + i), is_of_file) for i, is_of_file in enumerate(of_files)]
            script.append((act, batch))
            seq += len(of_files)
        play(recorder, *script)
        status, losses = recorder.status(), recorder._offered_of_files - recorder._written_of_files
    assert status.written + status.lost == seq
    assert 0 <= losses <= status.lost
    files = [seqs(file) for file in path.parent.iterdir()]
    assert all(numbers == sorted(numbers) for numbers in files)
    recorded = [number for numbers in files for number in numbers]
    assert len(recorded) == len(set(recorded)) == status.written
    waits_s = [later - before for before, later in zip(disk.attempts_s, disk.attempts_s[1:], strict=False)]
    assert all(wait_s >= FIRST_WAIT_S for wait_s in waits_s)
    assert (status.error is None) is not recorder._outage.is_on


# ---- Parquet and segments


def recorded(path: Path) -> list[int]:
    return [message.seq for message in open_recording(path).messages()]


def test_a_parquet_recording_survives_a_full_disk(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "x.parquet"
    recorder = Recorder(path, goes_on=lambda: True)
    told: list[wire.Recording] = []

    def fill() -> None:
        told.append(recorder.status())
        disk.error = errno.ENOSPC

    def make_room() -> None:
        told.append(recorder.status())
        disk.error = 0
        disk.clock.now_s += 1.0

    def wait() -> None:
        disk.clock.now_s += 0.5

    play(
        recorder, (nothing, messages(0, 2)), (wait, []), (fill, messages(2, 3)), (wait, messages(5, 1)),
        (nothing, messages(6, 1)), (make_room, messages(7, 2)),
    )  # fmt: skip
    assert recorded(path) == [0, 1, 7, 8]
    assert told == [
        wire.Recording(written=2, lost=0, error=None),
        wire.Recording(written=2, lost=5, error="No space left on device"),
    ]
    assert recorder.status() == wire.Recording(written=4, lost=5, error=None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.frames.parquet", "x.parquet"]


def test_a_parquet_recording_of_files_that_cannot_be_finished_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Finisher, people: Path, frames: Path) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Finisher, "finish", refuse)
    path = tmp_path / "x.parquet"
    with pytest.raises(RealtimeError, match="No space left on device; lines written: 2") as told:
        play(Recorder(path), (nothing, messages(0, 2, True)))
    assert told.value.exit_code == 1
    assert recorded(path) == [0, 1]  # of x.parquet.open


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_segments_hold_all_messages_in_order(tmp_path: Path, disk: Disk, name: str) -> None:
    recorder = Recorder(tmp_path / name, config=RecordingConfig(segment_s=2.0))
    recorder.describe(INFO)

    def wait() -> None:
        disk.clock.now_s += 1.0

    play(recorder, *((wait, messages(3 * step, 3)) for step in range(5)))
    files = [file for file in tmp_path.iterdir() if file.name.endswith(Path(name).suffix)]
    files = [file for file in files if ".frames" not in file.name]
    parts = sorted(recorded(file) for file in files)
    assert len(parts) == 3
    assert [seq for part in parts for seq in part] == list(range(15))
    for file in files:
        assert re.fullmatch(r"x-\d{8}T\d{6}Z(-\d)?", file.stem)
        assert open_recording(file).infos == {"cam0": INFO}
    assert recorder.status() == wire.Recording(written=15, lost=0, error=None)


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_all_segments_together_stay_below_the_limit(tmp_path: Path, disk: Disk, name: str) -> None:
    recorder = Recorder(tmp_path / name, config=RecordingConfig(keep_gb=100_000 / 1e9))
    sizes: list[int] = []

    def wait() -> None:
        sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
        disk.clock.now_s += 1.0

    play(recorder, *((wait, messages(9 * step, 9)) for step in range(60)))
    wait()
    assert max(sizes) < 100_000
    assert recorded(max(file for file in tmp_path.glob(f"x-*{Path(name).suffix}") if ".fr" not in file.name))
    assert recorder.status().written == 540


# ---- the system's own errors


CHILD = """
import resource, sys
from pathlib import Path
from realtime.publish.record import Recorder
from realtime.recordings.parquet_writing import Finisher
from realtime.recordings.reading import open_recording
from tests.wire.examples import INFO, pose
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
recorder = Recorder(Path(sys.argv[1]), goes_on=lambda: sys.argv[2] == "live")
for seq in range(40):
    recorder.write(pose(seq=seq), wait=True)
recorder.finish()
try:
    recorder.run()
except Exception as error:
    print(type(error).__name__, error)
print(recorder.status())
"""


@pytest.mark.parametrize("kind", ["live", "files"])
def test_a_file_at_its_size_limit_has_whole_lines(path: Path, kind: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", CHILD, path, kind], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    written = len(seqs(path))
    assert 0 < path.stat().st_size <= 4000
    assert f"written={written}" in told
    assert "error='File too large'" in told
    assert ("RealtimeError record: can't write" in told) == (kind == "files")
    assert (f"lost={40 - written}" in told) == (kind == "live")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4000


def test_a_full_device_is_a_full_disk(path: Path) -> None:
    path.symlink_to("/dev/full")
    recorder = Recorder(path, goes_on=lambda: True)
    play(recorder, (nothing, messages(0, 3)))
    assert recorder.status() == wire.Recording(written=0, lost=3, error="No space left on device")
    with pytest.raises(RealtimeError, match="No space left on device"):
        play(Recorder(path), (nothing, messages(0, 3, True)))


# ---- pipes


def test_a_run_of_files_waits_for_the_reader_of_a_pipe(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(path)
    recorder = Recorder(path)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    wait_until(lambda: "waiting for a program that reads the pipe" in caplog.text)
    with path.open() as reader:
        for seq in range(3):
            recorder.write(pose(seq=seq), wait=True)
        recorder.finish()
        thread.join(10)
        assert [json.loads(line)["seq"] for line in reader] == [0, 1, 2]
    recorder.check()


def test_a_stop_ends_the_wait_for_a_reader(path: Path) -> None:
    os.mkfifo(path)
    recorder = Recorder(path)
    recorder.write(pose(), wait=True)
    recorder.finish()
    recorder.give_up()
    with pytest.raises(RealtimeError, match="no program reads this pipe; lines written: 0"):
        recorder.run()
    with pytest.raises(RealtimeError, match="missing lines of files: 1"):
        recorder.check()


def test_a_run_with_a_camera_does_not_wait_for_the_reader_of_a_pipe(path: Path, disk: Disk) -> None:
    os.mkfifo(path)
    recorder = Recorder(path, goes_on=lambda: True)
    readers: list[int] = []

    def come() -> None:
        readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        disk.clock.now_s += 1.0

    play(recorder, (nothing, messages(0, 2)), (come, messages(2, 1)))
    assert json.loads(os.read(readers[0], 10_000))["seq"] == 2
    os.close(readers[0])
    assert recorder.status() == wire.Recording(written=1, lost=2, error=None)


# ---- the queue


def test_a_slow_disk_loses_lines_of_cameras_and_says_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(path)
    message = pose()
    for _ in range(300):
        recorder.write(message, wait=False)
    assert recorder.status() == wire.Recording(written=0, lost=44, error="written too slowly")
    recorder.finish()
    recorder.run()
    recorder.log_losses()
    assert len(path.read_text().splitlines()) == 256
    assert [each.getMessage() for each in caplog.records] == [
        f"record: {path} is written too slowly: lines are lost and counted",
        f"record: {path}: 44 of 300 lines were lost",
    ]
