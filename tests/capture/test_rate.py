import pytest

from realtime.capture.rate import STEPS, FrameRate
from realtime.capture.stream import StreamSource
from tests.faults import session
from tests.faults.clip import Clip
from tests.faults.fakecam import FakeCamera

from .sps import without_vui


def measured(steps_s, declared=None):
    rate, now_s, fps = FrameRate(declared), 0.0, None
    for step_s in (0.0, *steps_s):
        now_s += step_s
        fps = rate.saw(now_s)
    return fps


@pytest.mark.parametrize("fps", [5, 12.5, 25, 29.97, 60])
def test_the_rate_is_that_of_the_steps(fps):
    assert measured([1 / fps] * STEPS) == pytest.approx(fps, abs=0.01)


def test_steps_that_alternate_are_averaged():
    assert measured([0.033, 0.034, 0.033] * 9) == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize("step_s", [1e-5, 250.0])
def test_a_rate_that_no_camera_has_is_unknown(step_s):
    assert measured([step_s] * 3 * STEPS) is None


def test_lost_frames_and_stamps_that_repeat_do_not_count():
    assert measured([0.04] * 20 + [0.08, 0.4, 0.0, 0.08] + [0.04] * 10) == 25


def test_the_rate_is_unknown_until_enough_frames_were_seen():
    assert measured([0.04] * (STEPS - 1)) is None


def test_a_declared_rate_is_not_measured():
    assert measured([0.04] * STEPS, declared=15.0) == 15.0


def test_stamps_that_never_rise_yield_no_rate():
    assert measured([0.0] * 100) is None
    assert measured([-0.04] * 100) is None


@pytest.fixture
def undeclared(monkeypatch):
    """Cameras whose SDP has no a=framerate."""
    described = session.Session._description
    monkeypatch.setattr(
        session.Session,
        "_description",
        lambda self: "".join(line for line in described(self).splitlines(True) if "framerate" not in line),
    )


@pytest.mark.parametrize("fps", [10, 25])
def test_the_rate_of_an_rtsp_camera_is_the_one_in_its_video_and_not_double(fps, undeclared):
    with FakeCamera(fps=fps) as camera:
        source = StreamSource(camera.url(), network=True)
        source.close()
    assert source.fps == fps


def test_the_rate_of_an_rtsp_camera_that_declares_none_is_measured(undeclared):
    with FakeCamera(fps=50) as camera:
        plain = [
            [without_vui(unit) if unit[0] & 31 == 7 else unit for unit in units] for units in camera.clips[0].pictures
        ]
        camera.clips = [Clip(camera.clips[0].size, plain)]
        camera._shown = [(float("-inf"), camera.clips[0])]
        source = StreamSource(camera.url(), network=True)
        before = source.fps
        for _ in range(2 * STEPS):
            source.read()
        source.close()
    assert before is None
    assert source.fps == pytest.approx(50, rel=0.01)
