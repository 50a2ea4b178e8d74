import os
import socket

import pytest

from realtime.capture.open import check_source, open_source
from realtime.config import CameraConfig
from realtime.errors import SourceError
from tests.capture.clips import write_clip


@pytest.mark.parametrize("source", ["97", "/dev/video97"])
def test_the_error_for_a_missing_webcam_starts_with_its_source(source):
    with pytest.raises(SourceError, match=f"^webcam {source}: "):
        open_source(CameraConfig(name="cam0", source=source, mode="1280x720@30"))


def test_the_error_for_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"^.*/none\.mp4: no such file$"):
        open_source(CameraConfig(name="cam0", source=str(tmp_path / "none.mp4")))


def test_a_file_whose_name_looks_like_a_named_camera_is_hinted_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "take=1.mp4").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"1\.mp4: no such file \(for the file or folder take=1\.mp4, write \./"):
        check_source(CameraConfig(name="take", source="1.mp4"))


@pytest.mark.parametrize("source", ["demo:foo", "demo:", "Demo:Clock", "demo:clock=1"])
def test_a_misspelt_demo_is_told_which_demos_there_are(source):
    with pytest.raises(SourceError, match=r"^cam0: .*no such file \(the built-in sources are demo and demo:clock\)$"):
        check_source(CameraConfig(name="cam0", source=source))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "a socket, expected a video"),
        (lambda path: path.symlink_to("/dev/null"), "a device that is not a webcam, expected a video"),
    ],
)
def test_a_path_that_is_neither_a_file_nor_a_pipe_is_refused(tmp_path, make, what):
    make(tmp_path / "clip.mp4")
    with pytest.raises(SourceError, match=f"^cam0: .*clip\\.mp4: not a video or an image: {what}"):
        check_source(CameraConfig(name="cam0", source=str(tmp_path / "clip.mp4")))


def test_the_error_for_a_missing_webcam_names_the_folder_that_was_probably_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "97").mkdir()
    with pytest.raises(SourceError, match=r"^webcam 97: no such device .* \(for the file or folder 97, write \./97\)$"):
        open_source(CameraConfig(name="cam0", source="97"))


def test_a_file_whose_name_is_not_utf_8_is_read_whatever_names_it(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mkv")
    write_clip(tmp_path / "clip.mkv", frames=2).rename(name)
    for source in (name, f"file://{name}", f"file:{tmp_path}/caf%E9.mkv", f"file://localhost{tmp_path}/caf%e9.mkv"):
        opened = open_source(CameraConfig(name="cam0", source=source))
        assert len(list(iter(opened.read, None))) == 2
        opened.close()
