import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from realtime.capture.demo import demo_frame
from realtime.evaluate.__main__ import main
from realtime.evaluate.speed import compare, one_liner
from realtime.evaluate.speed.runs import Run, Scene
from realtime.evaluate.speed.sides import run_loop, run_ours
from realtime.evaluate.speed.videos import write_video
from tests.evaluate.speed.made import BOX, SCENE, run


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float | None]]:
    """Replace all sides by fakes and return the list of runs, in order: side and frame rate."""
    ran: list[tuple[str, float | None]] = []

    def ours(scene: Scene, folder: Path) -> Run:
        ran.append(("ours", scene.fps))
        return run(fps=20, age_s=0.1)

    def loop(side: str, scene: Scene, folder: Path) -> Run:
        ran.append((side, scene.fps))
        return run(fps=10, age_s=0.4, boxes=np.concatenate([BOX, BOX + np.float32(99)]))

    monkeypatch.setattr(compare, "run_ours", ours)
    monkeypatch.setattr(compare, "run_loop", loop)
    return ran


def test_the_report_has_the_ratios_of_ours_to_each_side(
    sides: list[tuple[str, float | None]], yolov8n: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, plot = tmp_path / "numbers.json", tmp_path / "plot.png"
    words = ["--video", str(clip), "--detector", str(yolov8n), "--pose", "none", "--rounds", "2", "--fps", "25"]
    more = ["--against", "track", "--live-s", "1", "--json", str(numbers), "--plot", str(plot)]
    assert main(["compare", *words, *more]) == 0
    modes = json.loads(numbers.read_text())["modes"]
    fast, live = modes["throughput"]["track"], modes["live 25 fps"]["track"]
    assert fast["ours_to_this"]["speed"]["median"] == pytest.approx(2)  # ratio of frames/s
    assert live["ours_to_this"]["speed"]["median"] == pytest.approx(1)  # ratio of people/s: track finds two
    assert live["ours_to_this"]["age_p95"]["max"] == pytest.approx(0.25)
    assert fast["found_by_ours"] == 0.5
    assert sides == [("ours", None), ("ours", None), ("track", None), ("ours", 25), ("track", 25),
                     ("track", None), ("ours", None), ("track", 25), ("ours", 25)]  # fmt: skip
    assert "throughput   track" in capsys.readouterr().out
    assert plot.stat().st_size > 0


def test_the_one_liner_is_compared_with_each_of_our_settings(
    monkeypatch: pytest.MonkeyPatch, yolo11n_pose: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, str]] = []

    def ours(scene: Scene, folder: Path) -> Run:
        ran.append((Path(scene.weights).stem, Path(scene.pose).stem))
        side = run(fps=30 if scene.pose == "detector" else 5, age_s=0.1)
        side.started_s = -2.0
        return side

    def loop(side: str, scene: Scene, folder: Path) -> Run:
        ran.append((side, Path(scene.weights).stem))
        found = run(fps=10, age_s=0.1, boxes=BOX[:0])
        found.started_s = -4.0
        return found

    monkeypatch.setattr(compare, "run_ours", ours)
    monkeypatch.setattr(compare, "run_loop", loop)
    numbers = tmp_path / "numbers.json"
    words = ["--mode", "one-liner", "--video", str(clip), "--rounds", "1", "--json", str(numbers)]
    assert main(["compare", *words]) == 0
    one_stage, offline = ("yolo11n-pose", "detector"), ("yolov8n", "yolo11n-pose")
    lines = [("one-liner", "yolo11n-pose"), ("one-liner-all-cores", "yolo11n-pose")]
    assert ran == [one_stage, offline, one_stage, offline, *lines]  # first those that convert the networks
    modes = json.loads(numbers.read_text())["modes"]
    assert list(modes) == ["one stage", "offline default"]
    found = {mode: modes[mode]["one-liner"]["ours_to_this"] for mode in modes}
    assert found["one stage"]["speed"]["median"] == pytest.approx(3)
    assert found["offline default"]["speed"]["median"] == pytest.approx(0.5)
    assert found["offline default"]["first"]["median"] == pytest.approx(2.1 / 4.1)
    assert [modes["offline default"][side]["figures"]["people"] for side in ("ours", "one-liner")] == [1, 0]
    assert "one stage        one-liner-all-cores" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clip.mp4"], "unrecognized arguments: clip.mp4"),
        (["--rounds", "0"], "--rounds: got 0"),
        (["--frames", "1"], "--frames: got 1"),
        (["--threads", "1000"], "--threads: got 1000"),
        (["--set", "pose.engine"], "--set: got 'pose.engine'"),
        (["--video", "/nowhere.mp4"], "--video: /nowhere.mp4: no such file"),
        (["--pose", "yolo11n-pose"], "expected none, detector, vitpose-s or a ViTPose folder"),
        (["--fps", "0"], "--fps, --live-s: got 0"),
        (["--against", "sequential-half", "--device", "cpu"], "got sequential-half on a CPU"),
    ],
)
def test_a_wrong_flag_is_reported_before_any_side_runs(
    words: list[str], said: str, sides: list[object], yolov8n: Path, capsys: pytest.CaptureFixture[str], clip: Path
) -> None:
    pose = [] if "--pose" in words else ["--pose", "none"]
    video = [] if "--video" in words else ["--video", str(clip)]
    assert main(["compare", "--detector", str(yolov8n), *pose, *video, *words]) == 2
    assert said in capsys.readouterr().err
    assert not sides


def test_fp16_loops_are_offered_on_cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare.sides_for(replace(SCENE, pose="folder")) == ["sequential", "engines"]
    monkeypatch.setattr("realtime.runtime.device.resolve_device", torch.device)
    cuda = replace(SCENE, device="cuda:0")
    assert compare.sides_for(replace(cuda, pose="folder")) == ["sequential", "sequential-half", "engines"]
    assert "sequential-half" in compare.sides_for(cuda)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fps", [None, 5.0])
def test_all_sides_find_the_people_of_the_demo_source(fps: float | None, yolov8n: Path, tmp_path: Path) -> None:
    video = tmp_path / "demo.mp4"
    write_video((demo_frame(k) for k in range(20)), fps or 30, video)
    cores = len(os.sched_getaffinity(0))
    scene = replace(SCENE, video=str(video), weights=str(yolov8n), frames=20, fps=fps, threads=cores, settings={})
    ours = run_ours(scene, tmp_path)
    assert ours.figures()["people"] == pytest.approx(5, abs=0.5)
    assert ours.thrown_away == 0
    for side in ("track", "track-as-shipped", "sequential", "engines"):
        loop = run_loop(side, scene, tmp_path)
        assert loop.figures()["people"] == pytest.approx(5, abs=0.5), side
        assert loop.share_found_by(ours) > 0.95, side


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_one_liner_finds_the_people_of_the_demo_source(yolo11n_pose: Path, tmp_path: Path) -> None:
    video = tmp_path / "demo.mp4"
    write_video((demo_frame(k) for k in range(12)), 30, video)
    for side, scene in one_liner.sides(str(video), 12, "cpu", {}).items():
        found = run_loop(side, scene, tmp_path) if side in one_liner.LOOPS else run_ours(scene, tmp_path)
        assert found.frames == list(range(12))
        assert found.figures()["people"] == pytest.approx(5, abs=0.5), side
        assert found.figures()["first_s"] > 0
