"""The video of a run: complete for files, lossy and counted for live cameras, and outlived by a run with one."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.errors import RealtimeError
from realtime.publish import output_file
from realtime.publish import video as module
from realtime.publish.outage import FIRST_WAIT_S
from realtime.publish.video import Video
from realtime.publish.video_file import VideoFiles
from realtime.skeleton import Skeleton
from realtime.types import Poses
from tests.builders import make_frame, make_poses
from tests.clock import Clock
from tests.doubles import wait_until

PAIR = Skeleton("pair", ("a", "b"), ((0, 1),))

PERSON = [[(40.0, 40.0), (80.0, 40.0)]]


def people(index: int = 0, camera: str = "cam0", epoch: int = 0) -> Poses:
    return make_poses(make_frame(index, camera, epoch), PERSON, (30, 30, 90, 90))


def video_of(folder: Path, live: tuple[str, ...] = (), cameras: tuple[str, ...] = ("cam0",)) -> Video:
    files = VideoFiles(folder / "{camera}.mp4", cameras)
    return Video(files, PAIR, lambda camera: camera in live, lambda: bool(live))


def frames(path: Path) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def run(video: Video, *offered: Poses) -> None:
    for poses in offered:
        video.offer(poses, 0)
    video.finish()
    video.run()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Fills the disk, or makes room."""
    write, is_full = output_file.write_some, threading.Event()

    def guarded(descriptor: int, data: memoryview, is_over: Callable[[], bool]) -> int:
        if is_full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, is_over)

    monkeypatch.setattr(output_file, "write_some", guarded)
    return lambda full: is_full.set() if full else is_full.clear()


def test_people_are_drawn_on_a_copy_of_each_frame(tmp_path: Path) -> None:
    poses = people()
    run(video_of(tmp_path), poses)
    assert (poses.frame.image == 128).all()
    [image] = frames(tmp_path / "cam0.mp4")
    assert np.abs(image[40, 60].astype(int) - (233, 180, 86)).max() < 60  # the limb of track 1
    assert np.abs(image[80, 140].astype(int) - 128).max() < 6


def test_every_frame_of_a_file_is_written_however_slow_the_encoder_is(tmp_path: Path) -> None:
    video = video_of(tmp_path)
    thread = threading.Thread(target=video.run, daemon=True)
    done = threading.Event()

    def publish() -> None:
        for k in range(100):  # three times as many as the queue holds
            video.offer(people(k), 0)
        done.set()

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    wait_until(lambda: len(video._queue._items) == module._WAITING)
    assert not done.is_set()
    thread.start()
    publisher.join(30)
    video.finish()
    thread.join(30)
    assert len(frames(tmp_path / "cam0.mp4")) == 100
    video.check()


def test_frames_of_a_live_camera_are_dropped_and_counted_instead_of_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = video_of(tmp_path, live=("cam0",))
    run(video, *(people(k) for k in range(module._WAITING + 5)))
    video.log_losses()
    video.check()
    assert len(frames(tmp_path / "cam0.mp4")) == module._WAITING
    assert [each.getMessage() for each in caplog.records] == [
        "cam0: frames arrive faster than they can be encoded; the video loses frames",
        "cam0: 5 of 37 frames are missing from the video",
    ]


def test_a_video_without_a_loss_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = video_of(tmp_path)
    with caplog.at_level(logging.WARNING):
        run(video, people())
        video.log_losses()
        video.check()
    assert not caplog.records


def test_cameras_have_videos_of_their_own(tmp_path: Path) -> None:
    run(video_of(tmp_path, cameras=("a", "b")), *(people(k, camera) for k in range(3) for camera in ("a", "b", "new")))
    assert {path.name: len(frames(path)) for path in tmp_path.iterdir()} == {"a.mp4": 3, "b.mp4": 3, "new.mp4": 3}


def test_a_run_with_a_camera_outlives_a_full_disk(
    tmp_path: Path, disk: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    video = video_of(tmp_path, live=("cam0",))
    for k in range(20):
        video._write(people(k), True)
    disk(True)
    for k in range(20, 40):
        video._write(people(k), True)
    disk(False)
    video._write(people(40), True)  # too soon for another attempt
    clock.now_s += FIRST_WAIT_S
    with caplog.at_level(logging.INFO):
        for k in range(41, 50):
            video._write(people(k), True)
    video.finish()
    video.run()
    assert len(frames(tmp_path / "cam0.mp4")) >= 10
    assert len(frames(tmp_path / "cam0-2.mp4")) == 9
    told = [each.getMessage() for each in caplog.records if each.name == module.__name__]
    assert told == [
        "cam0: the video can't be written: No space left on device; the run continues, counts the lost frames and "
        "tries again",
        "cam0: the video can be written again",
    ]


def test_an_outage_of_one_camera_is_not_that_of_another(tmp_path: Path) -> None:
    (tmp_path / "new.mp4").mkdir()
    video = video_of(tmp_path, live=("cam0", "new"))
    run(video, people(0, "new"), people(0), people(1))
    assert len(frames(tmp_path / "cam0.mp4")) == 2


def test_a_run_of_files_ends_with_1_on_a_full_disk(tmp_path: Path, disk: Callable[[bool], None]) -> None:
    video = video_of(tmp_path)
    disk(True)
    with pytest.raises(
        RealtimeError, match=r"^save_video: cam0: can't be written: No space left on device; frames written: 0$"
    ) as told:
        run(video, people())
    assert told.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_is_noticed(tmp_path: Path, disk: Callable[[bool], None]) -> None:
    video = video_of(tmp_path)
    for k in range(20):
        video._write(people(k), False)
    disk(True)
    video.finish()
    with pytest.raises(RealtimeError, match="No space left on device"):
        video.run()
    assert len(frames(tmp_path / "cam0.mp4")) >= 10


def test_a_frame_that_cannot_be_encoded_ends_a_run_of_files(tmp_path: Path) -> None:
    video = video_of(tmp_path)
    huge = make_frame(image=np.zeros((2, 20_000, 3), np.uint8))
    with pytest.raises(RealtimeError, match=r"^save_video: cam0: can't be written: .*; frames written: 0$"):
        run(video, Poses.empty(huge, 2))


def test_giving_up_drops_the_queue_completes_the_file_and_says_so(tmp_path: Path) -> None:
    video = video_of(tmp_path)
    video.offer(people(0), 0)
    video._write(*video._queue.take())
    video.offer(people(1), 0)
    video.give_up()
    video.offer(people(2), 0)  # the run is over, so that this is lost too
    video.run()
    assert len(frames(tmp_path / "cam0.mp4")) == 1
    with pytest.raises(RealtimeError, match="the video is incomplete; missing frames of files: 2"):
        video.check()


def test_a_pipe_without_a_reader_is_waited_for_until_the_run_gives_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "cam0.mp4")
    video = video_of(tmp_path)
    video.offer(people(), 0)
    failures: list[RealtimeError] = []

    def body() -> None:
        try:
            video.run()
        except RealtimeError as error:
            failures.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    wait_until(lambda: caplog.records)
    video.give_up()
    thread.join(10)
    assert [each.getMessage() for each in caplog.records] == ["save_video: waiting for a program that reads the pipe"]
    assert "No such device or address" in str(failures[0])


def test_a_run_that_did_not_begin_leaves_no_file(tmp_path: Path) -> None:
    video_of(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
