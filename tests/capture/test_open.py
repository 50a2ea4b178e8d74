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
        ("/dev/null", "webcam"),  # any character device, whatever its name
        ("/dev/none", "file"),
        ("-1", "file"),  # not a webcam number: a path, which will be missing
        ("demo", "demo"),
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
def test_the_kind_of_a_source_follows_from_its_text(source, kind):
    assert kind_of(source) == kind


def test_a_folder_is_images_and_an_existing_file_with_brackets_is_a_file(tmp_path):
    bracketed = tmp_path / "take [1].mp4"
    bracketed.write_bytes(b"x")
    assert kind_of(str(tmp_path)) == "images"
    assert kind_of(str(bracketed)) == "file"


def test_a_link_to_a_device_is_a_webcam(tmp_path):
    link = tmp_path / "door.jpg"  # whatever its name
    link.symlink_to("/dev/null")
    assert kind_of(str(link)) == "webcam"


@pytest.mark.parametrize("source", ["97", "/dev/video97"])
def test_the_error_for_a_missing_webcam_starts_with_its_source(source):
    with pytest.raises(SourceError, match=f"^webcam {source}: "):
        open_source(CameraConfig(name="cam0", source=source, mode="1280x720@30"))


def test_the_error_for_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(SourceError, match=r"^.*/none\.mp4: no such file$"):
        open_source(CameraConfig(name="cam0", source=str(tmp_path / "none.mp4")))
