"""Runs whose recording can't be written: cameras go on, files end with 1, and a start that fails changes nothing."""

from pathlib import Path

import pytest

from realtime import wire
from realtime.config import AppConfig, load
from realtime.errors import OutputError, RealtimeError
from realtime.pipeline import Pipeline
from realtime.publish.record import Recorder

QUICK = {"detector.size": "160", "pose.model": "none", "max_frames": "10"}


def configuration(folder: Path, **flags: str) -> AppConfig:
    keys = QUICK | {"publish.bind": [f"ipc://{folder}/stream"], "record": str(folder / "x.jsonl")} | flags
    return load(environment={}, flags={"cameras": [{"name": "a", "source": "demo"}], **keys})


def test_a_live_run_outlives_a_full_disk_and_says_what_it_lost(
    tmp_path: Path, yolov8n: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x.jsonl").symlink_to("/dev/full")
    run = Pipeline(configuration(tmp_path, realtime="true"))
    run.run()
    published = run.status["a"].published
    assert published > 0
    told = [each.getMessage() for each in caplog.records if each.getMessage().startswith("record: ")]
    assert told == [
        f"record: can't write {tmp_path}/x.jsonl: No space left on device; the run continues, counts the lost lines "
        "and tries again",
        f"record: {tmp_path}/x.jsonl: {published} of {published} lines were lost",
    ]
    assert run._branches.recorder is not None
    assert run._branches.recorder.status() == wire.Recording(written=0, lost=published, error="No space left on device")
    assert not (tmp_path / "stream").exists()


def test_a_run_of_files_ends_with_1(tmp_path: Path, yolov8n: Path) -> None:
    (tmp_path / "x.jsonl").symlink_to("/dev/full")
    with pytest.raises(
        RealtimeError, match=r"^record: can't write .*: No space left on device; lines written: 0$"
    ) as told:
        Pipeline(configuration(tmp_path)).run()
    assert told.value.exit_code == 1


def test_a_second_run_of_the_same_recording_does_not_start(tmp_path: Path) -> None:
    first = Recorder(tmp_path / "x.jsonl")
    with pytest.raises(OutputError, match="record: another run writes"):
        Pipeline(configuration(tmp_path))
    first.close()


def test_a_run_that_does_not_start_leaves_no_file_behind(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("worth keeping")
    flags = {"publish.bind": f"ipc://{tmp_path}/notes", "report": str(tmp_path / "r.json")}
    with pytest.raises(OutputError, match="not that of a socket"):
        Pipeline(configuration(tmp_path, **flags))
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
