"""Complete runs, with one camera or several, that end with their sources, by a signal or by an error."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zmq

from realtime import wire
from realtime.capture.demo import demo_frame
from realtime.config import AppConfig, load
from realtime.detect.stage import DetectStage
from realtime.pipeline import Pipeline
from realtime.pose.passthrough import PassThrough
from realtime.publish.socket import PublishSocket
from realtime.publish.stage import PublishStage
from realtime.smooth.stage import SmoothStage
from realtime.track.relink import RelinkStage
from realtime.track.stage import TrackStage
from tests.capture.clips import write_clip, write_noise
from tests.doubles import wait_until
from tests.faults.fakecam import FakeCamera
from tests.faults.rig import ROOT, Program
from tests.pose.checkpoints import save_checkpoint
from tests.screen import Terminal

# Fast models, because these tests are about how the parts work together.
QUICK = {"detector.size": "320", "pose.model": "none"}


def configuration(tmp_path: Path, sources: dict[str, str], **flags: object) -> AppConfig:
    cameras = [{"name": name, "source": source} for name, source in sources.items()]
    keys = {key.replace("__", "."): value for key, value in flags.items()}
    return load(environment={}, flags=QUICK | {"cameras": cameras, "publish.bind": [f"ipc://{tmp_path}/stream"]} | keys)


def threads_of_a_run() -> list[str]:
    names = (
        "capture-",
        "compile",
        "pool-",
        "detect",
        "track",
        "pose",
        "smooth",
        "publish",
        "record",
        "video",
        "pictures",
        "peers",
    )
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


def test_two_cameras_are_published_completely_and_no_thread_is_left(tmp_path: Path, yolov8n: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12)
    config = configuration(tmp_path, {"a": str(clip), "b": "demo"}, max_frames="20", record=str(tmp_path / "out.jsonl"))
    pipeline = Pipeline(config)
    pipeline.run()
    assert {name: status.published for name, status in pipeline.status.items()} == {"a": 12, "b": 20}
    assert {status.state for status in pipeline.status.values()} == {("ended", None)}  # the file, and max_frames
    assert threads_of_a_run() == []
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for camera in ("a", "b"):
        assert [line["seq"] for line in lines if line["camera"] == camera] == list(
            range(pipeline.status[camera].published)
        )
    Pipeline(config).run()  # the port is free again


def test_pictures_of_published_frames_are_sent_and_their_port_is_free_afterwards(tmp_path: Path, yolov8n: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    config = configuration(tmp_path, {"a": "demo"}, loop="true", publish__pictures=endpoint)
    pipeline = Pipeline(config)
    running = threading.Thread(target=pipeline.run)
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.linger = 0
        reader.subscribe(b"picture/a/320/")
        reader.connect(endpoint)
        running.start()
        assert reader.poll(30_000)
        picture = wire.decode(*reader.recv_multipart())
    pipeline.stop()
    running.join(30)
    assert threads_of_a_run() == []
    assert isinstance(picture, wire.PictureMessage)
    sent = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    shown = cv2.resize(demo_frame(picture.frame), (320, 180), interpolation=cv2.INTER_AREA)
    assert np.abs(sent.astype(int) - shown).mean() < 6
    PublishSocket(config.publish, [endpoint]).close()


@pytest.fixture(scope="module")
def vitpose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("vitpose"), experts=3)


@pytest.mark.parametrize(
    ("pose", "detector", "keypoints", "smoothing"),
    [
        ("{vitpose}", "auto", 17, "one-euro"),  # the folder of a ViTPose checkpoint
        ("{yolo11n_pose}", "auto", 17, "one-euro"),  # a YOLO pose network, run on each person's crop
        ("detector", "{yolo11n_pose}", 17, "one-euro"),  # the detector's own keypoints
        ("detector", "{yolo11n_pose}", 17, "kalman"),  # a filter works the same for any source of keypoints
        ("detector", "{yolo11n_pose}", 17, "none"),
        ("none", "auto", 0, "one-euro"),  # only boxes and track ids
        ("none", "auto", 0, "kalman"),
        ("none", "auto", 0, "none"),
    ],
)
def test_every_pose_model_publishes_its_skeleton_with_every_filter(
    tmp_path: Path, vitpose: Path, yolo11n_pose: Path, pose: str, detector: str, keypoints: int, smoothing: str
) -> None:
    places = {"vitpose": vitpose, "yolo11n_pose": yolo11n_pose}
    flags = {"pose__model": pose.format(**places), "detector__weights": detector.format(**places)}
    flags |= {"max_frames": "3", "detector__every": "2", "record": str(tmp_path / "x.jsonl")}
    config = configuration(tmp_path, {"a": "demo"}, smoothing__method=smoothing, **flags)
    Pipeline(config).run()
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    for number, line in enumerate(lines):
        people = len(line["track_ids"])
        assert people >= 3
        # A pose model runs on every frame, the detector on every second one.
        assert line["measured"] == [pose.startswith("{") or number % 2 == 0] * people
        assert line["skeleton"] == ("coco17" if keypoints else "none")
        assert np.shape(line["keypoints"]) == ((people, keypoints, 3) if keypoints else (0,))


def test_pedestrians_are_tracked_through_a_real_clip(tmp_path: Path, yolov8n: Path, shared_data: Path) -> None:
    record = tmp_path / "x.jsonl"
    clip = shared_data / "video" / "vtest.avi"
    flags = {"detector__size": "640", "max_frames": "50", "record": str(record)}
    Pipeline(configuration(tmp_path, {"a": str(clip)}, **flags)).run()
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(50))
    seen = Counter(track_id for line in lines for track_id in line["track_ids"])
    assert sum(count >= 25 for count in seen.values()) >= 3


STAGES = {
    "detect": DetectStage,
    "track": TrackStage,
    "pose": PassThrough,
    "relink": RelinkStage,
    "smooth": SmoothStage,
    "publish": PublishStage,
}


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_in_a_stage_ends_the_run_with_that_error(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    kind: Any = STAGES[stage]
    method = "_look" if stage == "detect" else "process"  # the threads of the pool call it
    process = getattr(kind, method)

    def fail(self: object, batch: list[Any]) -> list[Any]:
        if batch[0].index >= 3 if stage == "detect" else batch[0].frame.index >= 3:
            raise RuntimeError("planted")
        return process(self, batch)

    monkeypatch.setattr(kind, method, fail)
    run = Pipeline(configuration(tmp_path, {"a": "demo"}))
    with pytest.raises(RuntimeError, match="planted"):
        run.run()
    assert threads_of_a_run() == []
    status = run.status["a"]
    assert status.state[0] == "failed"


def test_an_error_while_the_detector_is_compiled_for_a_live_camera_ends_the_run(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: DetectStage, shape: tuple[int, int]) -> None:
        raise RuntimeError(f"planted in {threading.current_thread().name}")

    monkeypatch.setattr(DetectStage, "compile", fail)
    with FakeCamera() as camera:  # 4:3
        run = Pipeline(configuration(tmp_path, {"a": camera.url()}))
        with pytest.raises(RuntimeError, match="planted in compile"):
            run.run()
    assert threads_of_a_run() == []
    assert run.status["a"].state == ("failed", "the run failed")


def test_a_stop_still_publishes_the_frames_past_the_door(tmp_path: Path, yolov8n: Path) -> None:
    run = Pipeline(configuration(tmp_path, {"a": "demo"}, realtime="true", record=str(tmp_path / "out.jsonl")))
    stopper = threading.Thread(target=lambda: (wait_until(lambda: run.status["a"].published >= 5), run.stop()))
    stopper.start()
    run.run()
    status = run.status["a"]
    assert status.state == ("ended", "stopped")
    assert status.published > 0
    assert status.captured == sum(status.drops.values()) + status.published
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == status.published


@pytest.mark.parametrize(
    ("end", "of_the_other"),
    [
        (lambda run: run.stop(), ("ended", "stopped")),
        # An error of the main loop: the window, for example.
        (lambda run: setattr(run, "_look_after_cameras", lambda: 1 / 0), ("failed", "the run failed")),
        # A camera that can't be opened ends the run, as any error of a thread does.
        (lambda run: run._crew.start("broken", lambda: 1 / 0), ("failed", "the run failed")),
    ],
    ids=["stopped", "main loop failed", "thread failed"],
)
def test_a_file_that_had_ended_stays_ended_however_the_run_ends(
    tmp_path: Path, yolov8n: Path, end: Callable[[Pipeline], None], of_the_other: tuple[str, str]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3)
    run = Pipeline(configuration(tmp_path, {"done": str(clip), "other": "demo"}))

    def end_when_done() -> None:
        wait_until(lambda: run.status["done"].state[0] == "ended")
        end(run)

    threading.Thread(target=end_when_done, daemon=True).start()
    with contextlib.suppress(ZeroDivisionError):
        run.run()
    assert {name: status.state for name, status in run.status.items()} == {
        "done": ("ended", None),
        "other": of_the_other,
    }


def test_a_truncated_file_is_published_up_to_the_cut_and_others_completely(tmp_path: Path, yolov8n: Path) -> None:
    from realtime.errors import TruncatedError

    whole = write_noise(tmp_path / "whole.mp4", frames=40)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 2 // 3])
    run = Pipeline(configuration(tmp_path, {"cut": str(cut), "whole": str(whole)}))
    with pytest.raises(TruncatedError, match=r"cut: .*truncated"):
        run.run()
    assert 0 < run.status["cut"].published < 40
    assert run.status["cut"].state[0] == "failed"
    assert run.status["whole"].published == 40


def test_an_interrupt_on_a_terminal_with_bars_ends_the_program_with_a_final_status_and_exit_code_0(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    arguments = ["--source", "shop=demo", "--realtime", "--max-frames", "5000"]
    with Terminal(columns=200) as terminal, Program(*arguments, folder=tmp_path, terminal=terminal) as program:
        bar = re.compile(r"shop  \S+  +\d+ %  +\d+/5000  +\d+\.\d fps  +\d (person|people)  .* left")
        program.until(lambda: any(map(bar.match, terminal.screen.lines)), what="a bar")
        code, _ = program.end(signal.SIGINT)  # test_reload covers SIGTERM
        program.until_state("ended", "shop")
        assert program.states("shop")[-1].body["reason"] == "stopped"
        program.until(lambda: "busy:" in terminal.screen.lines[-1], what="the summary")
    lines = terminal.screen.lines
    assert code == 0, lines
    assert all(re.match(r"\d\d:\d\d:\d\d (info|warning) ", line) for line in lines), lines
    assert terminal.screen.is_at_empty_line


def test_a_dry_run_loads_models_and_opens_no_source(tmp_path: Path, yolov8n: Path) -> None:
    command = [sys.executable, "run_realtime.py", "--dry-run", "--source", "rtsp://127.0.0.1:1/none", "--fail-fast"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    assert "are ready on" in result.stderr


def test_a_camera_that_is_down_does_not_end_the_run_or_disturb_another(
    tmp_path: Path, yolov8n: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Pipeline(configuration(tmp_path, {"down": "rtsp://u:s3cret@127.0.0.1:1/x", "up": "demo"}, realtime="true"))
    stopper: Callable[[], None] = run.stop

    def stop_when_seen() -> None:
        try:
            wait_until(lambda: run.status["up"].published >= 5 and run.status["down"].state[0] == "reconnecting")
        finally:
            stopper()

    threading.Thread(target=stop_when_seen, daemon=True).start()
    run.run()
    assert {status.state for status in run.status.values()} == {("ended", "stopped")}
    assert run.status["up"].published >= 5
    assert "s3cret" not in caplog.text


def test_a_warning_is_logged_when_a_live_camera_joins_a_run_of_files(
    tmp_path: Path, yolov8n: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 5)
    later = configuration(tmp_path, {"a": str(clip), "gate": "rtsp://127.0.0.1/1"})
    pipeline = Pipeline(configuration(tmp_path, {"a": str(clip)}), lambda: later)
    monkeypatch.setattr(pipeline._fleet, "reload", lambda cameras: None)
    pipeline._apply(pipeline._read_change(lambda: later))
    assert "reload: gate: live, but this run started with files and favours throughput over latency" in caplog.text
    pipeline.stop()
    pipeline.run()
