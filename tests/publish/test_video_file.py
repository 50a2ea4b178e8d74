"""Which file a frame goes into: one for each epoch and size, and never over an earlier one."""

import logging
import os
import re
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.errors import OutputError
from realtime.publish import video_file as module
from realtime.publish.mp4 import EncodingError
from realtime.publish.video_file import VideoFile, VideoFiles
from realtime.types import Frame
from tests.builders import make_frame


def frame(
    index: int = 0,
    epoch: int = 0,
    camera: str = "cam0",
    size: tuple[int, int] = (32, 24),
    time_s: float | None = None,
) -> Frame:
    return make_frame(index, camera, epoch, np.zeros((size[1], size[0], 3), np.uint8), time_s=time_s)


def write(file: VideoFile, *frames: Frame, is_live: bool = False, now_s: float = 0.0) -> list[bool]:
    return [file.write(each, each.image, is_live, now_s) for each in frames]


def saved(folder: Path) -> dict[str, list[float]]:
    """The times of the frames in each video."""
    found = {}
    for path in sorted(folder.glob("*.mp4")):
        with av.open(path) as container:
            found[path.name] = [round(each.time, 3) for each in container.decode(video=0)]
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


# ---- when the next file begins


def test_an_epoch_and_a_size_have_a_file_of_their_own(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = VideoFile(path)
    with caplog.at_level(logging.INFO):
        write(file, frame(0), frame(1), frame(0, epoch=1))
        write(file, frame(2, epoch=2, size=(32, 48)), frame(17, epoch=2, size=(32, 48)))
        file.close()
    assert saved(path.parent) == {"out.mp4": [0.0, 0.033], "out-2.mp4": [0.0], "out-3.mp4": [0.0, 0.5]}
    assert [re.sub(r"\S*/", "", each.getMessage()) for each in caplog.records] == [
        "save_video: out.mp4: 2 frames, 0.0 s",
        "save_video: out-2.mp4: 1 frames, 0.0 s",
        "save_video: out-3.mp4: 2 frames, 0.5 s",
    ]


def test_another_camera_at_the_same_path_continues_in_the_next_file(path: Path) -> None:
    file = VideoFile(path)
    write(file, frame(0), frame(0, camera="b"))
    file.close()
    assert list(saved(path.parent)) == ["out-2.mp4", "out.mp4"]


def test_a_frame_that_is_longer_than_mp4_allows_ends_its_video(path: Path) -> None:
    file = VideoFile(path)
    write(file, frame(0, time_s=0.0), frame(1, time_s=3600.0), frame(2, time_s=1e9))
    file.close()
    assert saved(path.parent) == {"out.mp4": [0.0, 3600.0], "out-2.mp4": [0.0]}


def test_only_the_video_of_a_live_camera_is_divided_by_length(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_LIVE_FRAMES", 3)
    file = VideoFile(path)
    write(file, *(frame(k) for k in range(4)))
    for k in range(4, 8):
        write(file, frame(k), is_live=True, now_s=float(k))
    file.close()
    assert {name: len(times) for name, times in saved(path.parent).items()} == {
        "out.mp4": 4, "out-2.mp4": 3, "out-3.mp4": 1
    }  # fmt: skip


def test_a_live_camera_that_begins_an_epoch_at_every_frame_does_not_fill_the_folder(path: Path) -> None:
    file = VideoFile(path)
    told = [write(file, frame(0, epoch=k), is_live=True, now_s=k / 30)[0] for k in range(31)]
    assert told == [True, *[False] * 29, True]
    file.close()
    assert list(saved(path.parent)) == ["out-2.mp4", "out.mp4"]


def test_every_epoch_of_a_file_is_saved_however_short(path: Path) -> None:
    file = VideoFile(path)
    assert write(file, *(frame(0, epoch=k) for k in range(5))) == [True] * 5
    file.close()
    assert len(saved(path.parent)) == 5


def test_a_video_that_is_deleted_while_it_is_written_continues_in_the_next_file(path: Path) -> None:
    file = VideoFile(path)
    write(file, frame(0))
    path.unlink()
    write(file, frame(1), frame(2))
    file.close()
    assert saved(path.parent) == {"out-2.mp4": [0.0, 0.033]}


# ---- earlier videos


def test_earlier_videos_are_renamed_with_the_time_of_their_last_write(path: Path) -> None:
    others = [path.with_name(name) for name in ("out-2.mp4", "out-3.mp4", "out-5.mp4")]
    for number, each in enumerate([path, *others]):
        each.write_text(f"earlier {number}")
        os.utime(each, (1_795_873_500 + number,) * 2)
    file = VideoFile(path)
    assert path.read_text() == "earlier 0"  # nothing has begun
    write(file, frame(0))
    file.close()
    texts = {each.name: each.read_text() for each in path.parent.iterdir() if each != path}
    assert texts == {
        "out-20261128T134500Z.mp4": "earlier 0",
        "out-2-20261128T134501Z.mp4": "earlier 1",
        "out-3-20261128T134502Z.mp4": "earlier 2",
        "out-5.mp4": "earlier 3",  # not of the same run: there is no out-4.mp4
    }


def test_a_later_video_does_not_replace_a_file_that_appeared_meanwhile(path: Path) -> None:
    file = VideoFile(path)
    write(file, frame(0))
    path.with_name("out-2.mp4").write_text("of another program")
    write(file, frame(0, epoch=1))
    file.close()
    assert "of another program" in [each.read_bytes()[:18].decode(errors="replace") for each in path.parent.iterdir()]


def test_the_companion_of_a_recording_with_the_same_name_stays(path: Path) -> None:
    path.write_text("earlier")
    path.with_name("out.info.json").write_text("{}")
    file = VideoFile(path)
    write(file, frame(0))
    file.close()
    assert path.with_name("out.info.json").exists()


# ---- several runs


def test_a_run_is_locked_as_long_as_it_lasts_whichever_file_it_writes(path: Path) -> None:
    file = VideoFile(path)
    write(file, frame(0), frame(0, epoch=1))
    with pytest.raises(OutputError, match=r"^save_video: another run writes .*/out.mp4: choose another file") as told:
        VideoFile(path)
    assert told.value.exit_code == 2
    file.close()
    VideoFile(path).close()


def test_the_file_of_another_run_is_skipped(path: Path) -> None:
    other = VideoFile(path.with_name("out-2.mp4"))
    write(other, frame(7))
    file = VideoFile(path)
    write(file, frame(0), frame(0, epoch=1))
    file.close()
    other.close()
    assert saved(path.parent) == {"out.mp4": [0.0], "out-2.mp4": [0.0], "out-3.mp4": [0.0]}


# ---- files without a frame, and errors


def test_a_run_without_a_frame_leaves_no_file_and_changes_none(path: Path) -> None:
    VideoFile(path).close()
    assert not path.exists()
    path.write_text("earlier")
    VideoFile(path).close()
    assert path.read_text() == "earlier"


def test_after_an_error_the_next_frame_begins_another_file(path: Path) -> None:
    file = VideoFile(path)
    write(file, *(frame(k) for k in range(10)))
    file.fail()
    write(file, frame(10))
    file.fail()  # before anything of it was written, so that its name is free
    write(file, frame(11), frame(12))
    file.close()
    found = saved(path.parent)
    assert found.pop("out.mp4") == [round(k / 30, 3) for k in range(8)]  # up to the last fragment
    assert found == {"out-2.mp4": [0.0, 0.033]}


def test_a_size_that_cannot_be_encoded_leaves_no_file(path: Path) -> None:
    file = VideoFile(path)
    with pytest.raises(EncodingError):
        write(file, frame(0, size=(20_000, 2)))
    file.fail()
    write(file, frame(0, epoch=1))
    file.close()
    assert saved(path.parent) == {"out.mp4": [0.0]}


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(), "can't write .*: Is a directory"),
        (lambda path: path.symlink_to("none/x"), "can't write .*: No such file or directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_one_line(path: Path, make, why: str) -> None:
    make(path)
    with pytest.raises(OutputError, match=f"^save_video: {why}$"):
        VideoFile(path)


def test_a_device_gets_all_videos(path: Path) -> None:
    path.symlink_to("/dev/null")
    file = VideoFile(path)
    write(file, frame(0), frame(0, epoch=1))
    file.close()
    assert list(path.parent.iterdir()) == [path]


# ---- several cameras


def test_each_camera_has_its_name_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "door").mkdir()
    (tmp_path / "yard").mkdir()
    files = VideoFiles(tmp_path / "{camera}" / "{camera}.mp4", ["door", "yard"])
    for camera in ("door", "yard"):
        write(files.of(camera), frame(0, camera=camera))
    assert files.finish() == []
    assert saved(tmp_path / "door").keys() == {"door.mp4"}
    assert saved(tmp_path / "yard").keys() == {"yard.mp4"}


def test_if_one_file_cannot_be_opened_the_others_are_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").mkdir()
    with pytest.raises(OutputError, match=r"yard\.mp4: Is a directory"):
        VideoFiles(tmp_path / "{camera}.mp4", ["door", "yard"])
    assert [each.name for each in tmp_path.iterdir()] == ["yard.mp4"]
    VideoFile(tmp_path / "door.mp4").close()  # it is not locked any more
