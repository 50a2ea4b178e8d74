from realtime.config import AppConfig, load
from realtime.observe.status import CameraStatus
from realtime.runtime.core_budget import take_cores
from realtime.runtime.governor import Effort
from realtime.tuning import Tuning


class Stage:
    """A stage that records its efforts and its warm-ups: frame size, input size and core budget."""

    size = 640

    def __init__(self) -> None:
        self.efforts: list[Effort] = []
        self.warm: list[tuple[tuple[int, int], int | None, int]] = []

    def warm_up(self, size: tuple[int, int], side: int | None = None) -> None:
        with take_cores() as count:
            self.warm.append((size, side, count))

    def set_effort(self, effort: Effort) -> None:
        self.efforts.append(effort)
        self.size = effort.size


class Camera(CameraStatus):
    """A live camera with a latency that the test sets."""

    p95_ms = 0.0

    def recent(self) -> tuple[float, dict[str, float]]:
        return 25.0, {"p95": self.p95_ms}


class Run:
    def __init__(self, monkeypatch, levers: list[str], budgets: tuple[int, ...] = (1, 2)) -> None:
        config: AppConfig = load(environment={}, flags={"latency.target_ms": "100", "latency.levers": levers})
        self.detect, self.pose, self.camera = Stage(), Stage(), Camera("cam0")
        self.is_ending, self.now_s = False, 1000.0
        self.tuning = Tuning(config, self.detect, self.pose, budgets, lambda: self.is_ending)
        monkeypatch.setattr("realtime.tuning.time.monotonic", lambda: self.now_s)

    def pass_s(self, seconds: int, p95_ms: float) -> None:
        """Let time pass, with this latency, and look after the target every second."""
        self.camera.p95_ms = p95_ms
        for _ in range(seconds):
            self.now_s += 1.0
            self.tuning.keep_target(lambda: [self.camera], [self.camera])


def test_a_new_frame_size_is_warmed_up_once_for_each_core_budget(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for size in ((640, 480), (0, 0), (640, 480)):
        run.tuning.prepare(size)
    assert run.detect.warm == [((640, 480), None, 1), ((640, 480), None, 2)]


def test_the_detector_is_warm_for_a_smaller_input_with_every_frame_size_before_it_uses_it(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for size in ((640, 480), (1280, 720)):
        run.tuning.prepare(size)
    run.detect.warm.clear()
    run.pass_s(30, p95_ms=150)
    side = run.detect.efforts[0].size
    assert side < 640
    assert {entry for entry in run.detect.warm if entry[1] == side} == {
        (size, side, budget) for size in ((640, 480), (1280, 720)) for budget in (1, 2)
    }
    assert run.camera.lowered == [f"detector.size={run.detect.efforts[-1].size}"]


def test_the_effort_falls_while_the_latency_is_over_the_target_and_rises_again(monkeypatch):
    run = Run(monkeypatch, ["cadence", "people"])
    run.pass_s(60, p95_ms=150)
    assert run.detect.efforts[-1].every == 3
    assert run.pose.efforts[-1].max_people == 3
    assert run.camera.lowered == ["detector.every=3", "pose.max_people=3"]
    run.pass_s(1000, p95_ms=20)
    assert run.detect.efforts[-1] == Effort(1, None, 640)
    assert run.camera.lowered == []


def test_a_run_that_is_ending_warms_nothing_up_and_keeps_its_effort(monkeypatch):
    run = Run(monkeypatch, ["size"])
    run.tuning.prepare((640, 480))
    run.detect.warm.clear()
    run.is_ending = True
    run.pass_s(30, p95_ms=150)
    assert run.detect.warm == run.detect.efforts == []


def test_without_core_budgets_nothing_is_warmed_up(monkeypatch):
    run = Run(monkeypatch, ["size"], budgets=())
    run.tuning.prepare((640, 480))
    run.pass_s(30, p95_ms=150)
    assert run.detect.warm == []
    assert run.detect.efforts
