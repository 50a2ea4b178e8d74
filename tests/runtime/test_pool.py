import random
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from realtime.runtime import pool as pools
from realtime.runtime.channel import Channel, Closed
from realtime.runtime.core_budget import take_cores
from realtime.runtime.crew import Crew
from realtime.runtime.loop import run_divided
from realtime.runtime.pool import Pool, concurrency_for
from realtime.runtime.stage import Part, Work
from realtime.runtime.watch import Unwatched
from realtime.types import Detections, Frame
from tests.doubles import FakeDoor, RecordingWatch, wait_until

Make = Callable[..., Frame]


class Busy:
    """A stage that divides each frame into several parts, each of which calls `part`."""

    name = "detect"

    def __init__(self, part: Callable[[Frame], None] = lambda frame: None, parts: int = 3) -> None:
        self.closed = 0
        self._part, self._parts = part, parts

    def divide(self, frame: Frame, concurrency: int) -> Work[Detections]:
        done: list[int] = []

        def part(number: int) -> None:
            self._part(frame)
            done.append(number)

        def finish() -> Detections:
            assert sorted(done) == list(range(self._parts))
            return Detections.empty(frame)

        return Work([Part(partial(part, number)) for number in range(self._parts)], finish)

    def close(self) -> None:
        self.closed += 1


def run(
    stage: Busy, frames: list[Frame], concurrency: int = 3, throughput: bool = False
) -> tuple[list[Detections], Crew]:
    """Send frames through a stage on a pool, until all are done or a part fails."""
    inbox: Channel[Frame] = Channel(len(frames))
    outbox: Channel[Detections] = Channel(len(frames))
    for frame in frames:
        inbox.put(frame)
    inbox.close()
    watch = RecordingWatch()
    pool, crew = Pool(["detect"], concurrency, FakeDoor(), watch, throughput), Crew()
    for number in range(pool.threads):
        crew.start(f"pool-{number}", pool.work)
    crew.start("detect", lambda: run_divided(stage, inbox, outbox, pool, watch))
    while crew.alive() and not crew.failed.is_set():
        crew.join(0.01)
    pool.stop()
    assert crew.join(30) == []
    assert bool(watch.failures) == crew.failed.is_set()
    try:
        return outbox.take(0), crew
    except Closed:
        return [], crew


@pytest.mark.parametrize("parts", [0, 1, 4])
def test_results_leave_in_the_order_of_each_camera_s_frames(make_frame: Make, parts: int) -> None:
    chance = random.Random(0)
    stage = Busy(lambda frame: time.sleep(chance.uniform(0, 0.003)), parts)
    frames = [make_frame(index, camera) for index in range(15) for camera in ("a", "b")]
    results, crew = run(stage, frames)
    assert crew.failure is None
    for camera in ("a", "b"):
        assert [r.frame.index for r in results if r.frame.camera == camera] == list(range(15))
    assert all(result.frame.timing_ms["detect"] >= 0 for result in results)
    assert stage.closed == 1


def test_a_slow_frame_of_one_camera_delays_no_other_camera(make_frame: Make) -> None:
    others_done, seen = threading.Event(), []

    def part(frame: Frame) -> None:
        if frame.camera == "slow":
            assert others_done.wait(30)
        else:
            seen.append(frame.index)
            if len(seen) == 5:
                others_done.set()

    frames = [make_frame(0, "slow"), *(make_frame(index, "fast") for index in range(5))]
    results, crew = run(Busy(part, parts=1), frames, concurrency=2)
    assert crew.failure is None
    assert [result.frame.camera for result in results] == ["fast"] * 5 + ["slow"]


def test_an_error_in_a_part_ends_the_run_with_this_error(make_frame: Make) -> None:
    def part(frame: Frame) -> None:
        if frame.index == 2:
            raise RuntimeError("the model failed")

    _, crew = run(Busy(part), [make_frame(index) for index in range(5)])
    assert str(crew.failure) == "the model failed"


def test_a_part_that_runs_alone_gets_all_cores_and_concurrent_parts_share_them(make_frame: Make, monkeypatch) -> None:
    monkeypatch.setattr(pools, "all_cores", lambda: 8)
    counts: list[int] = []

    def alone(frame: Frame) -> None:
        with take_cores() as count:
            counts.append(count)

    run(Busy(alone, parts=1), [make_frame(0)], concurrency=2)
    run(Busy(alone, parts=1), [make_frame(0)], concurrency=2, throughput=True)  # networks are compiled for this only
    assert counts == [8, 4]
    together = threading.Barrier(2)

    def part(frame: Frame) -> None:
        with take_cores() as count:
            counts.append(count)
            together.wait(30)

    counts.clear()
    run(Busy(part, parts=2), [make_frame(0)], concurrency=2)
    assert sorted(counts) == [4, 4]


def test_in_throughput_mode_one_part_is_prepared_while_inferences_use_all_cores(make_frame: Make) -> None:
    computing, most, prepared, three = 0, 0, [], threading.Event()
    lock = threading.Lock()

    def part(frame: Frame) -> None:
        nonlocal computing, most
        prepared.append(frame.index)
        if len(prepared) == 3:
            three.set()
        with take_cores():
            with lock:
                computing += 1
                most = max(most, computing)
            assert three.wait(30)  # the third is prepared while the first two compute
            with lock:
                computing -= 1

    results, crew = run(Busy(part, parts=1), [make_frame(index) for index in range(6)], concurrency=2, throughput=True)
    assert crew.failure is None
    assert len(results) == 6
    assert most == 2


def test_a_wait_for_cores_is_reported_as_waiting_and_not_as_work(make_frame: Make) -> None:
    first_computes = threading.Event()

    def part(frame: Frame) -> None:
        if frame.index == 1:
            assert first_computes.wait(30)
        with take_cores():
            first_computes.set()
            if frame.index == 0:
                time.sleep(0.2)

    inbox: Channel[Frame] = Channel(2)
    outbox: Channel[Detections] = Channel(2)
    for index in range(2):
        inbox.put(make_frame(index))
    inbox.close()
    watch = RecordingWatch()
    pool, crew = Pool(["detect"], 1, FakeDoor(), watch, throughput=True), Crew()
    for number in range(pool.threads):
        crew.start(f"pool-{number}", pool.work)
    run_divided(Busy(part, parts=1), inbox, outbox, pool, watch)
    assert crew.join(30) == []
    busy_ms = [result.frame.timing_ms["detect"] for result in outbox.take(0)]
    assert busy_ms[0] >= 200 > busy_ms[1]
    assert watch.waits_s[1] >= 0.05


@pytest.mark.parametrize(
    ("throughput", "cores", "expected"),
    [
        (True, 2, [2, 2, 2, 2]),
        (True, 3, [3, 3, 3, 3]),
        (True, 4, [2, 2, 3, 4]),
        (False, 1, [1] * 4),
        (False, 2, [1] * 4),
        (False, 8, [2, 2, 3, 4]),
    ],
)
def test_one_inference_runs_per_camera_within_the_limits_of_the_cores(
    throughput: bool, cores: int, expected: list[int], monkeypatch
) -> None:
    monkeypatch.setattr(pools, "all_cores", lambda: cores)
    assert [concurrency_for(cameras, throughput) for cameras in (1, 2, 3, 9)] == expected


# ---- when a frame may enter


class Nothing:
    """The owner of a part whose end does not matter."""

    def part_began(self) -> None:
        pass

    def part_done(self, waited_s: float) -> None:
        pass


class Hand:
    """A pool for two stages and two threads, which run once `start` is called."""

    def __init__(self, make_frame: Make) -> None:
        self._door, self._make_frame = FakeDoor(), make_frame
        self.pool = Pool(["detect", "pose"], 2, self._door, Unwatched())

    def submit(self, stage: str, number: int = 0, units: int = 1, run: Callable[[], None] = lambda: None) -> None:
        self.pool.submit(stage, self._make_frame(number), Part(run, units), Nothing())

    @property
    def may_enter(self) -> bool:
        return self._door.is_open


@pytest.fixture
def hand(make_frame: Make) -> Hand:
    return Hand(make_frame)


def test_frames_enter_until_each_thread_has_work(hand: Hand) -> None:
    hand.submit("detect", 0)
    assert hand.may_enter
    hand.submit("detect", 1)
    assert not hand.may_enter


def test_one_more_frame_enters_in_throughput_mode(make_frame: Make) -> None:
    door = FakeDoor()
    pool = Pool(["detect"], 2, door, Unwatched(), throughput=True)
    for number, may_enter in ((0, True), (1, True), (2, False)):
        pool.submit("detect", make_frame(number), Part(lambda: None), Nothing())
        assert door.is_open is may_enter


def test_a_result_between_two_stages_counts_as_work(hand: Hand) -> None:
    hand.submit("detect", 0)
    hand.pool.passed_on("detect")
    assert not hand.may_enter
    hand.pool.arrived("pose")
    assert hand.may_enter


class Clock:
    """Time that passes only when a part says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


def test_the_next_frame_enters_while_the_last_people_of_the_previous_one_wait(hand: Hand, monkeypatch) -> None:
    clock = Clock()
    monkeypatch.setattr(pools, "time", clock)
    running: list[threading.Event] = []

    def held() -> None:
        """A part that ends when the test says so."""
        running.append(end := threading.Event())
        assert end.wait(30)

    threads = [threading.Thread(target=hand.pool.work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for stage, seconds in (("detect", 0.05), ("pose", 0.02)):  # the pool learns how long each takes
        learned = threading.Event()
        hand.submit(stage, run=lambda seconds=seconds, learned=learned: (clock.pass_s(seconds), learned.set()))
        assert learned.wait(30)
    for _ in range(2):
        hand.submit("pose", run=held)
    wait_until(lambda: len(running) == 2)

    for _ in range(3):
        hand.submit("pose", units=2, run=held)
    assert not hand.may_enter  # 120 ms of work is queued, and a detection takes 50 ms
    for _ in range(2):
        running.pop(0).set()
        wait_until(lambda: len(running) == 2)
    assert hand.may_enter  # at most 40 ms of work is queued
    hand.submit("detect", 1)
    assert not hand.may_enter  # one new frame is enough
    for _ in threads:
        hand.pool.leave()
    while any(thread.is_alive() for thread in threads):
        for end in running:
            end.set()
        time.sleep(0.001)


def test_parts_of_earlier_stages_and_then_of_older_frames_run_first(make_frame: Make) -> None:
    order: list[tuple[str, int]] = []
    pool = Pool(["detect", "pose"], 1, FakeDoor(), Unwatched())
    for stage, number in (("pose", 2), ("pose", 1), ("detect", 4), ("detect", 3)):
        part = Part(lambda key=(stage, number): order.append(key))  # type: ignore[misc]
        pool.submit(stage, make_frame(number), part, Nothing())
    pool.leave()
    pool.leave()
    pool.work()
    assert order == [("detect", 3), ("detect", 4), ("pose", 1), ("pose", 2)]
