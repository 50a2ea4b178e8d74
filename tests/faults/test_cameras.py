"""The fault cases of a camera, each with its figure, against a real RTSP server: `make faults`.

The numbers in the names are the rows of the table in docs/reliability.md. Figures are measured from outside: what a
subscriber got, and when; ages by the number in each picture.
"""

import time
from contextlib import contextmanager

import numpy as np
import pytest

from realtime.detect.yolo import DetectStage
from realtime.pose.passthrough import PassThrough

from .fakecam import CameraProcess, FakeCamera, backlog_full_listener
from .rig import Run, cpu_s

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("yolov8n")]

LOGIN = "admin:s3cr3t%21pw"


@contextmanager
def watched(folder, *arguments, **flags):
    """A camera in its own process and a run that reads it, from its first pose on."""
    with CameraProcess(*arguments) as camera, Run({"cam0": camera.url()}, folder, **flags) as run:
        run.until_pose()
        yield camera, run


def p95_ms(ages_s):
    return 1e3 * float(np.percentile(ages_s[~np.isnan(ages_s)], 95))


@pytest.mark.parametrize(("case", "kind"), [("1", "dead host"), ("3", "silent server")])
def test_1_and_3_a_host_that_does_not_answer(case, kind, tmp_path, figure, log):
    @contextmanager
    def silent():
        with FakeCamera(silent=True) as camera:
            yield camera.port

    with (backlog_full_listener if case == "1" else silent)() as port:
        with Run({"cam0": {"source": f"rtsp://127.0.0.1:{port}/cam", "open_timeout_s": 4}}, tmp_path) as run:
            first = run.until_state("starting")
            figure(case, f"{kind}: state told after", first.at_s - run.began_s, "s", at_most=0.5)
            before_s = cpu_s("capture-cam0")
            away = run.until_state("reconnecting", timeout_s=12)
            assert away.body["reason"] == "timed out"
            figure(case, f"{kind}: an attempt ends after (open_timeout_s 4)", away.at_s - run.began_s, "s", at_most=5)
            run.run_for(4)
            spent = (cpu_s("capture-cam0") - before_s) / (time.monotonic() - run.began_s)
            figure(case, f"{kind}: processor time of its thread", 100 * spent, "%", at_most=2)
        assert len(log.of("trying again")) == 1


def test_2_a_port_that_refuses_and_then_serves(tmp_path, figure):
    with CameraProcess() as camera:
        camera.kill()
        with Run({"cam0": camera.url()}, tmp_path) as run:
            away = run.until_state("reconnecting")
            assert away.body["reason"] == "connection refused"
            figure("2", "refused: told after", away.at_s - run.began_s, "s", at_most=0.5)
            run.run_for(6)  # by now the waits are the longest
            camera.restart()
            ready_s = time.monotonic()
            figure("2", "refused: first pose after it serves", run.until_pose().at_s - ready_s, "s", at_most=7.5)


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_4_a_wrong_password_is_told_once_and_not_tried_often(scheme, tmp_path, figure, log):
    with FakeCamera(("admin", "s3cr3t!pw"), scheme=scheme) as camera:
        address = camera.url("admin:wr0ng%21pw@")
        with Run({"cam0": address}, tmp_path, report=str(tmp_path / "r.json")) as run:
            away = run.until_state("reconnecting")
            assert away.body["reason"] == "login failed"
            figure("4", f"wrong password ({scheme}): told after", away.at_s - run.began_s, "s", at_most=1)
            run.run_for(6)
            figure("4", f"wrong password ({scheme}): attempts in 6 s", len(camera.connections), "", at_most=1)
        assert len(log.of("login failed")) == 1
        everything = str(log.lines) + str(run.told) + (tmp_path / "r.json").read_text()
        for secret in ("wr0ng!pw", "wr0ng%21pw", "admin"):
            assert secret not in everything


def test_5_a_wrong_path(tmp_path, figure, log):
    with FakeCamera() as camera, Run({"cam0": camera.url(path="/nothing")}, tmp_path) as run:
        away = run.until_state("reconnecting")
        assert away.body["reason"] == "not found"
        figure("5", "wrong path: told after", away.at_s - run.began_s, "s", at_most=1)
        run.run_for(2)
        assert len(camera.connections) <= 2  # opened fast, then probed


def test_6_a_name_that_is_not_found(tmp_path, figure, log):
    with Run({"cam0": "rtsp://no-such-camera.invalid/cam"}, tmp_path) as run:
        away = run.until_state("reconnecting")
        assert away.body["reason"] == "host name not found"
        figure("6", "unknown name: told after", away.at_s - run.began_s, "s", at_most=5.5)


def test_7_and_8_a_camera_that_dies_and_comes_back(tmp_path, figure):
    with watched(tmp_path) as (camera, run):
        last = run.poses()[-1].body
        camera.kill()
        killed_s = time.monotonic()
        away = run.until_state("reconnecting", since_s=killed_s)
        assert away.body["reason"] in ("connection lost", "connection refused")
        figure("7", "killed: told after", away.at_s - killed_s, "s", at_most=0.5)
        camera.restart()
        ready_s = time.monotonic()
        back = run.until_pose(since_s=ready_s)
        figure("8", "killed and restarted: first pose after it serves (key frame each 1 s)", back.at_s - ready_s, "s",
               at_most=2.5)  # fmt: skip
        assert back.body["epoch"] == last["epoch"] + 1


def test_9_a_camera_that_stands_still_for_ever(tmp_path, figure):
    with watched(tmp_path) as (camera, run):
        run.run_for(2)
        camera.stop()
        stopped_s = time.monotonic()
        away = run.until_state("reconnecting", since_s=stopped_s)
        assert away.body["reason"] == "timed out"
        figure("9", "stopped: told after", away.at_s - stopped_s, "s", at_most=3)
        run.run_for(5)
        late = run.ages_s(camera.clock, since_s=stopped_s + 0.5)
        figure("9", "stopped: poses published after half a second", len(late), "", at_most=0)
        camera.cont()


def test_10_a_camera_that_stands_still_for_four_seconds(tmp_path, figure):
    with watched(tmp_path) as (camera, run):
        run.run_for(3)
        camera.stop()
        time.sleep(4)
        camera.cont()
        on_s = time.monotonic()
        run.run_for(7)
        settled_ms = p95_ms(run.ages_s(camera.clock, since_s=on_s + 3))
        figure("10", "stopped for 4 s: age from 3 s after it goes on, p95", settled_ms, "ms", at_most=200)
        ages = run.ages_s(camera.clock, since_s=on_s)
        figure("10", "stopped for 4 s: oldest picture published at all", 1e3 * np.nanmax(ages), "ms", at_most=700)


def test_10_a_stall_whose_pictures_come_late_is_not_taken_for_fresh(tmp_path, figure):
    with watched(tmp_path) as (camera, run):
        run.run_for(3)
        camera.command("stall 1.5")  # less than the time-out: all that was held back comes in one burst
        on_s = time.monotonic() + 1.5
        run.run_for(6)
        ages = run.ages_s(camera.clock, since_s=on_s)
        figure("10", "burst after 1.5 s: oldest picture published", 1e3 * np.nanmax(ages), "ms", at_most=700)
        assert run.pipeline.status["cam0"].drops["too old"] + run.pipeline.status["cam0"].drops["newer frame"] > 10
        assert run.pipeline.status["cam0"].reconnects == 0
        for told in run.poses(since_s=on_s):  # and what is told of the age is true
            index, seen_s = run.seen["cam0", told.body["frame"]]
            left_s = camera.clock.left_unix_s(camera.clock.number(index, seen_s))
            assert told.body["captured_ns"] / 1e9 == pytest.approx(left_s, abs=0.1)


@pytest.mark.parametrize("arguments", [(), ("--no-sprop",), ("--audio",)], ids=["usual", "no-sprop", "with-sound"])
def test_11_a_camera_that_freezes_with_its_connections_up(arguments, tmp_path, figure, request):
    kind = request.node.callspec.id
    with watched(tmp_path, *arguments) as (camera, run):
        run.run_for(2)
        camera.command("video 0" if arguments == ("--audio",) else "freeze")
        frozen_s = time.monotonic()
        away = run.until_state("reconnecting", since_s=frozen_s)
        figure("11", f"frozen ({kind}): told after", away.at_s - frozen_s, "s", at_most=3)
        run.run_for(8 - (time.monotonic() - frozen_s))
        assert not run.poses(since_s=frozen_s + 0.5)
        camera.command("video 1" if arguments == ("--audio",) else "resume")
        on_s = time.monotonic()
        figure("11", f"frozen ({kind}): first pose after media returns", run.until_pose(since_s=on_s).at_s - on_s, "s",
               at_most=2.5)  # fmt: skip


@pytest.mark.parametrize("stage", [DetectStage, PassThrough], ids=["detector", "pose"])
def test_13_inference_slower_than_the_camera(stage, tmp_path, figure, monkeypatch):
    method = "_look" if stage is DetectStage else "process"  # the pool's threads look, a thread of its own passes on
    compute = getattr(stage, method)

    def slow(self, batch):
        results = compute(self, batch)
        time.sleep(0.19)  # 0.2 is five pictures: a beat of half a minute, whose flank looks like a slope
        return results

    monkeypatch.setattr(stage, method, slow)
    name = "detector" if stage is DetectStage else "pose"
    seconds = 60 if stage is DetectStage else 30
    with watched(tmp_path) as (camera, run):
        run.run_for(seconds)
        since_s = run.began_s + seconds / 2
        ages = run.ages_s(camera.clock, since_s=since_s)
        figure("13", f"25 fps in, 5 fps {name}: age p95 in the second half", p95_ms(ages), "ms", at_most=350)
        at_s = np.array([told.at_s for told in run.poses(since_s=since_s)][: len(ages)])
        known = ~np.isnan(ages)
        slope = float(np.polyfit(at_s[known], 1e3 * ages[known], 1)[0])
        figure("13", f"25 fps in, 5 fps {name}: slope of the age", slope, "ms/s", at_most=1)
        figure("13", f"25 fps in, 5 fps {name}: rate", run.fps(since_s=since_s), "fps", at_least=4)


@pytest.mark.parametrize("backlog_s", [0, 3])
def test_14_the_first_frame_is_fresh(backlog_s, tmp_path, figure):
    with CameraProcess() as camera:
        camera.command(f"backlog {backlog_s}")
        with Run({"cam0": camera.url()}, tmp_path) as run:
            run.until_pose()
            run.run_for(2)
            ages = run.ages_s(camera.clock)
            kind = f"the camera sends {backlog_s} s that it stored" if backlog_s else "start"
            figure("14", f"{kind}: age of the first frame", 1e3 * ages[0], "ms", at_most=300)
            if backlog_s:
                assert run.pipeline.status["cam0"].drops["stored before the start"] > 25


def test_15_udp_with_loss(tmp_path, figure):
    # A key frame each 0.2 s: what is lost damages all pictures up to the next one.
    with CameraProcess("--transport=udp", "--size=160x120", "--key-every=5") as camera:
        source = {"source": camera.url(), "transport": "udp"}
        with Run({"cam0": source}, tmp_path) as run:
            run.until_pose()
            run.run_for(3)
            camera.command("loss 0.05")
            lossy_s = time.monotonic()
            captured, published = run.pipeline.status["cam0"].captured, len(run.poses())
            run.run_for(10)
            seen = [run.seen["cam0", told.body["frame"]][0] for told in run.poses(since_s=lossy_s)]
            sent = 10 * 25
            figure("15", "UDP, 5 % of packets lost: pictures published of those sent", 100 * len(seen) / sent, "%",
                   at_least=50)  # fmt: skip
            figure("15", "UDP, 5 % of packets lost: published with a number that can't be read",
                   100 * np.mean([index is None for index in seen]), "%", at_most=4)  # fmt: skip
            assert run.pipeline.status["cam0"].captured > captured
            assert len(run.poses()) > published
            assert run.pipeline.status["cam0"].drops["corrupt"] > 0


def test_16_garbage_among_the_packets(tmp_path, figure):
    with watched(tmp_path) as (camera, run):
        run.run_for(1)
        camera.command("garbage 50")
        sent_s = time.monotonic()
        run.run_for(4)
        figure("16", "50 garbage packets: reconnects", run.pipeline.status["cam0"].reconnects, "", at_most=1)
        figure("16", "50 garbage packets: rate from 1 s after", run.fps(since_s=sent_s + 1.0), "fps", at_least=20)


def test_17_the_size_changes_mid_stream(tmp_path, figure):
    with watched(tmp_path, "--size=320x240", "--size=480x360") as (camera, run):
        run.run_for(2)
        camera.command("clip 1")
        changed_s = time.monotonic()
        run.until(lambda: run.poses()[-1].body["size"] == [480, 360])
        took_s = time.monotonic() - changed_s
        figure("17", "size change: first pose of the new size (key frame each 1 s)", took_s, "s", at_most=2.5)
        run.run_for(1)
    sizes = [(told.body["epoch"], tuple(told.body["size"])) for told in run.poses()]
    assert all(run.sizes["cam0", t.body["frame"]] == tuple(t.body["size"]) for t in run.poses())
    last_small = max(k for k, (_, size) in enumerate(sizes) if size == (320, 240))
    assert sizes[last_small][0] < sizes[last_small + 1][0]
    assert {size for _, size in sizes[last_small + 1 :]} == {(480, 360)}


def test_18_the_camera_s_own_clock(tmp_path, figure):
    with watched(tmp_path) as (camera, run):
        run.until(lambda: run.poses()[-1].body["clock"] == "rtcp")
        since_s = time.monotonic()
        run.run_for(4)
        errors = []
        for told in run.poses(since_s=since_s + 0.2):
            index, seen_s = run.seen["cam0", told.body["frame"]]
            left_s = camera.clock.left_unix_s(camera.clock.number(index, seen_s))
            errors.append(abs(told.body["captured_ns"] / 1e9 - left_s))
        figure("18", "with sender reports: error of captured_ns, largest", 1e3 * max(errors), "ms", at_most=5)
        camera.command("sr 0")
        camera.command("kick")
        back = run.until_pose(since_s=run.until_state("reconnecting", since_s=time.monotonic()).at_s)
        assert back.body["clock"] == "arrival"


def test_19_this_machine_s_clock_is_set_back_by_an_hour(tmp_path, figure, monkeypatch):
    with watched(tmp_path) as (_, run):
        run.run_for(2)
        before = len(run.poses())
        time_ns, time_s = time.time_ns, time.time
        monkeypatch.setattr(time, "time_ns", lambda: time_ns() - 3600 * 10**9)
        monkeypatch.setattr(time, "time", lambda: time_s() - 3600)
        run.run_for(4)
        monkeypatch.undo()
        stepped = run.poses()[before:]
        latencies = [sum(told.body["timing_ms"].values()) for told in stepped]
        figure("19", "clock set back 1 h: largest latency told", max(latencies), "ms", at_most=500)
        assert [told.body["seq"] for told in stepped] == list(range(before, before + len(stepped)))
        assert {told.body["epoch"] for told in stepped} == {0}
        assert run.pipeline.status["cam0"].reconnects == 0


@pytest.mark.parametrize("fault", ["stopped", "frozen", "killed"])
def test_20_another_camera_is_not_disturbed(fault, tmp_path, figure):
    # Rates that this machine can keep up with: what is compared is the camera's rate, not the processor's.
    slow = "--fps=10", "--key-every=10"
    with CameraProcess(*slow) as ill, CameraProcess(*slow) as well:
        sources = {"ill": ill.url(), "well": well.url()}
        with Run(sources, tmp_path) as run:
            run.until_pose("ill")
            run.until_pose("well")
            run.run_for(5)
            before = run.fps("well", since_s=time.monotonic() - 4)
            {"stopped": ill.stop, "frozen": lambda: ill.command("freeze"), "killed": ill.kill}[fault]()
            since_s = time.monotonic()
            run.until_state("reconnecting", "ill", since_s=since_s)
            run.run_for(max(0.0, 5 - (time.monotonic() - since_s)))
            rate = 100 * run.fps("well", since_s) / before
            figure("20", f"another camera's rate while one is {fault}", rate, "%", at_least=95, at_most=105)
            if fault == "stopped":
                ill.cont()


def test_38_the_login_is_in_no_output_at_debug_level(tmp_path, figure, log):
    with CameraProcess("--login=admin:s3cr3t!pw") as camera:
        report = tmp_path / "report.json"
        with Run({"cam0": camera.url(f"{LOGIN}@")}, tmp_path, report=str(report), log_level="debug") as run:
            run.until_pose()
            camera.command("kick")
            run.until_pose(since_s=run.until_state("reconnecting", since_s=time.monotonic()).at_s)
            camera.kill()
            run.until_state("reconnecting", since_s=time.monotonic())
            run.run_for(1)
        everything = "\n".join(line for _, line in log.lines) + str(run.told) + report.read_text()
    hits = sum(everything.count(secret) for secret in ("s3cr3t!pw", "s3cr3t%21pw", "s3cr3t"))
    figure("38", "login in logs at debug level, messages and the report: hits", hits, "", at_most=0)
