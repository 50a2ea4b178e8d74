"""Pictures of live cameras are converted only when their frames enter, by the thread that takes them from the door."""

import gc
import threading
import weakref

import av
import numpy as np
import pytest

from realtime.capture.camera import Camera
from realtime.capture.convert import Converter
from realtime.capture.source import Picture, Pixels
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason
from realtime.observe.status import CameraStatus
from realtime.runtime.door import Door

from .rig import GIVE_UP_S, RecordingStop, Rig, ScriptedSource, lost


class Decoded(Pixels):
    """A picture that notes when it is converted, and may fail then."""

    def __init__(self, converted=None, number=0, error=None):
        super().__init__(np.full((48, 64, 3), number % 256, np.uint8))
        self._converted, self._number, self._error = converted if converted is not None else [], number, error

    def bgr(self):
        self._converted.append(self._number)
        if self._error is not None:
            raise self._error
        return super().bgr()


class Held(ScriptedSource):
    """A live source that stays open at the end of its script until it is released. `is_idle` is set then."""

    def __init__(self, *script, **keys):
        super().__init__(*script, live=True, **keys)
        self.is_idle, self.release = threading.Event(), threading.Event()

    def read(self):
        if not self.script:
            self.is_idle.set()
            assert self.release.wait(GIVE_UP_S)
        return super().read()


class Captured:
    """Cameras by name that put the pictures of their sources at one door, each on a thread of its own."""

    def __init__(self, **openings):
        self.status = {name: CameraStatus(name) for name in openings}
        self.door = Door([*openings], 2, 1e9, on_drop=lambda camera, cause: self.status[camera].count_dropped(cause))
        self.stop = RecordingStop()  # reopens at once
        self.threads = [threading.Thread(target=self._run, args=item, daemon=True) for item in openings.items()]
        for thread in self.threads:
            thread.start()

    def _run(self, name, openings):
        Camera(
            CameraConfig(name=name, source="rtsp://10.0.0.5/s1"),
            realtime=False,
            loop=False,
            max_frames=None,
            fail_fast=False,
            door=self.door,
            status=self.status[name],
            stop=self.stop,
            open_source=lambda config: openings.pop(0) if openings else self._end(name),
        ).run()

    def _end(self, name):
        self.stop.set()
        raise lost()

    def take(self):
        """Take and publish what waits."""
        frames = self.door.take(GIVE_UP_S)
        for frame in frames:
            self.status[frame.camera].count_published(0.0)
            self.door.leave(frame.camera)
        return frames

    def end(self, *sources):
        self.stop.set()
        for source in sources:
            source.release.set()
        for thread in self.threads:
            thread.join(GIVE_UP_S)
            assert not thread.is_alive()
        self.door.stop()
        for status in self.status.values():
            assert status.captured == status.dropped + status.published


def pictures(count, converted, start=0):
    return [Picture(Decoded(converted, number), number / 10) for number in range(start, start + count)]


def test_only_the_frame_that_enters_is_converted_and_not_on_the_capture_thread():
    converted = []
    source = Held(*pictures(5, converted))
    captured = Captured(cam0=[source])
    assert source.is_idle.wait(GIVE_UP_S)
    assert converted == []
    (frame,) = captured.take()
    assert converted == [4]
    assert frame.index == 4
    assert frame.image.flags.c_contiguous
    assert not frame.image.flags.writeable
    assert (frame.image == 4).all()
    captured.end(source)
    assert dict(captured.status["cam0"].drops) == {"newer frame": 4}


def test_a_frame_that_waits_outlives_its_source():
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 70, np.uint8), "bgr24").reformat(format="yuv420p")
    first, second = ScriptedSource(Picture(Converter("x")(frame), 0.0), lost(), live=True), Held()
    del frame
    captured = Captured(cam0=[first, second])
    assert second.is_idle.wait(GIVE_UP_S)
    assert first.closed
    (taken,) = captured.take()
    assert np.abs(taken.image.astype(int) - 70).max() <= 5
    captured.end(second)


def test_pictures_that_target_fps_drops_are_never_converted():
    converted = []
    rig = Rig("rtsp://10.0.0.5/s1", ScriptedSource(*pictures(50, converted), live=True), target_fps=1)
    frames = rig.run()
    assert converted == [round(frame.media_s * 10) for frame in frames]
    assert len(converted) == 6
    assert dict(rig.status.drops) == {"target_fps": 44}


def test_replaced_frames_are_freed_unconverted():
    converted, alive = [], weakref.WeakSet()

    class Endless(Held):
        def read(self):
            if (number := len(self.numbers)) < 1000:
                self.numbers.append(number)
                alive.add(decoded := Decoded(converted, number))
                self.most = max(self.most, len(alive))
                return Picture(decoded, number / 10)
            return super().read()

        numbers, most = [], 0

    source = Endless()
    gc.disable()
    try:
        captured = Captured(cam0=[source])
        assert source.is_idle.wait(GIVE_UP_S)
    finally:
        gc.enable()
    assert source.most <= 4  # the one that waits, the one that replaces it, and the one that was just read
    assert converted == []
    captured.take()
    captured.end(source)
    assert dict(captured.status["cam0"].drops) == {"newer frame": 999}


def test_a_conversion_that_fails_reopens_its_camera_and_no_other():
    error = SourceError("x: can't be decoded", SourceReason.CODEC)
    bad = Held(Picture(Decoded(error=error), 0.0))
    good, again = Held(Picture(Decoded(), 0.0)), Held(Picture(Decoded(), 1.0))
    captured = Captured(bad=[bad, again], good=[good])
    for source in (bad, good):
        assert source.is_idle.wait(GIVE_UP_S)
    assert [frame.camera for frame in captured.take()] == ["good"]
    assert dict(captured.status["bad"].drops) == {"undecodable": 1}
    assert captured.status["bad"].state == ("live", None)  # told by the next picture
    bad.script.append(Picture(Decoded(), 0.1))
    bad.release.set()
    assert again.is_idle.wait(GIVE_UP_S)
    assert bad.closed
    assert not good.closed
    assert [(frame.camera, frame.epoch) for frame in captured.take()] == [("bad", 1)]
    assert dict(captured.status["bad"].losses) == {"can't be decoded": 1}
    assert not captured.status["good"].drops
    captured.end(good, again)


def test_a_live_stream_in_a_pixel_format_that_can_not_be_converted_reconnects():
    def odd():
        return Picture(Converter("x")(av.VideoFrame(64, 48, "bayer_rggb8")), 0.0)

    openings = [ScriptedSource(odd(), odd(), live=True), ScriptedSource(Picture(Decoded(), 0.0), live=True)]
    rig = Rig("rtsp://10.0.0.5/s1", *openings, enough=1, stop=RecordingStop())
    rig.run()
    assert rig.states == [("live",), ("reconnecting", "can't be decoded"), ("live",)]
    assert dict(rig.status.drops) == {"undecodable": 1}
    assert rig.status.captured == rig.status.dropped + rig.status.published


def test_a_frame_of_a_lost_connection_that_can_not_be_converted_does_not_end_the_next_one():
    error = SourceError("x: can't be decoded", SourceReason.CODEC)
    first, second = ScriptedSource(Picture(Decoded(error=error), 0.0), lost(), live=True), Held()
    captured = Captured(cam0=[first, second])
    assert second.is_idle.wait(GIVE_UP_S)
    assert captured.take() == []
    second.script += [Picture(Decoded(number=7), 1.0)]
    second.release.set()
    (frame,) = captured.take()
    assert (frame.image == 7).all()
    assert dict(captured.status["cam0"].drops) == {"undecodable": 1}
    captured.end(second)


@pytest.mark.parametrize("options", [{"rotate": 90}, {"crop_xyxy": (0, 0, 30, 20)}, {"resize": 32}])
def test_the_view_is_made_when_the_frame_enters(options):
    rig = Rig("rtsp://10.0.0.5/s1", ScriptedSource(Picture(Decoded(), 0.0), live=True), **options)
    (frame,) = rig.run()
    assert frame.size == rig.prepared[0][0]
    assert frame.image.flags.c_contiguous
