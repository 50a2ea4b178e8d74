import time
from pathlib import Path

from realtime.evaluate.speed.cost import crowd
from realtime.evaluate.speed.cpu_time import CpuClock, cpu_by_part
from realtime.evaluate.speed.runs import Scene
from realtime.evaluate.speed.videos import write_video
from realtime.track.stage import TrackStage


def work(seconds: float) -> None:
    until_s = time.thread_time() + seconds
    while time.thread_time() < until_s:
        pass


def test_the_time_of_a_call_excludes_timed_calls_inside_it() -> None:
    clock = CpuClock()
    inner = clock.timed("inner", lambda: work(0.02))
    clock.timed("outer", lambda: (inner(), work(0.001), inner()))()
    assert clock.spent_s["inner"] >= 0.04
    assert 0.001 <= clock.spent_s["outer"] < clock.spent_s["inner"]


def test_timed_methods_are_restored_afterwards() -> None:
    before = TrackStage.process
    with CpuClock().installed():
        assert TrackStage.process is not before
    assert TrackStage.process is before


def test_every_part_of_a_run_has_cpu_time(tmp_path: Path, yolov8n: Path) -> None:
    video = tmp_path / "crowd.mp4"
    write_video([crowd(4)[0]] * 5, 10, video)
    spent = cpu_by_part(Scene(str(video), str(yolov8n), "none", 5, None, 1, "cpu", {"detector.engine": "torch"}))
    assert {part for part, seconds in spent.items() if seconds <= 0} <= {"crops, peaks"}  # without a pose model
