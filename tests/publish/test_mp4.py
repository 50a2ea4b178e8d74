"""MP4 files: their times, sizes and colours, and what is left of them after a kill or on a full disk."""

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.errors import ConfigError
from realtime.publish import output_file
from realtime.publish.mp4 import EncodingError, Mp4, check_encoder
from realtime.publish.output_file import OutputFile

FPS = 30


def image(size: tuple[int, int] = (64, 48), colour: tuple[int, int, int] = (90, 120, 60)) -> np.ndarray:
    return np.full((size[1], size[0], 3), colour, np.uint8)


def begin(path: Path, size: tuple[int, int] = (64, 48)) -> tuple[OutputFile, Mp4]:
    file = OutputFile(path, "save_video")
    file.begin()
    return file, Mp4(file, size, "cam0", 1_795_873_500.0)


def write(path: Path, times_s: list[float], picture: np.ndarray | None = None) -> Path:
    picture = image() if picture is None else picture
    file, mp4 = begin(path, (picture.shape[1], picture.shape[0]))
    for time_s in times_s:
        mp4.write(picture, time_s)
    mp4.finish()
    file.close()
    return path


def write_more(mp4: Mp4, times_s: list[float]) -> None:
    for time_s in times_s:
        mp4.write(image(), time_s)


def frames(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[float]:
    return [frame.time for frame in frames(path)]


def boxes(data: bytes) -> list[bytes]:
    """The names of the boxes of an MP4 file."""
    names, at = [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4]) or len(data)
    return names


@pytest.mark.parametrize(
    "times_s",
    [
        [0.0, 1 / 30, 2 / 30, 0.1],
        [3600.25, 3600.29, 3600.5, 3604.0],  # the first frame is at 0 in the video
        [-2.0, -1.5, 0.0],
        [k * 1001 / 30000 for k in range(40)],
        [7.0, 900.0, 4000.0],  # a picture every quarter of an hour
    ],
)
def test_the_frames_are_as_far_apart_as_in_the_source(tmp_path: Path, times_s: list[float]) -> None:
    assert times(write(tmp_path / "x.mp4", times_s)) == pytest.approx(
        [time_s - times_s[0] for time_s in times_s], abs=1e-5
    )


def test_frames_closer_than_a_tick_stay_apart(tmp_path: Path) -> None:
    found = times(write(tmp_path / "x.mp4", [5.0, 5.0 + 1e-9, 5.0 + 2e-9]))
    assert len(set(found)) == 3


def test_the_last_frame_lasts_as_long_as_the_one_before(tmp_path: Path) -> None:
    with av.open(write(tmp_path / "x.mp4", [k / 10 for k in range(7)])) as container:
        assert container.duration / av.time_base == pytest.approx(0.7)
    with av.open(write(tmp_path / "y.mp4", [0.0])) as container:
        assert container.duration / av.time_base == pytest.approx(1 / FPS, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (63, 47), (64, 47), (63, 48)])
def test_odd_sides_are_one_pixel_longer(tmp_path: Path, size: tuple[int, int]) -> None:
    found = frames(write(tmp_path / "x.mp4", [0.0, 0.1], image(size)))
    assert [(frame.width, frame.height) for frame in found] == [(size[0] + size[0] % 2, size[1] + size[1] % 2)] * 2


@pytest.mark.parametrize("colour", [(90, 120, 60), (0, 159, 230), (255, 255, 255), (0, 0, 0), (30, 30, 200)])
def test_colours_are_kept(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    [frame] = frames(write(tmp_path / "x.mp4", [0.0], image(colour=colour)))
    found = frame.to_ndarray(format="bgr24")[24, 32].astype(int)
    assert np.abs(found - colour).max() <= 4


def test_a_browser_can_play_it(tmp_path: Path) -> None:
    with av.open(write(tmp_path / "x.mp4", [0.0, 0.1])) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.profile) == ("h264", "yuv420p", "High")
        assert container.metadata["title"] == "cam0"
        assert container.metadata["creation_time"] == "2026-11-28T13:45:00.000000Z"


def test_a_finished_file_is_an_ordinary_one_with_its_index(tmp_path: Path) -> None:
    data = write(tmp_path / "x.mp4", [k / FPS for k in range(60)]).read_bytes()
    assert boxes(data) == [b"ftyp", b"free", b"mdat", b"moov"]


def test_a_killed_program_loses_at_most_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    program = f"""
        import os, pathlib, signal
        import numpy as np
        from tests.publish.test_mp4 import begin, image
        _, mp4 = begin(pathlib.Path({str(path)!r}))
        for k in range(100):
            mp4.write(image(), k / 30)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    found = times(path)
    assert found == pytest.approx([k / 30 for k in range(len(found))], abs=1e-5)
    assert found[-1] > 99 / 30 - 0.4


class Disk:
    """Stands in for the system's write: takes this many more bytes, then it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: float = float("inf")
        self._write = output_file.write_some
        monkeypatch.setattr(output_file, "write_some", self.write)

    def write(self, descriptor: int, data: memoryview, is_over: Callable[[], bool]) -> int:
        if self.room < 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: int(min(self.room, len(data)))], is_over)
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 1, 100, 700])
def test_on_a_full_disk_the_file_ends_with_its_last_whole_fragment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    disk, path = Disk(monkeypatch), tmp_path / "x.mp4"
    file, mp4 = begin(path)
    for k in range(40):
        mp4.write(image(), k / FPS)
    whole = path.read_bytes()
    disk.room = room
    with pytest.raises(OSError, match="No space left on device"):
        write_more(mp4, [k / FPS for k in range(40, 80)])
    mp4.abandon()
    file.close()
    assert path.read_bytes().startswith(whole)
    assert len(times(path)) > 25


@pytest.mark.parametrize("room", [0, 100, 500])
def test_without_room_for_the_index_the_file_can_be_played_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    disk, path = Disk(monkeypatch), tmp_path / "x.mp4"
    file, mp4 = begin(path)
    for k in range(40):
        mp4.write(image(), k / FPS)
    disk.room = room
    with pytest.raises(OSError, match="No space left on device"):
        mp4.finish()
    file.close()
    assert len(times(path)) > 25


def test_without_room_for_the_beginning_the_file_stays_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Disk(monkeypatch).room = 20
    with pytest.raises(OSError, match="No space left on device"):
        begin(tmp_path / "x.mp4")
    assert (tmp_path / "x.mp4").read_bytes() == b""


def test_a_frame_that_the_encoder_refuses_is_an_error_of_its_own(tmp_path: Path) -> None:
    file, mp4 = begin(tmp_path / "x.mp4")
    mp4.write(image(), 0.0)
    with pytest.raises(EncodingError):
        write_more(mp4, [1e6, 2e6])  # MP4 has no room for such a duration
    mp4.abandon()
    file.close()


def test_a_pipe_gets_a_video_that_can_be_played_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write(path, [k / FPS for k in range(20)])
    received = os.read(reader, 65536)  # a pipe holds that much
    os.close(reader)
    assert boxes(received)[:4] == [b"ftyp", b"moov", b"moof", b"mdat"]
    (tmp_path / "y.mp4").write_bytes(received)
    assert times(tmp_path / "y.mp4") == pytest.approx([k / FPS for k in range(20)], abs=1e-5)


def test_a_build_without_the_encoder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    check_encoder()
    monkeypatch.setattr("realtime.publish.mp4.ENCODER", "libx999")
    with pytest.raises(ConfigError, match=r"^save_video: .* no H.264 encoder .*: install PyAV from its wheel") as told:
        check_encoder()
    assert told.value.exit_code == 2
