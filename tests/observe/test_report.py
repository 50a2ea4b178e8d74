import json

import pytest

from realtime import __version__
from realtime.observe import status as module
from realtime.observe.metrics import StageMeter
from realtime.observe.report import build_report, log_summary
from realtime.observe.status import CameraStatus
from tests.clock import Clock

MODELS = {"detector": "yolo11n", "pose": "none", "detector_engine": "openvino bf16"}


@pytest.fixture
def cameras(monkeypatch):
    """A camera that published 11 of 14 frames in 2 s, and one that never sent a frame."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    busy, silent = CameraStatus("cam0"), CameraStatus("gate")
    for state in ("live", "reconnecting", "live"):
        busy.set_state(state)
    for _ in range(14):
        busy.count_captured()
    busy.count_dropped("too old")
    for number in range(11):
        busy.count_published(20.0 + 10 * (number == 10))
        clock.now_s += 0.2
    for camera in (busy, silent):
        camera.finish()
    return [busy, silent]


@pytest.fixture
def meter():
    meter = StageMeter()
    meter.measure("detect", 1, 0.25)
    meter.measure("publish", 1, 0.125)
    meter.waited("detect", 0.001)
    return meter


def test_the_report_has_the_keys_that_scripts_rely_on(cameras, meter):
    report = build_report(cameras, meter, 12.3456, "cpu", MODELS)
    assert list(report) == [
        "version",
        "cameras",
        "stages",
        "wall_s",
        "peak_rss_mb",
        "device",
        "models",
        "configuration",
    ]
    assert (report["version"], report["device"], report["models"]) == (__version__, "cpu", MODELS)
    assert report["wall_s"] == 12.346
    assert 10 < report["peak_rss_mb"] < 100_000  # of a Python process, in MB and not in KB or bytes
    assert list(report["cameras"]) == ["cam0", "gate"]
    for camera in report["cameras"].values():
        assert set(camera) >= {"captured", "dropped", "published", "fps", "reconnects", "latency_ms"}
        assert list(camera["latency_ms"]) == ["p50", "p95", "p99", "max"]
    assert list(report["stages"]) == ["detect", "publish"]
    for stage in report["stages"].values():
        assert set(stage) >= {"calls", "items", "busy_s", "ms"}
        assert list(stage["ms"]) == ["p50", "p95", "p99"]
    assert json.loads(json.dumps(report)) == report


def test_captured_frames_are_either_published_or_dropped(cameras, meter):
    camera = build_report(cameras, meter, 12.0, "cpu", MODELS)["cameras"]["cam0"]
    assert (camera["captured"], camera["published"], camera["dropped"]) == (14, 11, 3)
    assert camera["drops"] == {"too old": 1, "stopping": 2}  # two were unfinished at the end
    assert camera["reconnects"] == 1
    assert camera["fps"] == 5.0  # 10 intervals of 0.2 s
    assert camera["latency_ms"]["p50"] == pytest.approx(20.0, rel=0.02)
    assert camera["latency_ms"]["max"] == 30.0


def test_a_camera_without_frames_is_in_the_report_with_zeros(cameras, meter):
    camera = build_report(cameras, meter, 12.0, "cpu", MODELS)["cameras"]["gate"]
    assert camera["latency_ms"] == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}
    assert (camera["captured"], camera["fps"], camera["drops"]) == (0, 0.0, {})


def test_the_summary_has_a_line_for_each_camera_with_frames_and_one_for_the_run(cameras, meter, caplog):
    caplog.set_level("INFO", "realtime")
    log_summary(cameras, meter, 12.34)
    assert caplog.messages == [
        "cam0: 14 frames captured, 3 dropped (stopping 2, too old 1), 11 published, 5.0 fps, "
        "latency p50 20 ms, p95 30 ms",
        "12.3 s in total; busy: detect 0.25 s, publish 0.125 s",
    ]
    line, run = caplog.records
    assert (line.camera, line.state, line.reason, line.cause) == ("cam0", *cameras[0].state, "stopping")
    assert not hasattr(run, "camera")


def test_the_summary_of_a_run_without_frames_is_one_line(caplog):
    caplog.set_level("INFO", "realtime")
    log_summary([CameraStatus("cam0")], StageMeter(), 0.0)
    assert caplog.messages == ["0.0 s in total; busy: nothing"]


def test_frames_that_an_empty_camera_left_out_are_no_loss_in_the_summary(caplog):
    caplog.set_level("INFO", "realtime")
    camera = CameraStatus("cam0")
    for cause in ("idle", "idle", "too old"):
        camera.count_captured()
        camera.count_dropped(cause)
    log_summary([camera], StageMeter(), 1.0)
    line = "cam0: 3 frames captured, 1 dropped (too old 1) and 2 left out while empty, 0 published, "
    assert caplog.messages[0].startswith(line)
    assert caplog.records[0].cause == "too old"
