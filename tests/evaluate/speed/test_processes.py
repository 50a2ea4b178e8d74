"""Several live cameras in one process, against as many processes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from realtime.errors import RealtimeError
from realtime.evaluate.__main__ import main
from realtime.evaluate.speed import compare, processes
from realtime.evaluate.speed.processes import run_processes, together
from realtime.evaluate.speed.runs import Run, Scene
from realtime.types import Poses
from realtime.wire import PoseMessage
from tests.builders import make_frame, make_pose_message
from tests.evaluate.speed.made import SCENE, run


def published(begin_s: float, end_s: float, camera: str) -> list[PoseMessage]:
    """Ten messages a second."""
    times_ns = range(int(begin_s * 1e9), int(end_s * 1e9) + 1, 100_000_000)
    poses = Poses.empty(make_frame(0, camera), keypoints=0)
    return [make_pose_message(poses, published_ns=time_ns) for time_ns in times_ns]


def test_only_the_time_in_which_all_cameras_ran_counts() -> None:
    found = together([published(0, 20, "a"), published(5, 25, "b")])
    assert len(found) == 2 * 125  # from 7 s to 19.5 s
    times_ns = [message.published_ns for message in found]
    assert times_ns == sorted(times_ns)
    assert (times_ns[0], times_ns[-1]) == (7_000_000_000, 19_400_000_000)


@pytest.mark.parametrize("begin_s", [5.0, 40.0])
def test_cameras_that_hardly_ran_together_are_no_result(begin_s: float) -> None:
    with pytest.raises(RealtimeError, match=r"all cameras ran together for .* s, expected .* set a longer --live-s"):
        together([published(0, 10, "a"), published(begin_s, begin_s + 10, "b")])


def test_the_sides_have_the_same_cameras(
    monkeypatch: pytest.MonkeyPatch, yolov8n: Path, clip: Path, tmp_path: Path
) -> None:
    ran: list[tuple[int, int, float | None, int]] = []

    def fake(count: int, scene: Scene, folder: Path) -> Run:
        ran.append((count, scene.cameras, scene.fps, scene.frames))
        return run(fps=10 if count == 1 else 20, age_s=0.1 * count)

    monkeypatch.setattr(compare, "run_processes", fake)
    monkeypatch.setattr(compare, "run_ours", lambda scene, folder: run(fps=1, age_s=1))
    numbers = tmp_path / "numbers.json"
    words = [
        "--video",
        str(clip),
        "--detector",
        str(yolov8n),
        "--pose",
        "none",
        "--rounds",
        "2",
        "--json",
        str(numbers),
    ]
    assert main(["compare", "--mode", "cameras", "--live-s", "2", *words]) == 0
    both = [(count, cameras, 60.0, 120) for cameras in (2, 4) for count in (1, cameras)]
    assert ran == [*both, *(both[i] for i in (1, 0, 3, 2))]  # the order of the sides changes with each round
    found = json.loads(numbers.read_text())["modes"]["4 cameras, 60 fps"]["processes"]["ours_to_this"]
    assert found["speed"]["median"] == pytest.approx(0.5)
    assert found["age_p95"]["median"] == pytest.approx(0.25)


def test_one_camera_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--mode", "cameras", "--cameras", "1", "--pose", "none"]) == 2
    assert "--cameras: got 1, expected at least 2" in capsys.readouterr().err


def test_the_frames_of_all_cameras_of_a_process_count(
    monkeypatch: pytest.MonkeyPatch, yolov8n: Path, clip: Path, tmp_path: Path
) -> None:
    for name in ("_WARM_NS", "_END_NS", "_LEAST_NS"):
        monkeypatch.setattr(processes, name, 0)
    scene = replace(SCENE, video=str(clip), weights=str(yolov8n), pose="none", frames=10, fps=None, cameras=2)
    found = run_processes(1, scene, tmp_path)
    assert max(found.frames.count(frame) for frame in set(found.frames)) == 2
    assert found.thrown_away == 0


def test_a_process_that_fails_is_an_error_in_one_line(tmp_path: Path) -> None:
    scene = replace(SCENE, video="no.mp4", weights="no.pt", pose="none", frames=10, fps=None, cameras=2)
    with pytest.raises(RealtimeError, match=r"^processes: exit code 3: .*no\.mp4"):
        run_processes(2, scene, tmp_path)
