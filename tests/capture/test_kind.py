import os
import socket
from pathlib import Path

import pytest

from realtime.capture import kind
from realtime.capture.kind import check_pipes, is_live_source, kind_of
from realtime.config import CameraConfig
from realtime.errors import ConfigError


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", "webcam"),
        ("12", "webcam"),
        ("/dev/video97", "webcam"),  # unplugged
        ("/dev/v4l/by-id/usb-Acme_Cam-video-index0", "webcam"),
        ("/dev/null", "file"),  # a device, but not a webcam
        ("20240101", "webcam"),  # no such folder
        ("007", "webcam"),
        ("\u0663", "file"),  # a digit, but not of ASCII
        ("", "file"),  # file:// without a path
        ("a" * 300, "file"),  # longer than a name may be
        ("/dev/none", "file"),
        ("-1", "file"),  # not a webcam number: a path, which will be missing
        ("demo", "demo"),
        ("demo:clock", "demo"),
        ("demo:clocks", "file"),
        ("./demo:clock", "file"),
        ("demo.mp4", "file"),
        ("rtsp://user:p@ss@10.0.0.5/s1", "network"),
        ("RTSPS://10.0.0.5/s1", "network"),
        ("http://10.0.0.5/video.jpg", "network"),  # a URL, although it names an image
        ("udp://0.0.0.0:1234", "network"),
        ("clip.mp4", "file"),
        ("clip", "file"),
        (r"C:\videos\clip.mp4", "file"),  # a drive letter is not a scheme
        ("bus.jpg", "images"),
        ("BUS.JPEG", "images"),
        ("shots/*.png", "images"),
        ("shots/img?.mp4", "images"),  # a pattern, whatever it matches
    ],
)
def test_the_kind_of_a_source_follows_from_its_text(source, expected):
    assert kind_of(source) == expected


def test_a_folder_is_images_and_an_existing_file_with_brackets_is_a_file(tmp_path):
    bracketed = tmp_path / "take [1].mp4"
    bracketed.write_bytes(b"x")
    assert kind_of(str(tmp_path)) == "images"
    assert kind_of(str(bracketed)) == "file"


def test_a_link_to_a_webcam_is_a_webcam(tmp_path, monkeypatch):
    monkeypatch.setattr(kind, "_VIDEO_MAJOR", os.major(Path("/dev/null").stat().st_rdev))
    link = tmp_path / "door.jpg"  # whatever its name
    link.symlink_to("/dev/null")
    assert kind_of(str(link)) == "webcam"


@pytest.mark.parametrize("name", ["20240101", "256", "007", "00"])
def test_a_folder_or_file_named_with_digits_is_not_a_webcam(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert kind_of(name) == "images"
    assert not is_live_source(name)
    (tmp_path / name).rmdir()
    (tmp_path / name).write_bytes(b"x")
    assert kind_of(name) == "file"


@pytest.mark.parametrize("name", ["0", "2", "255"])
def test_the_number_of_a_webcam_is_a_webcam_even_if_a_folder_has_that_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert kind_of(name) == "webcam"
    assert kind_of(f"./{name}") == "images"


@pytest.mark.parametrize("name", ["pipe", "pipe.png", "pipe*"])
def test_a_pipe_is_a_pipe_whatever_its_name(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (tmp_path / "link.jpg").symlink_to(name)
    assert kind_of(str(tmp_path / name)) == kind_of(str(tmp_path / "link.jpg")) == "pipe"
    assert not is_live_source(str(tmp_path / name))


def test_an_open_descriptor_is_judged_by_what_it_leads_to(tmp_path):
    (tmp_path / "clip").write_bytes(b"x")
    ends = [*os.pipe(), os.open(tmp_path / "clip", os.O_RDONLY)]
    one, other = socket.socketpair()
    try:
        kinds = [kind_of(f"/dev/fd/{end}") for end in (ends[0], ends[2], one.fileno())]
        assert kinds == ["pipe", "file", "pipe"]
    finally:
        for end in ends:
            os.close(end)
        one.close()
        other.close()


def cameras(*sources):
    return [CameraConfig(name=f"cam{number}", source=str(source)) for number, source in enumerate(sources)]


def test_a_pipe_can_not_be_looped(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    check_pipes(cameras("clip.mp4", tmp_path / "pipe"), loop=False)
    with pytest.raises(ConfigError, match=r"cam1: .*pipe: a pipe can be read only once, .* remove --loop"):
        check_pipes(cameras("clip.mp4", tmp_path / "pipe"), loop=True)


def test_two_cameras_can_not_read_the_same_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(ConfigError, match=r"cam1: .*link: a pipe can be read by only one camera, but cam0 reads"):
        check_pipes(cameras(tmp_path / "pipe", tmp_path / "link"), loop=False)


def test_two_cameras_can_read_the_same_file(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    check_pipes(cameras(tmp_path / "clip.mp4", tmp_path / "clip.mp4"), loop=True)
