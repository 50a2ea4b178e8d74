import pytest

from realtime.capture.open import kind_of, open_source
from realtime.config import CameraConfig
from realtime.errors import SourceError


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "webcam"),
        ("12", "webcam"),
        ("/dev/video97", "webcam"),  # unplugged
        ("/dev/v4l/by-id/usb-Acme_Cam-video-index0", "webcam"),
        ("/dev/null", "webcam"),  # a device, whatever it is called
        ("/dev/none", "file"),
        ("-1", "file"),  # no such webcam number: a path, which will be missing
        ("demo", "demo"),
        ("demo.mp4", "file"),
        ("rtsp://user:p@ss@10.0.0.5/s1", "network"),
        ("RTSPS://10.0.0.5/s1", "network"),
        ("http://10.0.0.5/video.jpg", "network"),  # a picture's name in a URL is still a URL
        ("udp://0.0.0.0:1234", "network"),
        ("clip.mp4", "file"),
        ("clip", "file"),
        (r"C:\videos\clip.mp4", "file"),  # a drive letter is no scheme
        ("bus.jpg", "images"),
        ("BUS.JPEG", "images"),
        ("shots/*.png", "images"),
        ("shots/img?.mp4", "images"),  # a pattern of anything
    ],
)
def test_the_text_of_a_source_tells_its_kind(source, kind):
    assert kind_of(source) == kind


def test_a_folder_is_images_and_a_file_with_brackets_in_its_name_is_a_file(tmp_path):
    bracketed = tmp_path / "take [1].mp4"
    bracketed.write_bytes(b"x")
    assert kind_of(str(tmp_path)) == "images"
    assert kind_of(str(bracketed)) == "file"


def test_a_link_to_a_device_is_a_webcam(tmp_path):
    link = tmp_path / "door.jpg"  # whatever it is called
    link.symlink_to("/dev/null")
    assert kind_of(str(link)) == "webcam"


@pytest.mark.parametrize("source", ["97", "/dev/video97"])
def test_a_missing_webcam_is_told_in_one_line(source):
    with pytest.raises(SourceError, match=f"^webcam {source}: "):
        open_source(CameraConfig(name="cam0", source=source, mode="1280x720@30"))


def test_a_missing_file_is_told_in_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"^.*/none\.mp4: no such file$"):
        open_source(CameraConfig(name="cam0", source=str(tmp_path / "none.mp4")))
