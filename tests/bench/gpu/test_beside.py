import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from realtime.evaluate.speed.runs import Run, Scene
from tests.bench.gpu import beside
from tests.bench.gpu.beside import Key, Side, SideError, entry, share_s, sides_of
from tests.bench.gpu.record import Record, read
from tests.bench.gpu.steps import Job
from tests.evaluate.speed.made import SCENE, run


class FakeSide:
    def __init__(self, result: Run | str, never_ready: bool = False) -> None:
        self.result, self.never_ready, self.closed = result, never_ready, False

    def is_ready(self) -> bool:
        return not self.never_ready

    def measure(self, seconds: float) -> Run:
        if isinstance(self.result, str):
            raise SideError(self.result)
        return self.result

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job("cpu", True, Record(tmp_path / "gpu.json", "beside"), time.monotonic() + 60, tmp_path, tmp_path)


def results(job: Job) -> dict:
    return read(job.out / "gpu.json")["steps"]["beside"]


def test_the_ratios_are_ours_divided_by_theirs() -> None:
    told = entry(run(fps=10, age_s=0.4), ours=run(fps=20, age_s=0.1))
    assert told["ours_fps_ratio"] == pytest.approx(2)
    assert told["ours_p95_ms_ratio"] == pytest.approx(0.25)
    assert told["boxes_that_ours_has_share"] == 1


def test_fp16_runs_on_cuda_only_and_ours_runs_last() -> None:
    assert sides_of(replace(SCENE, pose="none"), is_cuda=True) == ["track", "ours"]
    assert sides_of(replace(SCENE, pose="folder"), is_cuda=True) == ["sequential-half", "sequential", "ours"]
    assert sides_of(replace(SCENE, pose="folder"), is_cuda=False) == ["sequential", "ours"]


def test_the_sides_share_the_time_that_is_left() -> None:
    assert share_s(60, sides=3, most_s=8) == 8
    assert share_s(12, sides=3, most_s=8) == 4
    assert share_s(-1, sides=3, most_s=8) == 0


def test_every_side_is_recorded_and_the_ratios_follow(job: Job) -> None:
    sides: dict[Key, Side] = {Key("S", "sequential"): FakeSide(run(10, 0.4)), Key("S", "ours"): FakeSide(run(20, 0.1))}
    beside._await(job, sides)
    beside._measure(job, sides, most_s=1)
    assert results(job)["entries"]["S: sequential"]["ours_fps_ratio"] == pytest.approx(2)
    assert results(job)["entries"]["S: ours"]["fps"] == pytest.approx(20)


def test_only_our_own_failure_is_a_failure_of_the_step(job: Job) -> None:
    sides: dict[Key, Side] = {
        Key("S", "sequential"): FakeSide("exit code 1: ModuleNotFoundError: No module named 'boxmot'"),
        Key("S", "track"): FakeSide(run(10, 0.4, frames=6)),
        Key("S", "ours"): FakeSide("did not end within 3 s"),
    }
    beside._measure(job, sides, most_s=1)
    told = results(job)
    assert told["failures"] == ["S: ours: did not end within 3 s"]
    assert told["left_out"] == [
        "S: sequential: exit code 1: ModuleNotFoundError: No module named 'boxmot'",
        "S: track: 6 frames in 1.0 s are too few",
    ]
    assert not told["entries"]


def test_a_side_that_loads_for_too_long_is_left_out(job: Job) -> None:
    slow = FakeSide(run(10, 0.4), never_ready=True)
    sides: dict[Key, Side] = {Key("S", "sequential"): slow, Key("S", "ours"): FakeSide(run(20, 0.1))}
    beside._await(job._replace(ends_s=time.monotonic() + 5), sides)
    assert list(sides) == [Key("S", "ours")]
    assert slow.closed
    assert results(job)["left_out"] == ["S: sequential: its models were not loaded in time"]


def test_the_error_of_a_process_is_its_last_line(tmp_path: Path) -> None:
    process = beside._Process(["-c", "print(1); raise SystemExit('no such model')"], tmp_path)
    with pytest.raises(SideError, match="exit code 1: no such model"):
        process.wait(10)
    process.close()


def test_all_sides_start_before_one_is_measured(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Started(FakeSide):
        def measure(self, seconds: float) -> Run:
            done.append("measured")
            return super().measure(seconds)

    def start(*_: object) -> Started:
        done.append("started")
        return Started(run(10, 0.1))

    def scenes(job: Job, folder: Path, frames: int) -> Iterator[tuple[str, Scene]]:
        yield "none", replace(SCENE, pose="none")
        yield "S", replace(SCENE, pose="folder")

    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # undone at the end
    monkeypatch.setattr(beside, "Loop", start)
    monkeypatch.setattr(beside, "Ours", start)
    monkeypatch.setattr(beside, "_scenes", scenes)
    beside.run(job)
    assert done == ["started"] * 4 + ["measured"] * 4
