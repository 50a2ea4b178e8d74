import os

import cv2
import numpy as np
import pytest

from realtime.capture.webcam import WebcamSource
from realtime.errors import SourceError, SourceReason

from .devices import FakeDevices
from .rig import RecordingStop, Rig

VGA, HD, FULL_HD = (64, 48, 30.0), (128, 72, 30.0), (192, 108, 15.0)


@pytest.fixture
def devices(tmp_path):
    return FakeDevices(tmp_path)


def webcam(devices, source="0", mode=None):
    return WebcamSource(source, mode, opener=devices.open, devices=devices.folder)


def refusal(devices, source="0", mode=None):
    with pytest.raises(SourceError) as caught:
        webcam(devices, source, mode)
    assert all(device.released for device in devices.opened)
    return str(caught.value), caught.value.reason


def rig_of(devices, **keys):
    """Return a camera that captures from webcam 0 of these devices."""
    return Rig("0", opener=lambda config: webcam(devices, config.address, config.mode), **keys)


def test_a_webcam_returns_every_frame_from_the_first_on_without_timestamps(devices):
    devices.plug(3)
    source = webcam(devices, "3")
    assert (source.size, source.fps, source.live) == ((64, 48), 30.0, True)
    pictures = [source.read() for _ in range(3)]
    assert [int(p.image[0, 0, 0]) for p in pictures] == [1, 2, 3]
    assert {p.media_s for p in pictures} == {None}
    source.close()
    assert devices.opened[0].released


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e6])
def test_an_invalid_rate_from_the_driver_counts_as_unknown(devices, fps):
    devices.plug(modes=[(64, 48, fps)])
    assert webcam(devices).fps is None
    assert webcam(devices, mode="64x48@60").fps is None


def test_a_source_may_be_a_device_file_or_a_link_to_it(devices):
    path = devices.plug(2)
    link = devices.folder / "usb-Fake_Cam-index0"
    link.symlink_to(path)
    assert webcam(devices, path).size == webcam(devices, str(link)).size == (64, 48)


def test_without_device_files_opencv_opens_the_number_with_any_backend(devices):
    devices.plug()
    opened = []

    def opener(*device):
        opened.append(device)
        return devices.open(devices.folder / "video0", cv2.CAP_V4L2)

    assert WebcamSource("0", opener=opener, devices=None).size == (64, 48)
    assert opened == [(0, cv2.CAP_ANY)]
    devices.unplug()
    with pytest.raises(SourceError, match=r"^webcam 0: not available: check that it is plugged in") as caught:
        WebcamSource("0", opener=opener, devices=None)
    assert caught.value.reason is SourceReason.DEVICE


@pytest.mark.parametrize(
    ("pixel", "bgr"),
    [
        (7, [7, 7, 7]),  # grey, (H, W)
        ([7], [7, 7, 7]),  # grey, (H, W, 1)
        ([1, 2, 3, 255], [1, 2, 3]),  # BGRA
        ([235, 128], [255, 255, 255]),  # YUYV: the brightest Y, without colour
        ([1, 2, 3], [1, 2, 3]),
    ],
)
def test_a_frame_of_any_pixel_format_becomes_bgr(devices, pixel, bgr):
    devices.plug(pixel=pixel)
    source = webcam(devices)
    image = source.read().image
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((48, 64, 3), np.uint8, True)
    assert (image == bgr).all()
    assert source.size == (64, 48)


def test_a_mode_is_requested_with_the_compressed_format_first_and_the_rate_last(devices):
    devices.plug(modes=[VGA, HD, FULL_HD])
    source = webcam(devices, mode="192x108@15")
    assert (source.size, source.fps) == ((192, 108), 15.0)
    assert list(devices.opened[0].asked.items()) == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 192),
        (cv2.CAP_PROP_FRAME_HEIGHT, 108),
        (cv2.CAP_PROP_FPS, 15.0),
    ]


def test_without_a_mode_the_driver_chooses(devices):
    devices.plug(modes=[HD, VGA])
    assert webcam(devices).size == (128, 72)
    assert devices.opened[0].asked == {}


def test_a_mode_without_a_rate_accepts_any_rate(devices):
    devices.plug(modes=[VGA, FULL_HD])
    assert webcam(devices, mode="192x108").fps == 15.0


def test_a_rate_that_the_driver_rounds_counts_as_the_requested_one(devices):
    devices.plug()
    assert webcam(devices, mode="64x48@29.97").fps == 30.0


@pytest.mark.parametrize(
    ("mode", "fps", "got"),
    [
        ("1280x720@60", 30.0, "64x48 at 30 fps"),  # size and rate differ
        ("64x48@25", 30.0, "64x48 at 30 fps"),  # only the rate differs
        ("640x480", 29.97, "64x48 at 29.97 fps"),  # only the size differs
        ("640x480@30", 0.0, "64x48"),  # the size differs, and the rate is unknown
    ],
)
def test_a_mode_that_the_webcam_lacks_is_refused(devices, mode, fps, got):
    devices.plug(modes=[(64, 48, fps)])
    says = f"webcam 0: mode: got {got}, expected {mode}: set another mode in cameras[].mode, or remove it"
    assert refusal(devices, mode=mode) == (says, SourceReason.MODE)


@pytest.mark.parametrize(
    ("plugged", "there"),
    [((), "no webcam is available"), ((0,), "available: 0"), ((10, 2), "available: 2, 10")],
)
def test_the_error_for_a_missing_webcam_lists_the_available_ones(devices, plugged, there):
    for number in plugged:
        devices.plug(number)
    (devices.folder / "video-extra").touch()  # not a webcam, because it has no number
    assert refusal(devices, "7") == (f"webcam 7: no such device ({there})", SourceReason.MISSING)
    path = str(devices.folder / "by-id")
    assert refusal(devices, path) == (f"webcam {path}: no such device ({there})", SourceReason.MISSING)


def test_the_error_for_a_webcam_without_permission_names_the_group(devices, monkeypatch):
    devices.plug()
    devices.busy.add(0)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may access everything
    says = 'webcam 0: permission denied: add your user to the group "video"'
    assert refusal(devices) == (says, SourceReason.PERMISSION)


def test_opening_a_webcam_that_another_program_uses_fails(devices):
    devices.plug()
    devices.plug(1)
    devices.busy.add(0)
    says = "webcam 0: no frame received: close other programs that use it, or try another number (available: 0, 1)"
    assert refusal(devices) == (says, SourceReason.DEVICE)
    devices.busy.clear()
    assert webcam(devices).size == (64, 48)


def test_an_unplugged_webcam_is_lost(devices):
    devices.plug()
    source = webcam(devices)
    devices.unplug()
    source.read()  # the frame that was read when the device was opened
    with pytest.raises(SourceError, match=r"^webcam 0: no frame received: was it unplugged") as caught:
        source.read()
    assert caught.value.reason is SourceReason.LOST


def test_opencv_prints_nothing_about_a_missing_webcam(capfd):
    for source in ("97", "/dev/video97"):
        with pytest.raises(SourceError, match=f"^webcam {source}: "):
            WebcamSource(source)
    assert capfd.readouterr() == ("", "")


def test_a_webcam_that_is_unplugged_is_reopened_in_a_new_epoch(devices):
    devices.plug()

    def enough(frame):
        if len(rig.frames) == 3:
            devices.unplug()
        return frame.epoch == 1

    rig = rig_of(devices, enough=enough, stop=RecordingStop())
    set_state = rig.status.set_state

    def plug_when_missed(*state):
        set_state(*state)
        if state[-1] == "missing":
            devices.plug()

    rig.status.set_state = plug_when_missed
    assert [(f.epoch, f.index) for f in rig.run()] == [(0, 0), (0, 1), (0, 2), (1, 3)]
    lost, missing = ("reconnecting", "connection lost"), ("reconnecting", "missing")
    assert rig.states[:4] == [("live",), lost, missing, ("live",)]
    assert len(rig.stop.waits) == 3  # before the first opening, and before each of two attempts to open it again
    assert max(rig.stop.waits) < 1.0
    assert (rig.status.captured, rig.status.reconnects) == (4, 1)
    assert all(device.released for device in devices.opened)


@pytest.mark.parametrize(("busy", "reason"), [(False, "missing"), (True, "webcam not available")])
def test_a_webcam_that_cannot_be_opened_at_the_start_ends_the_run(devices, busy, reason):
    if busy:
        devices.plug()
        devices.busy.add(0)
    rig = rig_of(devices)
    with pytest.raises(SourceError, match=r"^cam0: webcam 0: ") as caught:
        rig.run()
    assert caught.value.exit_code == 3
    assert rig.state == ("failed", reason)


def test_a_slow_webcam_loses_no_frame(devices):
    devices.plug()
    devices.read_s = 0.05
    frames = rig_of(devices, enough=3).run()
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 3]  # also the frame that is read when opening
    assert len(devices.opened) == 1
