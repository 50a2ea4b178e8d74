"""How old frames are that come stored, in bursts or in segments, by the numbers in them: `make faults`.

The numbers in the test names are the cases of the table in docs/reliability.md.
"""

import signal
import time

import numpy as np
import pytest

from realtime.capture.stream import StreamSource

from .fakecam import CameraProcess, FakeCamera
from .flvcam import RTMP_MODULE, FlvCamera, rtmp_server
from .hlscam import HlsCamera
from .rig import Program, Run

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]


def test_14_stored_video_that_is_read_with_hiccups_is_not_published(tmp_path, figure, monkeypatch):
    # As on a loaded machine: in the burst, every 6th frame comes half a second late.
    read, count = StreamSource.read, iter(range(10_000))

    def read_with_hiccups(source):
        n = next(count)
        if n < 60 and n % 6 == 5:
            time.sleep(0.25)
        return read(source)

    monkeypatch.setattr(StreamSource, "read", read_with_hiccups)
    with CameraProcess() as camera:
        camera.command("backlog 3")
        with Run({"cam0": camera.url()}, tmp_path) as run:
            run.until_pose()
            run.run_for(3)
            ages = run.ages_s(camera.clock)
            figure("14", "stored video read with hiccups: oldest frame published", 1e3 * np.nanmax(ages[:25]), "ms",
                   at_most=500)  # fmt: skip


@pytest.mark.skipif(not RTMP_MODULE.exists(), reason="needs nginx with RTMP: apt-get install nginx libnginx-mod-rtmp")
def test_14_the_first_frame_over_rtmp_is_fresh(tmp_path, figure):
    camera = FlvCamera()
    with rtmp_server(camera, tmp_path) as url, Run({"cam0": url}, tmp_path) as run:
        run.until_pose()
        run.run_for(3)
        figure("14", "RTMP: age of the first frame", 1e3 * run.ages_s(camera.clock)[0], "ms", at_most=500)


def test_14_stored_frames_over_http_flv_are_dropped(tmp_path, figure):
    with FlvCamera(stored_s=3.0) as camera, Run({"cam0": camera.url()}, tmp_path) as run:
        run.until_pose()
        run.run_for(3)
        figure("14", "FLV over HTTP with 3 s of stored video: age of the first frame",
               1e3 * run.ages_s(camera.clock)[0], "ms", at_most=500)  # fmt: skip
        assert run.pipeline.status["cam0"].drops["stored before the start"] > 50


def test_18_a_camera_clock_that_is_ahead_is_not_published(tmp_path, figure, log):
    with FakeCamera(clock_offset_s=14.0, key_every=25) as camera, Run({"cam0": camera.url()}, tmp_path) as run:
        run.until_pose()
        run.run_for(4)
        ahead_s = max(
            told.body["captured_ns"] / 1e9 - time.time() + time.monotonic() - told.at_s for told in run.poses()
        )
        assert {told.body["clock"] for told in run.poses()} == {"arrival"}
    figure("18", "clock 14 s ahead: captured_ns later than the reader's clock by", 1e3 * ahead_s, "ms", at_most=0)
    assert len(log.of("ahead, using arrival time")) == 1


@pytest.mark.parametrize("dates", [True, False], ids=["dates", "no-dates"])
def test_42_live_hls_is_published_evenly(dates, tmp_path, figure, request):
    kind = f"HLS, segments of 2 s, {'with' if dates else 'without'} dates"
    with HlsCamera(tmp_path, size=(320, 240), segment_s=2.0, has_dates=dates) as camera:
        time.sleep(5)  # a playlist with several segments
        with Run({"cam0": camera.url()}, tmp_path) as run:
            opened_s = time.monotonic()
            run.until_pose()
            figure("45", f"{kind}: first pose after", time.monotonic() - opened_s, "s", at_most=5)
            run.run_for(16)
            poses, ages = run.poses(), run.ages_s(camera.clock)
            numbers = [run.seen["cam0", told.body["frame"]][0] for told in poses]
            figure("45", f"{kind}: share of frames published", 100 * len(poses) / (numbers[-1] - numbers[0] + 1), "%",
                   at_least=98)  # fmt: skip
            figure("45", f"{kind}: highest age", np.nanmax(ages), "s", at_most=4)
            figure("45", f"{kind}: longest gap", max(np.diff([told.at_s for told in poses])), "s", at_most=1)
            left_s = [camera.clock.left_unix_s(number) for number in numbers]
            told_s = [told.body["captured_ns"] / 1e9 for told in poses]
            figure("45", f"{kind}: largest error of captured_ns", max(np.abs(np.subtract(told_s, left_s))), "s",
                   at_most=0.2 if dates else 1)  # fmt: skip
            assert {told.body["clock"] for told in poses} == {"playlist" if dates else "arrival"}


def test_42_hls_that_stalls_is_reported_and_no_old_frame_is_published_again(tmp_path, figure):
    keys = {"read_timeout_s": 3, "open_timeout_s": 3}
    with (
        HlsCamera(tmp_path, segment_s=1.0) as camera,
        Run({"cam0": {"source": camera.url(), **keys}}, tmp_path) as run,
    ):
        run.until_pose()
        run.run_for(2)
        camera.freeze()
        frozen_s = time.monotonic()
        away = run.until_state("reconnecting", since_s=frozen_s)
        assert away.body["reason"] == "timed out"
        figure("45", "HLS stalls: reported after (read_timeout_s 3)", away.at_s - frozen_s, "s", at_most=6)
        run.run_for(8)
        figure("45", "HLS stalls: poses published meanwhile", len(run.poses(since_s=away.at_s + 0.1)), "", at_most=0)
        camera.thaw()
        thawed_s = time.monotonic()
        back = run.until_pose(since_s=thawed_s)
        figure("45", "HLS stalls: first pose after it resumes", back.at_s - thawed_s, "s", at_most=10)


@pytest.mark.parametrize("stalls", [False, True], ids=["plays", "stalls"])
def test_27_sigterm_ends_a_run_that_reads_hls(stalls, tmp_path, figure):
    with HlsCamera(tmp_path, segment_s=2.0) as camera, Program("--source", camera.url(), folder=tmp_path) as program:
        program.until_pose()
        if stalls:
            camera.freeze()
            program.run_for(4)
        code, took_s = program.end(signal.SIGTERM)
        figure(
            "27", f"SIGTERM while HLS {'stalls' if stalls else 'plays'}: program exits after", took_s, "s", at_most=3
        )
        assert code == 0


def test_27_sigterm_ends_a_run_that_opens_hls(tmp_path, figure):
    with HlsCamera(tmp_path, segment_s=2.0) as camera:
        camera.wait_s = 30.0
        with Program("--source", camera.url(), folder=tmp_path) as program:
            program.until_state("starting")
            program.run_for(1)
            code, took_s = program.end(signal.SIGTERM)
            figure("27", "SIGTERM while HLS opens: program exits after", took_s, "s", at_most=3)
            assert code == 0
