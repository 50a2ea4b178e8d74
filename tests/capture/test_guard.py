"""Any exception at a call into a source is that camera's trouble."""

import gc
import io
import itertools
import logging
import weakref

import cv2
import numpy as np
import pytest

from realtime.capture import late
from realtime.capture.guard import Guard
from realtime.capture.open import check_source
from realtime.capture.source import Pixels
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.observe.log import set_up_logging
from realtime.redact import secrets_of

from .clips import write_clip
from .rig import RecordingStop, Rig, ScriptedSource, picture

URL = "http://operator:Tr0ub%344dor@10.0.0.5/s1"
ODD = [AttributeError("'NoneType' object has no attribute 'width'"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")]


def fail(error):
    raise error


@pytest.fixture
def printed():
    """What a log handler of the program prints, as text."""
    root, ours = logging.getLogger(), logging.getLogger("realtime")
    before = root.handlers[:], root.level, ours.level
    set_up_logging("info", "text", secrets_of(URL))
    stream = io.StringIO()
    root.handlers[0].setStream(stream)
    yield stream
    root.handlers[:], root.level, ours.level = before
    logging.captureWarnings(False)


class FailingClose(ScriptedSource):
    def close(self):
        super().close()
        raise RuntimeError("it can't be closed")


class Failing(ScriptedSource):
    def read(self):
        return super().read() or self.fail()

    def fail(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [*ODD, ZeroDivisionError(), cv2.error("odd"), ValueError("many\nlines")])
def test_an_unknown_error_while_opening_or_reading_is_retried_after_the_long_wait(error):
    stop = RecordingStop()
    openings = [error, ScriptedSource(picture(0.0), error, live=True), ScriptedSource(picture(0.0), live=True)]
    rig = Rig(URL, *openings, enough=2, stop=stop)
    assert [frame.epoch for frame in rig.run()] == [0, 1]
    assert rig.states == [("reconnecting", "internal error"), ("live",)] * 2
    assert openings[1].closed
    assert all(24 <= wait_s <= 36 for wait_s in stop.waits if wait_s)
    assert sum(map(bool, stop.waits)) == 2


def test_its_traceback_is_logged_once_per_kind_and_without_the_password(printed):
    errors = [ValueError(f"can't open {URL!r}"), ValueError(URL), KeyError(URL)]
    sources = [ScriptedSource(error, live=True) for error in errors]
    Rig(URL, *sources, ScriptedSource(picture(), live=True), enough=1, stop=RecordingStop()).run()
    text = printed.getvalue()
    assert text.count("Traceback (most recent call last)") == 2
    assert text.count("cam0: unexpected error in its source; please report this") == 2
    assert text.count("ValueError: can't open 'http://***@10.0.0.5/s1'") == 2  # in the traceback and in the line
    assert "warning cam0: http://***@10.0.0.5/s1: internal error: ValueError: can't open" in text
    for secret in ("operator", "Tr0ub", "dor@"):
        assert secret not in text


def test_a_password_is_hidden_in_the_spelling_of_an_exception_too(printed):
    url = "http://operator:a'b\"c\\d\xfffg@10.0.0.5/s1"  # repr escapes the quotes and the backslash
    logging.getLogger().handlers[0].formatter._secrets = secrets_of(url)
    rig = Rig(url, ScriptedSource(KeyError(url), live=True), ScriptedSource(picture(), live=True), enough=1)
    rig.stop = rig.camera._stop = RecordingStop()
    rig.run()
    assert "Traceback" in printed.getvalue()
    for secret in ("operator", "c\\d", "c\\\\d", "fg@", "a'b", "a\\'b"):
        assert secret not in printed.getvalue()


def test_a_file_or_a_webcam_that_fails_to_open_ends_with_one_line(printed):
    for source in ("clip.mp4", "0"):
        with pytest.raises(SourceError, match=f"^cam0: {source}: internal error: ZeroDivisionError") as caught:
            Rig(source, ZeroDivisionError("division by zero")).run()
        assert caught.value.exit_code == 3
        assert caught.value.__context__.__context__ is None
    assert printed.getvalue() == ""


def test_a_file_that_fails_before_its_end_counts_as_damaged(printed):
    rig = Rig("clip.mp4", ScriptedSource(picture(0.0), AttributeError("odd"), picture(0.1)))
    with pytest.raises(TruncatedError, match=r"^cam0: clip\.mp4: internal error: AttributeError: odd$"):
        rig.run()
    assert len(rig.frames) == 1
    assert rig.state == ("failed", "internal error")
    assert "Traceback" not in printed.getvalue()


def test_a_lack_of_memory_is_one_line(printed):
    openings = [ScriptedSource(MemoryError(), live=True), ScriptedSource(picture(), live=True)]
    Rig(URL, *openings, enough=1, stop=RecordingStop()).run()
    assert "warning cam0: http://***@10.0.0.5/s1: out of memory; trying again" in printed.getvalue()
    assert "Traceback" not in printed.getvalue()


def test_a_source_that_can_not_be_closed_is_given_up(printed):
    lost = SourceError("source: connection lost", SourceReason.LOST)
    openings = [FailingClose(picture(), lost, live=True), FailingClose(picture(), live=True)]
    rig = Rig(URL, *openings, enough=2, stop=RecordingStop())
    rig.run()
    assert rig.states == [("live",), ("reconnecting", "connection lost"), ("live",)]
    assert printed.getvalue().count("RuntimeError: it can't be closed") == 1


def test_an_error_of_the_conversion_is_the_camera_s_trouble(monkeypatch):
    errors = [cv2.error("odd"), None]
    monkeypatch.setattr(
        late, "viewed", lambda image, config: image if (error := errors.pop(0)) is None else fail(error)
    )
    openings = [ScriptedSource(picture(), live=True) for _ in range(2)]
    rig = Rig(URL, *openings, enough=1, stop=RecordingStop())
    rig.run()
    assert dict(rig.status.drops) == {"undecodable": 1}
    assert ("reconnecting", "internal error") in rig.states


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.uint16),
        np.zeros((0, 64, 3), np.uint8),
    ],
)
def test_a_picture_of_another_kind_can_not_be_made(image):
    with pytest.raises(ValueError, match=r"Pixels\.image: expected uint8 \(H, W, 3\), got"):
        Pixels(image)


def test_a_source_that_failed_is_freed_before_the_next_one_is_opened():
    sources, was_freed = [], []

    def open_next(config):
        was_freed.extend(source() is None for source in sources[-1:])
        source = Failing(picture(), live=True)
        sources.append(weakref.ref(source))
        if len(sources) == 3:
            rig.stop.set()
        return source

    rig = Rig(URL, opener=open_next, stop=RecordingStop())
    gc.disable()
    logging.disable()
    try:
        rig.run()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    assert was_freed == [True, True]


def test_a_file_is_checked_with_the_same_rule(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip.mp4")
    monkeypatch.setattr("realtime.capture.open.open_source", lambda *_, **__: fail(UnicodeError("odd")))
    with pytest.raises(SourceError, match=r"^door: .*clip\.mp4: internal error: UnicodeError: odd$"):
        check_source(CameraConfig(name="door", source=str(path)))


def test_stamps_and_clocks_of_any_value_do_no_harm():
    """The numbers that a camera sends reach the timeline and the clock, which are our own code."""
    odd = [None, 0.0, -1e18, 1e18, 9.3e12, -0.0, 1e-300, 2**63 / 90000]
    pictures = [picture(media_s, wall_s=wall_s) for media_s, wall_s in itertools.product(odd, odd)]
    for url in ("rtsp://10.0.0.5/s1", URL):
        rig = Rig(url, *(ScriptedSource(*pictures, live=True) for _ in range(99)), enough=100, stop=RecordingStop())
        frames = rig.run()
        assert all(b.time_s > a.time_s for a, b in itertools.pairwise(frames) if a.epoch == b.epoch)


def test_a_guard_returns_the_result():
    assert Guard("door", "x").call(divmod, 7, 2, logs=True) == (3, 1)
