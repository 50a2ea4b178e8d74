"""Case 15 of docs/reliability.md, damaged streams over UDP: every whole frame is published, and no other."""

import time
from contextlib import contextmanager

import numpy as np
import pytest

from .fakecam import CameraProcess
from .rig import Run

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

WINDOW_S = 16.0
FPS = 25


@contextmanager
def watched_over_udp(folder, *arguments):
    """Yield a camera that sends over UDP and a run that reads it, once the first pose has arrived, and its time."""
    with (
        CameraProcess("--transport=udp", "--size=320x240", *arguments) as camera,
        Run({"cam0": {"source": camera.url(), "transport": "udp"}}, folder) as run,
    ):
        yield camera, run, run.until_pose().at_s


def published(run, since_s, until_s):
    """Return the numbers in the frames published within this time; None for a number that can't be read."""
    told = [told for told in run.poses(since_s=since_s) if told.at_s < until_s]
    return [run.seen["cam0", one.body["frame"]][0] for one in told]


def share(run, since_s, until_s, sent):
    """Return the percentage of the sent frames that were published whole, and check that no other was."""
    numbers = published(run, since_s, until_s)
    assert None not in numbers
    return 100 * len(numbers) / sent


def test_15_a_camera_that_halves_its_rate_loses_no_frame(tmp_path, figure):
    halved = "--size=320x240", "--coding=plain", "--coding=half-rate", "--key-every=100", "--loop=20"
    with watched_over_udp(tmp_path, *halved) as (camera, run, first_s):
        camera.command("clip 1")  # with the next key frame, at most 4 s later
        run.until(lambda: time.monotonic() >= first_s + WINDOW_S, WINDOW_S + 5)
        numbers = published(run, first_s, first_s + WINDOW_S)
        steps = np.diff([n for n in numbers if n is not None]) % camera.clock.loop
        changed = int(np.argmax(steps == 2))  # the first frame at half the rate
        assert 0 < changed < 150
        sent = changed + (WINDOW_S * FPS - changed) / 2
        figure("15", "UDP, rate halved: share of frames published whole", 100 * len(numbers) / sent, "%", at_least=95)
        assert None not in numbers
        assert run.pipeline.status["cam0"].reconnects == 0


def test_15_a_camera_whose_timestamps_are_in_decode_order_loses_no_frame(tmp_path, figure):
    with watched_over_udp(tmp_path, "--coding=decode-order") as (_, run, first_s):
        run.until(lambda: time.monotonic() >= first_s + WINDOW_S, WINDOW_S + 5)
        rate = share(run, first_s, first_s + WINDOW_S, WINDOW_S * FPS)
        figure("15", "UDP, timestamps in decode order: share of frames published whole", rate, "%", at_least=95)


@pytest.mark.parametrize("coding", ["intra-refresh", "silent-refresh"])
def test_15_with_intra_refresh_damage_ends_without_a_key_frame(coding, tmp_path, figure):
    kind = "intra refresh" if coding == "intra-refresh" else "unannounced intra refresh"
    # A key frame every 12 s; only the announced refresh is joined between two of them.
    with watched_over_udp(tmp_path, f"--coding={coding}", "--loop=12", "--payload=300") as (camera, run, first_s):
        run.run_for(0.5)
        camera.command("lose 1")
        run.run_for(0.4)
        camera.command("lose 1")
        run.until(lambda: time.monotonic() >= first_s + WINDOW_S, WINDOW_S + 5)
        rate = share(run, first_s + 3, first_s + WINDOW_S, (WINDOW_S - 3) * FPS)
        figure("15", f"UDP, {kind}, a datagram lost in two frames: share published whole, from 3 s on", rate, "%",
               at_least=90)  # fmt: skip
        assert run.pipeline.status["cam0"].drops["corrupt"] > 10
        assert run.pipeline.status["cam0"].reconnects == 0


@pytest.mark.parametrize("kind", ["reorder", "double"])
def test_15_datagrams_in_the_wrong_order_and_doubled_ones_harm_no_frame(kind, tmp_path, figure):
    # Frames of one datagram each, apart from key frames, if it may come twice: FFmpeg joins the parts of a frame.
    payload = {"reorder": "300", "double": "1200"}[kind]
    with watched_over_udp(tmp_path, f"--payload={payload}") as (camera, run, _):
        camera.command(f"{kind} 0.05")
        since_s = time.monotonic()
        run.run_for(8)
        rate = share(run, since_s, since_s + 8, 8 * FPS)
        done, at_least = {"reorder": ("swapped", 95), "double": ("doubled", 50)}[kind]
        figure("15", f"UDP, 5 % of packets {done}: share of frames published whole", rate, "%", at_least=at_least)


def test_15_a_stream_without_whole_frames_is_not_live(tmp_path, figure):
    with watched_over_udp(tmp_path, "--payload=300") as (camera, run, _):
        camera.command("loss 0.4")
        lossy_s = time.monotonic()
        away = run.until_state("reconnecting", since_s=lossy_s, timeout_s=20)
        assert away.body["reason"] == "damaged"
        figure("15", "UDP, 40 % of packets lost: reported after", away.at_s - lossy_s, "s", at_most=10)
        run.run_for(5)
        assert run.states(since_s=time.monotonic() - 2)[-1].body["state"] == "reconnecting"
        camera.command("loss 0")
        on_s = time.monotonic()
        back = run.until_pose(since_s=on_s)
        figure("15", "UDP, losses end: first pose (1 key frame/s)", back.at_s - on_s, "s", at_most=2.5)
        run.until_state("live", since_s=on_s)


def test_15_a_camera_that_is_joined_between_two_key_frames_waits_for_the_next(tmp_path, figure):
    coded = "--coding=silent-refresh", "--loop=14", "--size=320x240", "--transport=udp"  # a key frame every 14 s
    with (
        CameraProcess(*coded) as camera,
        Run({"cam0": {"source": camera.url(), "transport": "udp"}}, tmp_path) as run,
    ):
        run.until_pose()
        camera.command("kick")  # the key frame was published just now
        kicked_s = time.monotonic()
        run.until_state("reconnecting", since_s=kicked_s)
        back = run.until_pose(since_s=kicked_s + 1, timeout_s=30)
        states = {(told.body["state"], told.body["reason"]) for told in run.states(since_s=kicked_s + 2)}
        assert states <= {("reconnecting", "waiting for a key frame"), ("live", None)}
        assert ("reconnecting", "waiting for a key frame") in states
        assert run.pipeline.status["cam0"].reconnects == 1
        figure("15", "joined between two key frames, 14 s apart: first pose after", back.at_s - kicked_s, "s",
               at_most=15)  # fmt: skip
