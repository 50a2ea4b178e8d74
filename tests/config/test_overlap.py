"""A run must not write what it reads."""

import os
from pathlib import Path

import pytest

from realtime.config import load
from realtime.errors import ConfigError


def check(folder: Path, source: str = "demo", files: tuple[Path, ...] = (), **flags: str) -> None:
    given = {key.replace("__", "."): value for key, value in flags.items()}
    load(files, environment={}, flags={"cameras": [{"name": "yard", "source": source}], **given})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("clip.jsonl").write_text("x")
    Path("link.jsonl").symlink_to("clip.jsonl")
    os.link("clip.jsonl", "hard.jsonl")
    Path("cameras.jsonl").write_text("realtime: true\n")
    return tmp_path


@pytest.mark.parametrize("output", ["clip.jsonl", "./clip.jsonl", "link.jsonl", "hard.jsonl"])
@pytest.mark.parametrize("key", ["record", "report"])
def test_the_source_of_a_camera_is_not_written(folder: Path, key: str, output: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: got .*, the source of yard, expected a different file$"):
        check(folder, "clip.jsonl", **{key: output})


@pytest.mark.parametrize("key", ["record", "report"])
def test_neither_a_configuration_file_nor_a_secret_is_written(folder: Path, key: str) -> None:
    files = (Path("cameras.jsonl"),)
    with pytest.raises(ConfigError, match=rf"^{key}: got .*, a configuration file, expected"):
        check(folder, files=files, **{key: f"{folder}/cameras.jsonl"})
    with pytest.raises(ConfigError, match=rf"^{key}: got .*, the secret key, expected"):
        check(folder, publish__curve_secret="clip.jsonl", **{key: "clip.jsonl"})
    with pytest.raises(ConfigError, match=rf"^{key}: got .*, the token of the page, expected"):
        check(folder, web_token_file="clip.jsonl", **{key: "clip.jsonl"})


@pytest.mark.parametrize(
    ("record", "report"),
    [
        ("a.jsonl", "../{0}/a.jsonl"),
        ("link.jsonl", "hard.jsonl"),
        ("a.jsonl", "a.info.json"),
        ("a.parquet", "a.parquet.open"),
        ("a.parquet", "a.frames.parquet"),
        ("a.parquet", "a.info.json"),
    ],
)
def test_the_recording_and_the_report_are_different_files_even_before_they_exist(
    folder: Path, record: str, report: str
) -> None:
    with pytest.raises(ConfigError, match=r"^report: got the same file as record, expected a different one$"):
        check(folder, record=record, report=report.format(folder.name))


def test_devices_and_different_files_are_accepted(folder: Path) -> None:
    Path("null.jsonl").symlink_to("/dev/null")
    check(folder, record="null.jsonl", report="/dev/null")
    check(folder, "clip.jsonl", files=(Path("cameras.jsonl"),), record="a.jsonl", report="b.json")
    check(folder, "rtsp://10.0.0.5/s1", record="a.jsonl")


def test_an_address_is_no_path_even_if_the_current_folder_was_removed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    check(folder, "rtsp://10.0.0.5/s1", record="/tmp/a.jsonl", report="/tmp/b.json")


@pytest.mark.parametrize(
    ("source", "video"), [("clip.mp4", "clip.mp4"), ("clip.mp4", "{camera}.mp4"), ("out-2.mp4", "out.mp4")]
)
def test_no_video_is_the_source_of_a_camera(folder: Path, source: str, video: str) -> None:
    Path("clip.mp4").write_text("x")
    Path("yard.mp4").symlink_to("clip.mp4")
    with pytest.raises(ConfigError, match=r"^save_video: got .*, the source of yard, expected a different file$"):
        check(folder, source, save_video=video)


def test_videos_beside_a_source_with_a_similar_name_are_accepted(folder: Path) -> None:
    for source in ("out-a.mp4", "out.mp4-2", "sub/out-2.mp4", "out-.mp4"):
        check(folder, source, save_video="out.mp4")


def test_the_report_is_not_the_video(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^report: got the same file as save_video, expected a different one$"):
        check(folder, save_video="{camera}.mp4", report="yard.mp4")
