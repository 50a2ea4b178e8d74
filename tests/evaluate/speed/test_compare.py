import itertools
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtime.capture.demo import demo_frame
from realtime.config import load
from realtime.evaluate.__main__ import main
from realtime.evaluate.speed import compare
from realtime.evaluate.speed.runs import WARM_FRAMES, Run, Scene
from realtime.evaluate.speed.videos import every, images_of, newest, write_video

SCENE = Scene("clip.mp4", "yolov8n.pt", "none", 30, None, 2, "cpu", {"pose.engine": "torch"})
BOX = np.array([[0, 0, 10, 20]], np.float32)


def run(fps: float, age_s: float, frames: int = 30, boxes: np.ndarray = BOX) -> Run:
    """The result of a side that publishes at a constant rate."""
    side = Run("fake")
    for i in range(frames):
        side.add(i, i / fps, i / fps + age_s, boxes)
    return side


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of 20 frames that become brighter, at 10 frames per second."""
    file = tmp_path / "clip.mp4"
    write_video((np.full((48, 64, 3), 10 * k, np.uint8) for k in range(20)), 10, file)
    return file


def test_figures_exclude_the_first_frames() -> None:
    side = run(fps=10, age_s=0.2)
    side.published_s[0] = -100.0
    side.boxes[: WARM_FRAMES + 5] = [np.concatenate([BOX, BOX])] * (WARM_FRAMES + 5)
    assert side.figures() == pytest.approx(
        {"fps": 10, "people_per_s": 12, "people": 1.2, "p50_ms": 200, "p95_ms": 200, "thrown_away": 0}
    )


def test_a_run_that_is_too_short_has_no_figures() -> None:
    assert np.isnan(run(fps=10, age_s=0.2, frames=WARM_FRAMES + 1).figures()["fps"])


def test_a_run_and_a_scene_are_unchanged_after_writing_and_reading(tmp_path: Path) -> None:
    side = run(fps=10, age_s=0.2, frames=2)
    side.boxes[1] = np.zeros((0, 4), np.float32)
    side.write(tmp_path / "run.json")
    back = Run.read(tmp_path / "run.json")
    assert [boxes.shape for boxes in back.boxes] == [(1, 4), (0, 4)]
    assert (back.frames, back.published_s, back.engine) == (side.frames, side.published_s, "fake")
    assert Scene.from_json(SCENE.to_json()) == SCENE


def test_a_scene_is_a_valid_configuration_of_our_program() -> None:
    config = load(environment={}, flags=SCENE.configuration)
    assert (config.detector.weights, config.pose.model, config.pose.engine) == ("yolov8n.pt", "none", "torch")


def test_a_person_is_found_if_boxes_overlap_in_the_same_frame() -> None:
    shifted = run(fps=10, age_s=0.1, boxes=BOX + np.array([0, 2, 0, 2], np.float32))  # IoU 0.82
    far = run(fps=10, age_s=0.1, boxes=BOX + np.float32(8))
    both = run(fps=10, age_s=0.1, boxes=np.concatenate([BOX, BOX + np.float32(8)]))
    assert run(10, 0.1).share_found_by(shifted) == 1
    assert run(10, 0.1).share_found_by(far) == 0
    assert both.share_found_by(shifted) == 0.5
    assert np.isnan(run(10, 0.1, frames=0).share_found_by(shifted))


def test_every_frame_of_a_video_has_its_number_and_time(clip: Path) -> None:
    shots = list(every(str(clip), None))
    assert [shot.number for shot in shots] == list(range(20))
    assert [shot.time_s for shot in shots] == pytest.approx([k / 10 for k in range(20)])
    assert len(list(every(str(clip), 7))) == 7


def test_images_of_starts_the_video_again_at_its_end(clip: Path) -> None:
    means = [image.mean() for image in itertools.islice(images_of(str(clip)), 25)]
    assert means[20:] == means[:5]


def test_a_live_source_returns_its_newest_frame_and_no_frame_twice(clip: Path) -> None:
    numbers = []
    for shot in newest(str(clip), 20, fps=200):
        numbers.append(shot.number)
        assert shot.captured_s <= time.monotonic()
        time.sleep(0.02)  # slower than the source
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 20


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
    monkeypatch.setattr(compare, "_run_loop", loop)
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
    assert sides == [("ours", None), ("track", None), ("ours", 25), ("track", 25),
                     ("track", None), ("ours", None), ("track", 25), ("ours", 25)]  # fmt: skip
    assert "throughput   track" in capsys.readouterr().out
    assert plot.stat().st_size > 0


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


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fps", [None, 5.0])
def test_all_sides_find_the_people_of_the_demo_source(fps: float | None, yolov8n: Path, tmp_path: Path) -> None:
    video = tmp_path / "demo.mp4"
    write_video((demo_frame(k) for k in range(20)), fps or 30, video)
    cores = len(os.sched_getaffinity(0))
    scene = replace(SCENE, video=str(video), weights=str(yolov8n), frames=20, fps=fps, threads=cores, settings={})
    ours = compare.run_ours(scene, tmp_path)
    assert ours.figures()["people"] == pytest.approx(5, abs=0.5)
    assert ours.thrown_away == 0
    for side in ("track", "track-as-shipped", "sequential", "engines"):
        loop = compare._run_loop(side, scene, tmp_path)
        assert loop.figures()["people"] == pytest.approx(5, abs=0.5), side
        assert loop.share_found_by(ours) > 0.95, side
