import cv2
import numpy as np
import pytest

from realtime.capture.webcam import WebcamSource
from realtime.errors import SourceError, SourceReason


class FakeDevice:
    """Like cv2.VideoCapture: gives `pictures` pictures, then none."""

    def __init__(self, pictures, fps=30.0):
        self.pictures, self.fps, self.released = pictures, fps, False

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return self.pictures > 0

    def get(self, key):
        return {cv2.CAP_PROP_FRAME_WIDTH: 64.0, cv2.CAP_PROP_FRAME_HEIGHT: 48.0, cv2.CAP_PROP_FPS: self.fps}[key]

    def read(self):
        self.pictures -= 1
        return (True, np.zeros((48, 64, 3), np.uint8)) if self.pictures >= 0 else (False, None)

    def release(self):
        self.released = True


def test_a_webcam_gives_pictures_without_time_stamps():
    source = WebcamSource(3, opener=lambda index: FakeDevice(2))
    assert (source.size, source.fps, source.live) == ((64, 48), 30.0, True)
    assert source.read().media_s is None


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e6])
def test_a_driver_that_does_not_know_its_rate_has_none(fps):
    assert WebcamSource(0, opener=lambda index: FakeDevice(1, fps)).fps is None


def test_an_unplugged_webcam_is_lost():
    source = WebcamSource(0, opener=lambda index: FakeDevice(1))
    source.read()
    with pytest.raises(SourceError, match="webcam 0: gave no picture") as caught:
        source.read()
    assert caught.value.reason is SourceReason.LOST


def test_a_missing_webcam_is_released_and_says_what_to_do():
    device = FakeDevice(0)
    with pytest.raises(SourceError, match="webcam 7: not available: is it plugged in") as caught:
        WebcamSource(7, opener=lambda index: device)
    assert caught.value.reason is SourceReason.DEVICE
    assert device.released


def test_opencv_stays_silent_about_a_missing_webcam(capfd):
    with pytest.raises(SourceError):
        WebcamSource(97)
    assert capfd.readouterr() == ("", "")
