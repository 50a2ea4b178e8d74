"""Runs with --save-video and --preview, from the source to the file and the window."""

import json
from functools import partial
from pathlib import Path

import av
import pytest

from realtime import pipeline
from realtime.config import AppConfig, load
from realtime.errors import ConfigError, OutputError, RealtimeError
from realtime.pipeline import Pipeline
from realtime.publish import branches
from realtime.publish.preview import Preview
from realtime.publish.video_file import VideoFile
from tests.capture.clips import write_clip
from tests.clock import Clock
from tests.pipeline.test_running import threads_of_a_run
from tests.publish.test_preview import FakeWindow

QUICK = {"detector.size": "160", "pose.model": "none"}


def configuration(folder: Path, *sources: str, **flags: str) -> AppConfig:
    cameras = [{"name": name, "source": source} for name, source in zip("abc", sources or ["demo"], strict=False)]
    keys = {key.replace("__", "."): value for key, value in flags.items()}
    keys = QUICK | {"publish.bind": [f"ipc://{folder}/stream"]} | keys
    return load(environment={}, flags={"cameras": cameras, **keys})


def times(path: Path) -> list[float]:
    with av.open(path) as container:
        return [frame.time for frame in container.decode(video=0)]


def test_the_video_of_a_file_has_every_frame_with_the_times_of_the_stream(tmp_path: Path, yolov8n: Path) -> None:
    clips = [str(write_clip(tmp_path / f"clip{number}.mp4", frames=9 + number)) for number in (1, 2)]
    flags = {"save_video": f"{tmp_path}/{{camera}}-out.mp4", "record": f"{tmp_path}/out.jsonl"}
    Pipeline(configuration(tmp_path, *clips, **flags)).run()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for camera in ("a", "b"):
        media_s = [line["media_s"] for line in lines if line["camera"] == camera]
        assert times(tmp_path / f"{camera}-out.mp4") == pytest.approx([at - media_s[0] for at in media_s], abs=1e-5)
    assert len(lines) == 10 + 11
    assert threads_of_a_run() == []


def test_a_live_run_outlives_a_video_that_cannot_be_written(
    tmp_path: Path, yolov8n: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "x.mp4").symlink_to("/dev/full")
    flags = {"realtime": "true", "max_frames": "10", "save_video": f"{tmp_path}/x.mp4"}
    run = Pipeline(configuration(tmp_path, **flags))
    run.run()
    published = run.status["a"].published
    told = [each.getMessage() for each in caplog.records if "video" in each.getMessage()]
    assert told == [
        "a: the video can't be written: No space left on device; the run continues, counts the lost frames and tries "
        "again",
        f"a: {published} of {published} frames are missing from the video",
    ]


def test_a_run_of_files_ends_with_1_if_its_video_cannot_be_written(tmp_path: Path, yolov8n: Path) -> None:
    (tmp_path / "x.mp4").symlink_to("/dev/full")
    with pytest.raises(RealtimeError, match=r"^save_video: a: can't be written: No space left on device") as told:
        Pipeline(configuration(tmp_path, max_frames="10", save_video=f"{tmp_path}/x.mp4")).run()
    assert told.value.exit_code == 1
    assert threads_of_a_run() == []


@pytest.mark.parametrize(
    ("video", "why"),
    [
        ("none/x.mp4", "save_video: can't write .*: No such file or directory"),
        ("folder.mp4", "save_video: can't write .*: Is a directory"),
        ("locked.mp4", "save_video: another run writes .*"),
    ],
)
def test_a_video_that_cannot_be_written_is_found_before_the_models_load(
    tmp_path: Path, video: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    other = VideoFile(tmp_path / "locked.mp4")
    monkeypatch.setattr(pipeline, "load_models", lambda config, is_tuned: pytest.fail("the models were loaded"))
    with pytest.raises(OutputError, match=f"^{why}") as told:
        Pipeline(configuration(tmp_path, save_video=f"{tmp_path}/{video}"))
    assert told.value.exit_code == 2
    other.close()


def test_a_run_that_does_not_start_leaves_no_video_behind(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("worth keeping")
    with pytest.raises(OutputError, match="not that of a socket"):
        Pipeline(configuration(tmp_path, publish__bind=f"ipc://{tmp_path}/notes", save_video=f"{tmp_path}/x.mp4"))
    assert [each.name for each in tmp_path.iterdir()] == ["notes"]


def test_a_build_without_an_encoder_is_found_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.publish.mp4.ENCODER", "libx999")
    with pytest.raises(ConfigError, match=r"^save_video: .*libx999"):
        Pipeline(configuration(tmp_path, save_video=f"{tmp_path}/x.mp4"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["q", "closed"])
def test_the_window_shows_the_run_and_ends_it(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    class Once(FakeWindow):
        """The user quits at the first picture of a frame."""

        def show(self, image: object) -> None:
            super().show(image)
            if run.status["a"].published:
                self.keys, self.user_closes = [key] if key == "q" else [], key == "closed"

    window = Once(Clock())
    monkeypatch.setattr(branches, "check_window", lambda: None)
    monkeypatch.setattr(branches, "Preview", partial(Preview, window=window.open))
    run = Pipeline(configuration(tmp_path, realtime="true", preview="true"))
    run.run()
    assert window.was_closed
    assert run.status["a"].state == ("ended", "stopped")
    assert threads_of_a_run() == []


def test_without_a_display_a_preview_is_refused_before_the_models_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ConfigError("preview: no window can be opened")

    monkeypatch.setattr(branches, "check_window", refuse)
    monkeypatch.setattr(pipeline, "load_models", lambda config, is_tuned: pytest.fail("the models were loaded"))
    with pytest.raises(ConfigError, match=r"^preview: no window"):
        Pipeline(configuration(tmp_path, preview="true"))
