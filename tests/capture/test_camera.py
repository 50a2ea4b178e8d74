import itertools
import logging
import threading
import time

import cv2
import numpy as np
import pytest

from realtime.capture.camera import Camera
from realtime.capture.open import open_source
from realtime.capture.source import Picture
from realtime.capture.stream import StreamSource
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.observe.status import CameraStatus
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from tests.faults.fakecam import FakeCamera

from .clips import write_clip, write_noise


class FakeDoor:
    """Accepts each frame and counts it as published; stops the run after `enough` frames."""

    def __init__(self, stop, status, enough=None):
        self.stop, self.status, self.enough = stop, status, enough
        self.frames, self.finished, self.newest_wins, self.opened = [], False, None, False

    def attach(self, camera, newest_wins):
        self.newest_wins = newest_wins

    def wait_until_open(self):
        self.opened = True

    def put(self, frame):
        self.frames.append(frame)
        self.status.count_published(0.0)
        if self.enough is not None and len(self.frames) >= self.enough:
            self.stop.set()

    def finish(self, camera):
        self.finished = True


class FakeSource:
    """Plays a script: frames to return, None for the end, errors to raise."""

    fps = 10.0

    def __init__(self, *script, live=False, size=(64, 48)):
        self.script, self.live, self.size, self.closed = list(script), live, size, False

    def read(self):
        item = self.script.pop(0) if self.script else None
        if isinstance(item, Exception):
            raise item
        return item

    def close(self):
        self.closed = True


def picture(media_s=None, size=(64, 48), fault=None):
    return Picture(np.zeros((size[1], size[0], 3), np.uint8), media_s, fault)


def lost():
    return SourceError("source: connection lost", SourceReason.LOST)


class Rig:
    """A camera with a fake door, run on the calling thread."""

    def __init__(
        self,
        source,
        *openings,
        opener=open_source,
        enough=None,
        realtime=False,
        loop=False,
        max_frames=None,
        fail_fast=False,
    ):
        self.stop = threading.Event()
        self.status = CameraStatus("cam0")
        self.door = FakeDoor(self.stop, self.status, enough)
        self.states = []
        self.prepared = []  # each size, and the number of frames put before it
        set_state = self.status.set_state
        self.status.set_state = lambda *state: (self.states.append(state), set_state(*state))
        self.openings = list(openings)
        opener = self.open if openings else opener
        self.camera = Camera(
            CameraConfig(name="cam0", source=str(source)),
            realtime=realtime,
            loop=loop,
            max_frames=max_frames,
            fail_fast=fail_fast,
            door=self.door,
            status=self.status,
            stop=self.stop,
            prepare=lambda size: self.prepared.append((size, len(self.door.frames))),
            open_source=opener,
        )

    def open(self, config):
        opening = self.openings.pop(0)
        if isinstance(opening, Exception):
            raise opening
        return opening

    def run(self):
        self.camera.run()
        return self.door.frames

    @property
    def state(self):
        return self.status.state


def test_every_frame_of_a_file_is_put_in_order(tmp_path):
    rig = Rig(write_clip(tmp_path / "clip.mp4", frames=12))
    frames = rig.run()
    assert [f.index for f in frames] == list(range(12))
    assert {f.epoch for f in frames} == {0}
    assert [f.time_s for f in frames] == pytest.approx([i / 10 for i in range(12)], abs=0.001)
    assert [f.media_s for f in frames] == [f.time_s for f in frames]
    assert all(not f.image.flags.writeable for f in frames)
    assert (rig.status.captured, rig.status.dropped) == (12, 0)
    assert rig.status.size == (64, 48)
    assert rig.status.source_fps == pytest.approx(10)
    assert rig.states == [("live",), ("ended",)]
    assert rig.door.opened
    assert rig.door.finished
    assert rig.door.newest_wins is False


def test_each_loop_starts_an_epoch_and_the_index_continues(tmp_path):
    frames = Rig(write_clip(tmp_path / "clip.mp4", frames=4), loop=True, max_frames=10).run()
    assert [f.index for f in frames] == list(range(10))
    assert [f.epoch for f in frames] == [0] * 4 + [1] * 4 + [2] * 2
    assert all(b.time_s > a.time_s for a, b in itertools.pairwise(frames) if a.epoch == b.epoch)


def test_max_frames_also_counts_corrupt_frames():
    source = FakeSource(*(picture(i / 10, fault="corrupt" if i % 2 else None) for i in range(10)))
    rig = Rig("x", source, max_frames=5)
    assert [f.index for f in rig.run()] == [0, 2, 4]
    assert (rig.status.captured, dict(rig.status.drops)) == (5, {"corrupt": 2})
    assert source.closed


def test_a_new_frame_size_starts_an_epoch_and_updates_the_status():
    sizes = [(64, 48), (64, 48), (48, 64)]
    rig = Rig("x", FakeSource(*(picture(i / 10, size) for i, size in enumerate(sizes))))
    assert [f.epoch for f in rig.run()] == [0, 0, 1]
    assert rig.status.size == (48, 64)
    assert rig.prepared == [((64, 48), 0), ((48, 64), 2)]


def test_a_folder_of_images_is_read_in_natural_order_at_the_nominal_rate(tmp_path):
    for number in (10, 9, 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((24, 32, 3), number, np.uint8))
    frames = Rig(tmp_path).run()
    assert [int(f.image[0, 0, 0]) for f in frames] == [1, 9, 10]
    assert [f.time_s for f in frames] == pytest.approx([0, 1 / 30, 2 / 30])
    assert {f.media_s for f in frames} == {None}


def test_the_demo_ends_at_max_frames():
    assert len(Rig("demo", max_frames=3).run()) == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.mp4", r"^cam0: .*none\.mp4: no such file$"),
        ("none.png", r"^cam0: .*none\.png: no such file$"),
    ],
)
def test_the_error_for_a_file_that_cannot_be_opened_names_the_camera(tmp_path, name, says):
    rig = Rig(tmp_path / name)
    with pytest.raises(SourceError, match=says):
        rig.run()
    assert rig.state == ("failed", "missing")
    assert rig.door.finished


def test_a_truncated_file_fails_after_its_good_frames(tmp_path):
    path = write_noise(tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rig = Rig(path, loop=True)
    with pytest.raises(TruncatedError, match=r"^cam0: .*cut\.mp4 ended at .* the file is truncated$"):
        rig.run()
    assert 10 < len(rig.door.frames) == rig.status.captured - rig.status.drops["undecodable"]
    assert rig.state == ("failed", "the file is truncated")
    assert rig.door.finished


def test_an_unexpected_exception_is_raised():
    rig = Rig("x", FakeSource(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        rig.run()
    assert rig.state == ("failed", "internal error")
    assert rig.door.finished


def test_a_paced_file_plays_in_real_time_and_the_newest_frame_wins(tmp_path):
    rig = Rig(write_clip(tmp_path / "clip.mp4", frames=6, fps=20), realtime=True)
    frames = rig.run()
    assert rig.door.newest_wins is True
    # Frames are never early. How late they are depends on the machine.
    captured_s = [(f.captured_mono_ns - frames[0].captured_mono_ns) / 1e9 for f in frames]
    assert all(c >= f.time_s - 0.002 for c, f in zip(captured_s, frames, strict=True))


def test_a_paced_file_stops_without_waiting_for_the_next_frame():
    rig = Rig("x", FakeSource(picture(0.0), picture(3600.0)), enough=1, realtime=True)
    began_s = time.monotonic()
    assert len(rig.run()) == 1
    assert time.monotonic() - began_s < 60
    assert rig.door.finished


def test_a_camera_ends_without_an_error_when_the_door_closes(tmp_path):
    status, stop = CameraStatus("cam0"), threading.Event()
    door = Door(["cam0"], 1, 1.0, on_drop=lambda camera, cause: status.count_dropped(cause))
    camera = Camera(
        CameraConfig(name="cam0", source=str(write_clip(tmp_path / "clip.mp4"))),
        realtime=False,
        loop=True,
        max_frames=None,
        fail_fast=False,
        door=door,
        status=status,
        stop=stop,
    )
    thread = threading.Thread(target=camera.run)
    thread.start()
    door.take(timeout_s=10)
    door.stop()
    thread.join(10)
    assert not thread.is_alive()
    # One frame was taken, and all others are counted as dropped.
    assert status.unfinished() == 1
    status.set_state("ended")
    assert status.state[0] == "live"  # while one of its frames is unfinished
    status.count_published(0.0)
    assert status.state[0] == "ended"
    with pytest.raises(Closed):
        door.take()


def test_a_truncated_file_over_http_is_not_tried_again():
    cut = TruncatedError("it ended at 0.0 s of 4.0 s", SourceReason.TRUNCATED)
    rig = Rig("http://127.0.0.1/cut.mp4", cut)
    with pytest.raises(TruncatedError, match="cam0: it ended"):
        rig.run()
    assert rig.states[-1] == ("failed", "the file is truncated")


def test_a_lost_camera_is_reopened_in_a_new_epoch(caplog):
    caplog.set_level(logging.INFO)
    first = FakeSource(picture(5.0), picture(5.1), lost(), live=True)
    rig = Rig("http://u:pw@10.0.0.5/s1", first, FakeSource(picture(0.0), live=True), enough=3)
    frames = rig.run()
    assert [(f.epoch, f.index) for f in frames] == [(0, 0), (0, 1), (1, 2)]
    assert rig.states == [("live",), ("reconnecting", "connection lost"), ("live",)]
    assert rig.status.reconnects == 1
    assert first.closed
    assert [r.message for r in caplog.records] == [
        "cam0: opened http://***@10.0.0.5/s1, 64x48, 10 fps",
        "cam0: source: connection lost; trying again",
        "cam0: opened http://***@10.0.0.5/s1 again, 64x48, 10 fps",
    ]


def test_a_camera_that_is_down_at_the_start_is_retried_and_logged_once_per_reason(caplog, monkeypatch):
    monkeypatch.setattr("realtime.capture.backoff.FIRST_S", 0.01)
    monkeypatch.setattr("realtime.capture.backoff.LONGEST_S", 0.01)
    refused = [SourceError("x: connection refused", SourceReason.REFUSED) for _ in range(3)]
    silent = SourceError("x: timed out", SourceReason.TIMEOUT)
    rig = Rig("http://10.0.0.5/s1", *refused, silent, FakeSource(picture(0.0), live=True), enough=1)
    assert [f.epoch for f in rig.run()] == [0]
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "cam0: x: connection refused; trying again",
        "cam0: x: timed out; trying again",
    ]
    assert [s[0] for s in rig.states] == ["reconnecting", "reconnecting", "live"]


def test_fail_fast_raises_only_a_failure_of_the_first_opening():
    with pytest.raises(SourceError, match=r"^cam0: x: connection refused"):
        Rig("http://10.0.0.5/s1", SourceError("x: connection refused", SourceReason.REFUSED), fail_fast=True).run()
    openings = [FakeSource(picture(0.0), lost(), live=True), lost(), FakeSource(picture(0.0), live=True)]
    assert len(Rig("http://10.0.0.5/s1", *openings, enough=2, fail_fast=True).run()) == 2


def test_the_wait_for_a_lost_camera_ends_when_the_run_stops():
    rig = Rig("rtsp://10.0.0.5/s1", SourceError("x: login failed", SourceReason.AUTH))
    thread = threading.Thread(target=rig.run)
    thread.start()
    while rig.state[0] != "reconnecting":
        threading.Event().wait(0.001)
    rig.stop.set()
    thread.join(10)  # the wait is 30 s
    assert not thread.is_alive()
    assert rig.door.finished


def test_a_webcam_that_is_missing_at_the_start_fails_and_a_lost_one_is_reopened():
    missing = SourceError("webcam 0: not available", SourceReason.DEVICE)
    with pytest.raises(SourceError, match="cam0: webcam 0: not available"):
        Rig("0", missing).run()
    openings = [FakeSource(picture(), lost(), live=True), missing, FakeSource(picture(), live=True)]
    rig = Rig("0", *openings, enough=2)
    assert [f.epoch for f in rig.run()] == [0, 1]
    assert rig.door.newest_wins is True


def test_a_live_frame_without_a_timestamp_is_dropped_with_that_cause():
    source = FakeSource(picture(fault="no time stamp"), picture(0.04), live=True)
    rig = Rig("http://10.0.0.5/s1", source, enough=1)
    assert [f.index for f in rig.run()] == [1]
    assert dict(rig.status.drops) == {"no time stamp": 1}


def test_an_rtsp_camera_that_closes_the_connection_is_reopened_in_a_new_epoch():
    with FakeCamera() as server:
        rig = Rig(server.url())
        put = rig.door.put

        def kick_at_the_third(frame):
            put(frame)
            if len(rig.door.frames) == 3:
                server.kick()
            if frame.epoch == 1:
                rig.stop.set()

        rig.door.put = kick_at_the_third
        frames = rig.run()
    assert {f.epoch for f in frames} == {0, 1}
    assert rig.status.reconnects == 1
    assert rig.door.finished


def impatient(config):
    return StreamSource(config.address, network=True, open_timeout_s=0.3)


@pytest.mark.parametrize("fault", ["login", "path", "silent", "refused"])
def test_no_fault_of_a_camera_prints_its_password(caplog, capfd, fault):
    caplog.set_level(logging.DEBUG)
    with FakeCamera(login=("someone", "else") if fault == "login" else None, silent=fault == "silent") as server:
        url = server.url("operator:Tr0ub%344dor%26@", path="/nope" if fault == "path" else "/cam")
        if fault == "refused":
            url = url.replace(f":{server.port}/", ":1/")
        rig = Rig(url, opener=impatient)
        set_state = rig.status.set_state
        rig.status.set_state = lambda *state: (set_state(*state), rig.stop.set())
        rig.run()
        with pytest.raises(SourceError) as caught:
            Rig(url, opener=impatient, fail_fast=True).run()
    shown = f"{caplog.text} {capfd.readouterr()} {rig.states} {caught.value!r} {caught.value.__context__!r}"
    assert "cam0: rtsp://***@127.0.0.1" in shown
    for secret in ("operator", "Tr0ub", "dor"):
        assert secret not in shown


class HangingSource(FakeSource):
    """Hangs in its second read until `let_go` is set, like a webcam driver that hangs."""

    def __init__(self, let_go):
        super().__init__(picture(), picture(), picture(), live=True)
        self.let_go = let_go

    def read(self):
        if len(self.script) == 2:
            self.let_go.wait(10)
        return super().read()


def test_a_camera_whose_read_hangs_is_reported_as_reconnecting_until_frames_arrive_again(monkeypatch):
    monkeypatch.setattr("realtime.capture.camera.GRACE_S", -1.9)  # shortens the silence limit, which is 2 s, to 0.1 s
    let_go = threading.Event()
    rig = Rig("rtsp://127.0.0.1/cam", HangingSource(let_go), enough=3)
    thread = threading.Thread(target=rig.run)
    thread.start()
    until(lambda: len(rig.door.frames) == 1)
    assert not rig.status.check_silence()
    until(rig.status.check_silence)
    assert rig.state == ("reconnecting", "timed out")
    assert not rig.status.check_silence()  # reported only once
    let_go.set()
    thread.join(5)
    assert rig.states[1:] == [("live",)]
    assert (rig.status.reconnects, len(rig.door.frames)) == (1, 3)


def test_a_camera_that_opens_and_stays_silent_is_reopened_after_the_shortest_wait(monkeypatch):
    # Each opening counts as healthy, like that of a real silent camera, which is lost only after about 2 s.
    monkeypatch.setattr("realtime.capture.camera.HEALTHY_S", 0.0)
    rig = Rig(
        "rtsp://127.0.0.1/cam",
        *[FakeSource(lost(), live=True) for _ in range(6)],
        FakeSource(picture(), live=True),
        enough=1,
    )
    began_s = time.monotonic()
    rig.run()
    assert time.monotonic() - began_s < 6 * 0.25 * 1.2 + 1.0  # six short waits, not 0.25 + 0.5 + 1 + 2 + 4 + 5 s


def until(condition, timeout_s=5.0):
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "timed out"
        time.sleep(0.005)
