import gc
import itertools
import logging
import threading
import weakref

import cv2
import numpy as np
import pytest

from realtime.capture.backoff import FIRST_S, JITTER
from realtime.capture.clock_bars import read_clock
from realtime.capture.stream import StreamSource
from realtime.errors import SourceError, SourceReason, TruncatedError
from realtime.runtime.channel import Closed
from realtime.runtime.door import Door
from tests.doubles import wait_until
from tests.faults.fakecam import FakeCamera

from .clips import write_clip, write_noise
from .rig import GIVE_UP_S, RecordingStop, Rig, ScriptedSource, lost, picture


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
    assert rig.opened
    assert rig.finished
    assert rig.newest_wins is False


def test_each_loop_starts_an_epoch_and_the_index_continues(tmp_path):
    frames = Rig(write_clip(tmp_path / "clip.mp4", frames=4), loop=True, max_frames=10).run()
    assert [f.index for f in frames] == list(range(10))
    assert [f.epoch for f in frames] == [0] * 4 + [1] * 4 + [2] * 2
    assert all(b.time_s > a.time_s for a, b in itertools.pairwise(frames) if a.epoch == b.epoch)


def test_max_frames_also_counts_corrupt_frames():
    source = ScriptedSource(*(picture(i / 10, fault="corrupt" if i % 2 else None) for i in range(10)))
    rig = Rig("x", source, max_frames=5)
    assert [f.index for f in rig.run()] == [0, 2, 4]
    assert (rig.status.captured, dict(rig.status.drops)) == (5, {"corrupt": 2})
    assert source.closed


@pytest.mark.parametrize(
    ("declared", "is_live", "options", "ends", "length"),
    [
        (100, False, {}, True, 100),
        (None, False, {}, True, None),
        (100, False, {"max_frames": 30}, True, 30),
        (20, False, {"max_frames": 30}, True, 20),
        (None, False, {"max_frames": 30}, True, 30),  # it may end earlier
        (100, False, {"loop": True}, False, None),
        (100, False, {"loop": True, "max_frames": 300}, True, 300),
        (None, True, {}, False, None),
        (None, True, {"max_frames": 30}, False, None),  # it is shown as any live camera
    ],
)
def test_the_status_tells_whether_a_source_ends_and_after_how_many_frames(declared, is_live, options, ends, length):
    source = ScriptedSource(picture(0.0), live=is_live)
    source.length = declared
    rig = Rig("rtsp://camera/1" if is_live else "x", source, enough=1, **options)
    rig.run()
    assert (rig.status.ends, rig.status.length) == (ends, length)


def test_a_source_that_declares_no_length_has_none():
    rig = Rig("x", ScriptedSource(picture(0.0)))
    rig.run()
    assert (rig.status.ends, rig.status.length) == (True, None)
    demo = Rig("demo", ScriptedSource(picture(0.0)))
    demo.run()
    assert (demo.status.ends, demo.status.length) == (False, None)


def test_frames_are_counted_from_the_start_of_a_source_also_if_the_camera_had_another_one():
    rig = Rig("x", ScriptedSource(*(picture(i / 10) for i in range(4))))
    assert rig.status.done() == 0
    rig.run()
    assert rig.status.done() == 4
    rig.status.begin(ends=True, length=10)
    assert rig.status.done() == 0


def test_a_camera_that_sends_no_key_frame_yet_says_what_it_waits_for():
    waiting = [picture(fault="waiting for a key frame")] * 3
    first = ScriptedSource(*waiting, picture(0.0), picture(0.1), lost(), live=True)
    rig = Rig("rtsp://camera/1", first, ScriptedSource(*waiting, picture(0.0), live=True))
    seen, explain = [], rig.status.explain
    rig.status.explain = lambda reason: (explain(reason), seen.append(rig.status.state))
    rig.run()
    assert seen == [("starting", "waiting for a key frame")] * 3 + [("reconnecting", "waiting for a key frame")] * 3
    assert rig.status.drops["waiting for a key frame"] == 6
    assert [state[0] for state in rig.states] == ["live", "reconnecting", "live", "ended"]


def test_a_new_frame_size_starts_an_epoch_and_updates_the_status():
    sizes = [(64, 48), (64, 48), (48, 64)]
    rig = Rig("x", ScriptedSource(*(picture(i / 10, size) for i, size in enumerate(sizes))))
    assert [f.epoch for f in rig.run()] == [0, 0, 1]
    assert rig.status.size == (48, 64)
    assert rig.prepared == [((64, 48), False, 0), ((48, 64), False, 2), (None, False, len(rig.frames))]


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
    assert rig.finished


def test_a_truncated_file_fails_after_its_good_frames(tmp_path):
    path = write_noise(tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    rig = Rig(path, loop=True)
    with pytest.raises(TruncatedError, match=r"^cam0: .*cut\.mp4 ended at .* the file is truncated$"):
        rig.run()
    assert 10 < len(rig.frames) == rig.status.captured - rig.status.drops["undecodable"]
    assert rig.state == ("failed", "the file is truncated")
    assert rig.finished


def test_an_exception_beyond_the_source_is_raised():
    rig = Rig("http://10.0.0.5/s1", ScriptedSource(picture(), live=True), enough=lambda frame: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        rig.run()
    assert rig.state == ("failed", "internal error")
    assert rig.finished


def test_a_paced_file_plays_in_real_time_and_the_newest_frame_wins(tmp_path):
    rig = Rig(write_clip(tmp_path / "clip.mp4", frames=6, fps=20), realtime=True)
    frames = rig.run()
    assert rig.newest_wins is True
    # Frames are never early. How late they are depends on the machine.
    captured_s = [(f.captured_mono_ns - frames[0].captured_mono_ns) / 1e9 for f in frames]
    assert all(c >= f.time_s - 0.002 for c, f in zip(captured_s, frames, strict=True))


def test_the_bar_code_of_a_paced_demo_is_the_time_of_capture():
    frames = Rig("demo:clock", realtime=True, enough=3).run()
    assert [read_clock(frame.image) for frame in frames] == [round(frame.captured_unix_ns / 1e6) for frame in frames]


def test_the_bar_code_can_be_read_however_the_picture_is_cut_and_turned():
    rig = Rig("demo:clock", realtime=True, enough=1, rotate=90, crop_xyxy=(100, 100, 600, 900), resize=640)
    assert read_clock(rig.run()[0].image) is not None


def test_a_paced_file_stops_without_waiting_for_the_next_frame():
    rig = Rig("x", ScriptedSource(picture(0.0), picture(3600.0)), enough=1, realtime=True)
    assert len(rig.run()) == 1
    assert rig.finished


def test_a_camera_ends_without_an_error_when_the_door_closes(tmp_path):
    door = Door(["cam0"], 1, 1.0, on_drop=lambda camera, cause: rig.status.count_dropped(cause))
    rig = Rig(write_clip(tmp_path / "clip.mp4"), loop=True, door=door)
    rig.start()
    door.take(timeout_s=10)
    door.stop()
    rig.join()
    # One frame was taken, and all others are counted as dropped.
    assert rig.status.unfinished() == 1
    rig.status.set_state("ended")
    assert rig.state[0] == "live"  # while one of its frames is unfinished
    rig.status.count_published(0.0)
    assert rig.state[0] == "ended"
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
    first = ScriptedSource(picture(5.0), picture(5.1), lost(), live=True)
    rig = Rig("http://u:pw@10.0.0.5/s1", first, ScriptedSource(picture(0.0), live=True), enough=3)
    frames = rig.run()
    assert [(f.epoch, f.index) for f in frames] == [(0, 0), (0, 1), (1, 2)]
    assert rig.states == [("live",), ("reconnecting", "connection lost"), ("live",)]
    assert rig.status.reconnects == 1
    assert first.closed
    assert [r.message for r in caplog.records] == [
        "cam0: opened http://***@10.0.0.5/s1, 64x48, 10 fps",
        "cam0: source: connection lost; trying again",
        "cam0: opened http://***@10.0.0.5/s1 again, 64x48, 10 fps",
        "cam0: live again",
    ]
    keys = [[vars(record).get(key) for key in ("camera", "state", "reason", "cause")] for record in caplog.records]
    assert keys == [
        ["cam0", None, None, None],
        ["cam0", "reconnecting", "connection lost", None],
        ["cam0", None, None, None],
        ["cam0", "live", None, None],
    ]


def test_a_camera_that_is_down_at_the_start_is_retried_and_logged_once_per_reason(caplog, monkeypatch):
    monkeypatch.setattr("realtime.capture.backoff.FIRST_S", 0.01)
    monkeypatch.setattr("realtime.capture.backoff.LONGEST_S", 0.01)
    refused = [SourceError("x: connection refused", SourceReason.REFUSED) for _ in range(3)]
    silent = SourceError("x: timed out", SourceReason.TIMEOUT)
    rig = Rig("http://10.0.0.5/s1", *refused, silent, ScriptedSource(picture(0.0), live=True), enough=1)
    assert [f.epoch for f in rig.run()] == [0]
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "cam0: x: connection refused; trying again",
        "cam0: x: timed out; trying again",
    ]
    assert [s[0] for s in rig.states] == ["reconnecting", "reconnecting", "live"]


def test_fail_fast_raises_only_a_failure_of_the_first_opening():
    with pytest.raises(SourceError, match=r"^cam0: x: connection refused"):
        Rig("http://10.0.0.5/s1", SourceError("x: connection refused", SourceReason.REFUSED), fail_fast=True).run()
    openings = [ScriptedSource(picture(0.0), lost(), live=True), lost(), ScriptedSource(picture(0.0), live=True)]
    assert len(Rig("http://10.0.0.5/s1", *openings, enough=2, fail_fast=True).run()) == 2


def test_the_wait_for_a_lost_camera_ends_when_the_run_stops():
    rig = Rig("rtsp://10.0.0.5/s1", SourceError("x: login failed", SourceReason.AUTH))
    rig.start()
    wait_until(lambda: rig.state[0] == "reconnecting")
    rig.stop.set()
    rig.join()
    assert rig.finished


def test_a_webcam_that_is_missing_at_the_start_fails_and_a_lost_one_is_reopened():
    missing = SourceError("webcam 0: not available", SourceReason.DEVICE)
    with pytest.raises(SourceError, match="cam0: webcam 0: not available"):
        Rig("0", missing).run()
    openings = [ScriptedSource(picture(), lost(), live=True), missing, ScriptedSource(picture(), live=True)]
    rig = Rig("0", *openings, enough=2)
    assert [f.epoch for f in rig.run()] == [0, 1]
    assert rig.newest_wins is True


def test_a_live_frame_without_a_timestamp_is_dropped_with_that_cause():
    source = ScriptedSource(picture(fault="no time stamp"), picture(0.04), live=True)
    rig = Rig("http://10.0.0.5/s1", source, enough=1)
    assert [f.index for f in rig.run()] == [1]
    assert dict(rig.status.drops) == {"no time stamp": 1}


def test_an_rtsp_camera_that_closes_the_connection_is_reopened_in_a_new_epoch():
    with FakeCamera() as server:

        def enough(frame):
            if len(rig.frames) == 3:
                server.kick()
            return frame.epoch == 1

        rig = Rig(server.url(), enough=enough)
        frames = rig.run()
    assert {f.epoch for f in frames} == {0, 1}
    assert rig.status.reconnects == 1
    assert rig.finished


def impatient(config):
    return StreamSource(config.address, network=True, open_timeout_s=0.3)


@pytest.mark.parametrize("fault", ["login", "path", "silent", "refused"])
def test_no_fault_of_a_camera_prints_its_password(caplog, capfd, fault):
    caplog.set_level(logging.DEBUG)
    with FakeCamera(login=("someone", "else") if fault == "login" else None, silent=fault == "silent") as server:
        url = server.url("operator:Tr0ub%344dor%26@", path="/nope" if fault == "path" else "/cam")
        if fault == "refused":
            url = url.replace(f":{server.port}/", ":1/")
        rig = Rig(url, opener=impatient, until_lost=True)
        rig.run()
        with pytest.raises(SourceError) as caught:
            Rig(url, opener=impatient, fail_fast=True).run()
    shown = f"{caplog.text} {capfd.readouterr()} {rig.states} {caught.value!r} {caught.value.__context__!r}"
    assert "cam0: rtsp://***@127.0.0.1" in shown
    for secret in ("operator", "Tr0ub", "dor"):
        assert secret not in shown


class HangingSource(ScriptedSource):
    """Hangs in its second read until `let_go` is set, like a webcam driver that hangs."""

    def __init__(self, let_go):
        super().__init__(picture(), picture(), picture(), live=True)
        self.let_go = let_go

    def read(self):
        if len(self.script) == 2:
            self.let_go.wait(GIVE_UP_S)
        return super().read()


def test_a_camera_whose_read_hangs_is_reported_as_reconnecting_until_frames_arrive_again(monkeypatch):
    monkeypatch.setattr("realtime.capture.camera.GRACE_S", -1.9)  # shortens the silence limit, which is 2 s, to 0.1 s
    let_go = threading.Event()
    rig = Rig("rtsp://127.0.0.1/cam", HangingSource(let_go), enough=3)
    rig.start()
    wait_until(lambda: len(rig.frames) == 1)
    assert not rig.status.check_silence()
    wait_until(rig.status.check_silence)
    assert rig.state == ("reconnecting", "timed out")
    assert not rig.status.check_silence()  # reported only once
    let_go.set()
    rig.join()
    assert rig.states[1:] == [("live",)]
    assert (rig.status.reconnects, len(rig.frames)) == (1, 3)


def test_a_camera_that_opens_and_stays_silent_is_reopened_after_the_shortest_wait(monkeypatch):
    # Each opening counts as healthy, like that of a real silent camera, which is lost only after about 2 s.
    monkeypatch.setattr("realtime.capture.camera.HEALTHY_S", 0.0)
    stop = RecordingStop()
    openings = [ScriptedSource(lost(), live=True) for _ in range(6)]
    Rig("rtsp://127.0.0.1/cam", *openings, ScriptedSource(picture(), live=True), enough=1, stop=stop).run()
    assert stop.waits == [0.0] + [pytest.approx(FIRST_S, rel=JITTER + 1e-9)] * 6


def test_a_source_is_freed_before_the_next_one_is_opened_whatever_ended_it():
    sources, was_freed = [], []

    def open_next(config):
        was_freed.extend(source() is None for source in sources[-1:])
        source = ScriptedSource(picture(), live=True)
        sources.append(weakref.ref(source))
        if len(sources) == 3:
            rig.stop.set()
        return source

    crop = {"crop_xyxy": [0, 0, 999, 999]}  # reaches beyond the image, so each frame is the last one
    rig = Rig("http://127.0.0.1/video", opener=open_next, stop=RecordingStop(), **crop)
    gc.disable()
    logging.disable()  # pytest keeps log records, and with them the errors and their frames
    try:
        rig.run()
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
    assert was_freed == [True, True]


def test_a_rate_that_the_source_measures_later_is_published():
    class Measuring(ScriptedSource):
        def read(self):
            self.fps = 12.5 if len(self.script) <= 3 else None
            return super().read()

    source = Measuring(*(picture(k / 12.5) for k in range(5)), lost(), live=True, fps=None)
    rig = Rig("http://10.0.0.5/s1", source, until_lost=True)
    seen = []
    rig.enough = lambda frame: seen.append(rig.status.source_fps)
    rig.run()
    assert seen == [None, None, None, 12.5, 12.5]
