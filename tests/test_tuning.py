import logging
import threading
from collections.abc import Callable

import pytest

from realtime.config import AppConfig, load
from realtime.detect.letterbox import Letterbox
from realtime.detect.shapes import Shapes
from realtime.observe.status import CameraStatus
from realtime.runtime.core_budget import take_cores
from realtime.runtime.governor import Effort
from realtime.tuning import Tuning

WIDE, OLD = (640, 384), (640, 480)


class Stage:
    """A stage that records its efforts and its compilations: shape and core budget."""

    size = 640

    def __init__(self) -> None:
        self.efforts: list[Effort] = []
        self.compiled: list[tuple[tuple[int, int], int]] = []
        self.shapes = Shapes(stride=32, side=640)

    def compile(self, shape: tuple[int, int]) -> None:
        assert shape not in self.shapes.compiled
        with take_cores() as count:
            self.compiled.append((shape, count))

    def set_effort(self, effort: Effort) -> None:
        self.efforts.append(effort)
        self.size = effort.size


class Camera(CameraStatus):
    """A live camera with a latency that the test sets."""

    p95_ms = 0.0

    def recent(self) -> tuple[float, dict[str, float]]:
        return 25.0, {"p95": self.p95_ms}


class Run:
    """A run whose time and latency the test sets. Started threads wait in `waiting` until `compile` runs them."""

    def __init__(self, monkeypatch, levers: list[str], budgets: tuple[int, ...] = (1, 2)) -> None:
        config: AppConfig = load(environment={}, flags={"latency.target_ms": "100", "latency.levers": levers})
        self.detect, self.pose, self.camera = Stage(), Stage(), Camera("cam0")
        self.is_ending, self.now_s = False, 1000.0
        self.waiting: list[Thread] = []
        self.tuning = Tuning(config, self.detect, self.pose, budgets, lambda: self.is_ending)
        monkeypatch.setattr("realtime.tuning.time.monotonic", lambda: self.now_s)

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        self.waiting.append(Thread(work))
        return self.waiting[-1]

    def compile(self) -> None:
        """Let the started thread do its work, and start the next, until nothing is due."""
        self.tuning.compile_next(self.start)
        while self.waiting:
            self.waiting.pop().finish()
            self.tuning.compile_next(self.start)

    def pass_s(self, seconds: int, p95_ms: float) -> None:
        """Let time pass, with this latency, and look after the shapes and the target every second."""
        self.camera.p95_ms = p95_ms
        for _ in range(seconds):
            self.now_s += 1.0
            self.compile()
            self.tuning.keep_target(lambda: [self.camera], [self.camera])


class Thread:
    """A thread that works when the test says so."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._is_alive = work, True

    def is_alive(self) -> bool:
        return self._is_alive

    def finish(self) -> None:
        self._work()
        self._is_alive = False


def test_a_file_waits_until_the_detector_is_compiled_once_for_each_core_budget(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for camera, size in (("cam0", (640, 480)), ("cam0", (0, 0)), ("cam1", (640, 480)), ("cam0", None)):
        run.tuning.prepare(camera, size, live=False)
    assert run.detect.compiled == [(OLD, 1), (OLD, 2)]
    assert run.detect.shapes.compiled == {OLD}


def test_each_shape_is_announced_before_it_is_compiled_for_the_first_time(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    run = Run(monkeypatch, ["size"])
    shapes = [(640, 32 * number) for number in range(1, 21)]  # more than are kept
    for _ in range(2):
        for shape in shapes:
            run.tuning.prepare("photographs", shape, live=False)
    assert caplog.messages == [f"detector: compiling for {width}x{height}" for width, height in shapes]
    assert len(run.detect.compiled) == 2 * 2 * len(shapes)


def test_a_live_camera_does_not_wait_and_the_detector_is_compiled_on_another_thread(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for camera in ("cam0", "cam1"):
        run.tuning.prepare(camera, (640, 480), live=True)
    assert run.detect.compiled == []
    for _ in range(3):
        run.tuning.compile_next(run.start)
    [thread] = run.waiting
    run.tuning.prepare("cam0", (1280, 720), live=True)
    thread.finish()
    run.compile()
    assert run.detect.compiled == [(OLD, 1), (OLD, 2)]  # cam0 has to wait for its second shape
    run.now_s += 10.0
    run.compile()
    assert run.detect.compiled[2:] == [(WIDE, 1), (WIDE, 2)]


def test_a_new_camera_s_shape_is_compiled_although_another_camera_keeps_changing_its_own(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for number in range(1, 30):
        run.now_s += 1.0
        run.tuning.prepare("odd", (640, 20 * number), live=True)
        run.compile()
    assert len(run.detect.compiled) == 2 * 3
    run.tuning.prepare("new", (480, 640), live=True)
    run.compile()
    assert run.detect.compiled[-1] == ((480, 640), 2)


def test_a_run_without_threads_for_the_compiler_goes_on_and_tries_again(monkeypatch, caplog):
    run = Run(monkeypatch, ["size"])
    run.tuning.prepare("cam0", (640, 480), live=True)

    def start(name: str, work: Callable[[], None]) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    for _ in range(3):
        run.tuning.compile_next(start)
    [record] = caplog.records
    assert record.message.startswith("cam0: ")
    assert "can't start new thread" in record.message
    run.now_s += 10.0
    run.compile()
    assert run.detect.shapes.compiled == {OLD}


def test_an_error_of_the_compiler_reaches_the_thread_that_runs_it(monkeypatch):
    run = Run(monkeypatch, ["size"])
    monkeypatch.setattr(run.detect, "compile", lambda shape: 1 / 0)
    run.tuning.prepare("cam0", (640, 480), live=True)
    with pytest.raises(ZeroDivisionError):
        run.compile()


def test_the_detector_is_compiled_for_a_smaller_input_with_every_frame_size_before_it_uses_it(monkeypatch):
    run = Run(monkeypatch, ["size"])
    sizes = [(640, 480), (1280, 720), (720, 1280)]
    for camera, size in zip(("cam0", "cam1", "file"), sizes, strict=True):
        run.tuning.prepare(camera, size, live=camera != "file")
    run.compile()
    set_effort = run.detect.set_effort

    def check(effort: Effort) -> None:
        shapes = {Letterbox.of(size, effort.size, 32).input_size for size in sizes}
        assert shapes <= run.detect.shapes.compiled
        set_effort(effort)

    monkeypatch.setattr(run.detect, "set_effort", check)
    run.pass_s(30, p95_ms=150)
    assert [effort.size for effort in run.detect.efforts] == [480, 320]
    assert run.camera.lowered == ["detector.size=320"]


def test_a_camera_that_keeps_changing_its_shape_does_not_hold_the_effort_up(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for number in range(30):
        run.tuning.prepare("odd", (640, 320 + number * 10), live=True)
        run.pass_s(1, p95_ms=150)
    assert [effort.size for effort in run.detect.efforts] == [480, 320]


def test_the_shapes_of_sizes_and_cameras_together_stay_few(monkeypatch):
    run = Run(monkeypatch, ["size"])
    for number in range(8):
        run.tuning.prepare(f"cam{number}", [(640, 480), (1280, 720), (720, 1280)][number % 3], live=True)
    for p95_ms in (150, 20) * 5:
        run.pass_s(60, p95_ms)
    assert len(run.detect.efforts) > 4
    assert len(run.detect.shapes.compiled) <= 3 + 4


def test_the_effort_falls_while_the_latency_is_over_the_target_and_rises_again(monkeypatch):
    run = Run(monkeypatch, ["cadence", "people"])
    run.pass_s(60, p95_ms=150)
    assert run.detect.efforts[-1].every == 3
    assert run.pose.efforts[-1].max_people == 3
    assert run.camera.lowered == ["detector.every=3", "pose.max_people=3"]
    run.pass_s(1000, p95_ms=20)
    assert run.detect.efforts[-1] == Effort(1, None, 640)
    assert run.camera.lowered == []


@pytest.mark.parametrize("activity", ["still", "empty"])
def test_a_camera_in_front_of_which_nothing_happens_does_not_change_the_effort(monkeypatch, activity):
    run = Run(monkeypatch, ["cadence", "people"])
    run.camera.activity = activity
    run.pass_s(60, p95_ms=150)  # a single slow frame among few
    assert run.detect.efforts == []
    run.camera.activity = "active"
    run.pass_s(60, p95_ms=150)
    lowest = run.detect.efforts[-1]
    run.camera.activity = activity
    run.pass_s(1000, p95_ms=20)
    run.camera.activity = "active"
    run.pass_s(5, p95_ms=20)
    assert run.detect.efforts[-1] == lowest
    run.pass_s(1000, p95_ms=20)
    assert run.detect.efforts[-1] == Effort(1, None, 640)


def test_a_run_that_is_ending_compiles_nothing_and_keeps_its_effort(monkeypatch):
    run = Run(monkeypatch, ["size"])
    run.tuning.prepare("cam0", (640, 480), live=True)
    run.compile()
    run.detect.compiled.clear()
    run.is_ending = True
    run.tuning.prepare("cam1", (480, 640), live=True)
    run.tuning.prepare("cam2", (480, 320), live=False)
    run.pass_s(30, p95_ms=150)
    assert run.detect.compiled == run.detect.efforts == []


def test_without_core_budgets_nothing_is_compiled_and_all_frames_go_into_their_own_shape(monkeypatch):
    run = Run(monkeypatch, ["size"], budgets=())
    run.tuning.prepare("cam0", (640, 480), live=True)
    assert run.detect.shapes.compiled == {OLD}
    run.pass_s(30, p95_ms=150)
    assert run.detect.compiled == []
    assert run.detect.efforts
