"""Annotated copies of a clip, read by PyAV."""

from pathlib import Path

import av
import numpy as np
import pytest

from realtime.publish.palette import colour_of
from tests.publish.test_mp4 import frames, write
from tests.recordings.convert.recordings import convert, error_of, people, recorded

SIZE = (640, 480)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten grey frames at 10 fps."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write(path, [i / 10 for i in range(10)], np.full((480, 640, 3), 90, np.uint8))


def drawn(frame: av.VideoFrame, track_id: int) -> bool:
    """Whether the colour of a track is in the frame."""
    distance = np.abs(frame.to_ndarray(format="bgr24").astype(int) - colour_of(track_id)).max(axis=2)
    return bool((distance < 40).sum() > 50)


def test_people_are_drawn_on_the_frames_with_their_numbers(clip: Path, tmp_path: Path) -> None:
    messages = [people(frame, n, "none", size=SIZE) for frame, n in ((0, 1), (1, 2), (4, 0), (9, 2))]
    out = convert(recorded(tmp_path / "x.jsonl", *messages), "video", tmp_path / "x.mp4", "--video", str(clip))
    video = frames(out)
    assert [round(frame.time, 3) for frame in video] == [0.0, 0.1, 0.4, 0.9]
    assert [[drawn(frame, track_id) for track_id in (1, 2)] for frame in video] == [
        [True, False], [True, True], [False, False], [True, True],
    ]  # fmt: skip


# The messages, and what the log says.
LENGTHS = [
    (range(3), "clip.mp4: goes on after frame 2, the last one of"),
    (range(15), "clip.mp4: ends after 10 frames, and"),
]


@pytest.mark.parametrize(("numbers", "told"), LENGTHS)
def test_the_video_is_as_long_as_the_shorter_one(
    numbers: range, told: str, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = recorded(tmp_path / "x.jsonl", *(people(frame, size=SIZE) for frame in numbers))
    out = convert(path, "video", tmp_path / "x.mp4", "--video", str(clip))
    assert len(frames(out)) == min(10, len(numbers))
    assert told in caplog.text


def test_a_second_run_is_left_out(clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0), people(1), people(0, session="s2"))
    assert len(frames(convert(path, "video", tmp_path / "x.mp4", "--video", str(clip)))) == 2
    assert "another run begins after frame 1: left out" in caplog.text


# The message, the clip, the exit code and the error.
WRONG = [
    ({"size": (480, 640)}, "{clip}", 2, "frame 0 is 640x480, expected 480x640 as in"),
    ({"frame": 10}, "{clip}", 2, "has 10 frames, and {dir}/x.jsonl begins with frame 10"),
    ({}, "{dir}/none.mp4", 3, "none.mp4: no such file"),
    ({}, "{dir}/x.jsonl", 3, "x.jsonl: "),
    ({}, "rtsp://10.0.0.1/s", 2, "--video: got 'rtsp://10.0.0.1/s', expected a video file"),
    ({}, "0", 2, "--video: got '0', expected a video file"),
]


@pytest.mark.parametrize(("changes", "given", "code", "told"), WRONG)
def test_a_clip_that_does_not_fit_is_an_error(
    changes: dict, given: str, code: int, told: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "x.jsonl", people(**{"frame": 0, "size": SIZE} | changes))
    words = ["--video", given.format(clip=clip, dir=tmp_path)]
    convert(path, "video", tmp_path / "x.mp4", *words, code=code)
    assert told.format(dir=tmp_path) in error_of(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.info.json", "x.jsonl"]
