import contextlib
import errno
import io
import os
import socket
import threading
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from realtime.capture import pipe as pipes
from realtime.capture import piped
from realtime.capture.open import check_source, open_source
from realtime.capture.pipe import Pipe
from realtime.capture.piped import PipeSource
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason, TruncatedError
from tests.capture.clips import shade, write_clip, write_noise, write_sound
from tests.capture.rig import GIVE_UP_S, Rig


@contextlib.contextmanager
def written(path, data, then=b"", times=0):
    """A named pipe, and a thread that writes to it until its reader is gone: `data`, and `then` this many times."""
    os.mkfifo(path)

    def write():
        with contextlib.suppress(BrokenPipeError), path.open("wb") as out:
            out.write(data)
            for _ in range(times):
                out.write(then)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield str(path)
    writer.join(GIVE_UP_S)
    assert not writer.is_alive()


def read_all(path, **options):
    source = PipeSource("cam0", path, threading.Event(), **options)
    try:
        return list(iter(source.read, None))
    finally:
        source.close()


def error_of(tmp_path, data, then=b"", times=0, **options):
    with written(tmp_path / "pipe", data, then, times) as path, pytest.raises(SourceError) as caught:
        read_all(path, **options)
    return caught.value


def image_bytes(suffix, value=9, size=(32, 24)):
    return cv2.imencode(suffix, np.full((size[1], size[0], 3), value, np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.ts", "libx264", {}),
        ("clip.mkv", "libx264", {}),
        ("clip.flv", "libx264", {}),
        ("clip.h264", "libx264", {}),
        ("clip.avi", "mjpeg", {}),
        ("clip.mjpeg", "mjpeg", {}),
        ("clip.y4m", "wrapped_avframe", {}),
        ("clip.mp4", "libx264", {"movflags": "faststart"}),
        ("fragments.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ],
)
def test_a_video_is_read_whole_through_a_pipe(tmp_path, name, codec, options):
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = write_clip(tmp_path / name, frames=15, codec=codec, pix_fmt=pix_fmt, options=options)
    with written(tmp_path / "pipe", clip.read_bytes()) as path:
        pictures = read_all(path)
    greys = [float(picture.image[-10:, -10:].mean()) for picture in pictures]
    assert greys == pytest.approx([shade(i) for i in range(15)], abs=5)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_an_image_through_a_pipe_is_one_frame(tmp_path, suffix):
    with written(tmp_path / f"pipe{suffix}", image_bytes(suffix)) as path:
        (picture,) = read_all(path)
    assert picture.image.shape == (24, 32, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_images_one_after_another_are_a_frame_each(tmp_path, suffix):
    with written(tmp_path / "pipe", 2 * (image_bytes(suffix, 5) + image_bytes(suffix, 200))) as path:
        assert [int(picture.image[0, 0, 0]) for picture in read_all(path)] == [5, 200, 5, 200]


def test_a_descriptor_is_read_but_not_closed(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, image_bytes(".png"))
    os.close(writer)
    assert len(read_all(f"/dev/fd/{reader}")) == 1
    os.close(reader)  # raises if it was closed


def test_a_socket_that_is_connected_to_standard_input_is_read():
    one, other = socket.socketpair()
    with one:
        other.sendall(image_bytes(".png"))
        other.close()
        assert len(read_all(f"/dev/fd/{one.fileno()}")) == 1


def test_a_pipe_is_opened_only_once(tmp_path):
    clip = write_clip(tmp_path / "clip.ts", frames=12)
    with written(tmp_path / "pipe", clip.read_bytes()) as path:
        config = CameraConfig(name="cam0", source=path)
        check_source(config)
        assert len(rig_of(path).run()) == 12


def test_another_program_that_opens_the_pipe_later_is_not_read(tmp_path):
    with written(tmp_path / "pipe", image_bytes(".png")) as path:
        pipe = Pipe("cam0", path, threading.Event())
        while pipe.read(4096):
            pass
    again = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.write(again, b"more")
    assert pipe.read(4096) == b""
    pipe.close()
    os.close(again)


def rig_of(path, **options):
    stop = threading.Event()
    return Rig(path, opener=partial(open_source, stop=stop), stop=stop, **options)


class Polls:
    """Stands in for select.poll: nothing to read a few times, then the camera ends."""

    def __init__(self, stop, times):
        self.stop, self.left = stop, times

    def __call__(self):
        return self

    def register(self, *arguments):
        pass

    def poll(self, timeout_ms):
        self.left -= 1
        if self.left == 0:
            self.stop.set()
        return []


def test_a_camera_can_end_while_no_program_writes_to_its_pipe(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    rig = rig_of(tmp_path / "pipe")
    monkeypatch.setattr(pipes, "select", SimpleNamespace(poll=Polls(rig.stop, 1), POLLIN=1))
    assert rig.run() == []
    assert not rig.status.has_failed


def test_a_camera_can_end_while_the_writer_pauses(tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.ts", frames=30).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    rig = rig_of(tmp_path / "pipe")
    parts = [clip[:2000], clip[2000:3000]]

    def receive(self, size):
        if parts:
            return parts.pop(0)
        rig.stop.set()
        return b""

    monkeypatch.setattr(Pipe, "_receive", receive)
    assert rig.run() == []
    assert not rig.status.has_failed


def test_a_camera_that_is_stopped_in_the_middle_is_not_called_truncated(tmp_path):
    clip = write_clip(tmp_path / "clip.avi", frames=30)
    with written(tmp_path / "pipe", clip.read_bytes()) as path:
        assert len(rig_of(path, enough=3).run()) == 3


def test_a_wait_for_the_first_writer_is_logged_once(tmp_path, monkeypatch, caplog):
    os.mkfifo(tmp_path / "pipe")
    stop = threading.Event()
    monkeypatch.setattr(pipes, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(pipes, "select", SimpleNamespace(poll=Polls(stop, 3), POLLIN=1))
    pipe = Pipe("cam0", str(tmp_path / "pipe"), stop)
    with caplog.at_level("INFO"):
        assert pipe.begin() == b""
    assert [record.getMessage() for record in caplog.records] == [
        f"cam0: waiting for a program that writes to {tmp_path / 'pipe'}"
    ]
    pipe.close()


def test_a_writer_that_writes_nothing_is_reported(tmp_path):
    error = error_of(tmp_path, b"")
    assert str(error).endswith("pipe: not a video or an image: the pipe is empty: did its writer fail?")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov"])
def test_a_video_with_its_index_at_the_end_is_refused_at_once(tmp_path, name):
    error = error_of(tmp_path, write_clip(tmp_path / name).read_bytes())
    assert "pipe: can't be read from a pipe: its index is at its end; give the path of the file, or" in str(error)
    assert error.exit_code == 3


@pytest.mark.parametrize("form", ["tiff", "webp", "heif"])
def test_an_image_that_needs_a_file_is_refused(tmp_path, form):
    register_heif_opener()
    out = io.BytesIO()
    pages = [Image.new("RGB", (64, 48), (value, 0, 0)) for value in (0, 99, 200)]
    pages[0].save(out, form, save_all=True, append_images=pages[1:])
    error = error_of(tmp_path, out.getvalue())
    assert "can't be read from a pipe: this format needs a file; give its path" in str(error)


def test_sound_without_a_picture_is_no_video(tmp_path):
    assert error_of(tmp_path, write_sound(tmp_path / "sound.mkv").read_bytes()).reason is SourceReason.NO_VIDEO


def test_a_video_that_breaks_off_is_truncated(tmp_path):
    data = write_noise(tmp_path / "noise.mp4").read_bytes()
    error = error_of(tmp_path, data[: len(data) // 2])
    assert isinstance(error, TruncatedError)
    assert "pipe ended at" in str(error)


def test_text_is_no_video(tmp_path):
    assert error_of(tmp_path, b"hello\n").reason is SourceReason.NOT_MEDIA


@pytest.mark.parametrize("begins", ["", "clip.mkv", "clip.ts", "clip.mjpeg"])
def test_endless_garbage_ends_with_one_line(tmp_path, monkeypatch, begins):
    monkeypatch.setattr(piped, "MOST_BETWEEN", 2**20)
    monkeypatch.setattr(pipes, "MOST_BETWEEN", 2**20)
    start = b""
    if begins:
        codec, pix_fmt = ("mjpeg", "yuvj420p") if begins == "clip.mjpeg" else ("libx264", "yuv420p")
        start = write_clip(tmp_path / begins, codec=codec, pix_fmt=pix_fmt).read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, 2**16, np.uint8).tobytes()
    error = error_of(tmp_path, start, noise, times=10_000)  # far more than is read
    assert "\n" not in str(error)


def test_bytes_without_a_picture_end_at_a_limit(tmp_path):
    pipe_error = None
    with written(tmp_path / "pipe", b"", bytes(4096), times=10_000) as path:
        pipe = Pipe("cam0", path, threading.Event())
        pipe.allowed = 2**20
        while pipe.read(32768):
            pass
        pipe_error = pipe.problem
        pipe.close()
    assert "not a video: found no picture in 256 MB" in str(pipe_error)


def test_a_picture_beyond_the_limit_of_pixels_is_refused(tmp_path):
    assert error_of(tmp_path, image_bytes(".png"), max_pixels=700).reason is SourceReason.TOO_LARGE


def test_a_pipe_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(pipes.os, "open", refuse)
    with pytest.raises(SourceError, match=r"pipe: permission denied$"):
        Pipe("cam0", str(tmp_path / "pipe"), threading.Event())


def test_a_pipe_that_is_gone_when_it_is_opened_is_missing(tmp_path):
    with pytest.raises(SourceError, match=r"pipe: no such file$"):
        Pipe("cam0", str(tmp_path / "pipe"), threading.Event())


def test_a_pipe_that_can_not_be_read_is_reported_as_such(tmp_path, monkeypatch):
    def fail(self, size):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(Pipe, "_receive", fail)
    with pytest.raises(SourceError, match="pipe: can't be read: Input/output error"):
        PipeSource("cam0", str(tmp_path / "pipe"), threading.Event())


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {"movflags": "faststart"}),
        ("clip.mkv", "mpeg4", {}),
        ("clip.avi", "mpeg4", {}),
        ("clip.wmv", "wmv2", {}),
        ("clip.ts", "libx264", {}),
    ],
)
@pytest.mark.parametrize("lost", [5, 1000])
def test_a_video_that_ends_early_in_a_pipe_is_truncated(tmp_path, name, codec, options, lost):
    data = write_clip(tmp_path / name, frames=15, codec=codec, options=options).read_bytes()
    assert isinstance(error_of(tmp_path, data[:-lost]), TruncatedError)
