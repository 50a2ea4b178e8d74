from collections.abc import Callable

import pytest

from realtime.runtime.channel import Channel, Closed
from realtime.runtime.crew import Crew
from realtime.runtime.loop import run_stage
from realtime.runtime.watch import Unwatched
from realtime.types import Detections, Frame
from tests.doubles import RecordingWatch

Make = Callable[..., Frame]


class Blind:
    """A stage that detects no people, and fails at frame `fails_at`."""

    name = "detect"

    def __init__(self, fails_at: int = -1) -> None:
        self.closed = 0
        self._fails_at = fails_at

    def process(self, batch: list[Frame]) -> list[Detections]:
        if any(frame.index == self._fails_at for frame in batch):
            raise RuntimeError("the model failed")
        return [Detections.empty(frame) for frame in batch]

    def close(self) -> None:
        self.closed += 1


def test_results_keep_their_order_and_carry_the_time_spent(make_frame: Make) -> None:
    inbox: Channel[Frame] = Channel(9)
    outbox: Channel[Detections] = Channel(9)
    for index in range(5):
        inbox.put(make_frame(index))
    inbox.close()
    stage, watch = Blind(), RecordingWatch()
    run_stage(stage, inbox, outbox, watch)
    results = outbox.take()
    assert [result.frame.index for result in results] == list(range(5))
    assert all(result.frame.timing_ms["detect"] >= 0 for result in results)
    assert watch.calls == [("detect", 5)]
    assert stage.closed == 1


def test_the_outbox_is_closed_when_the_inbox_ends() -> None:
    inbox: Channel[Frame] = Channel(1)
    outbox: Channel[Detections] = Channel(1)
    inbox.close()
    run_stage(Blind(), inbox, outbox, Unwatched())
    with pytest.raises(Closed):
        outbox.take()


def test_a_stage_that_fails_is_closed_and_its_error_reaches_the_crew(make_frame: Make) -> None:
    inbox: Channel[Frame] = Channel(2)
    inbox.put(make_frame(3))
    stage, crew, watch = Blind(fails_at=3), Crew(), RecordingWatch()
    crew.start("detect", lambda: run_stage(stage, inbox, None, watch))
    assert crew.join(30) == []
    assert watch.failures == 1
    assert crew.failed.is_set()
    assert isinstance(crew.failure, RuntimeError)
    assert stage.closed == 1


def test_the_crew_keeps_the_first_failure() -> None:
    crew = Crew()

    def fail(message: str) -> None:
        raise ValueError(message)

    crew.start("a", lambda: fail("first"))
    crew.join(30)
    crew.start("b", lambda: fail("second"))
    crew.join(30)
    assert str(crew.failure) == "first"


def test_ticks_continue_while_no_item_arrives() -> None:
    inbox: Channel[Frame] = Channel(1)
    ticks: list[int] = []

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 3:
            inbox.close()

    run_stage(Blind(), inbox, None, Unwatched(), tick=tick, tick_s=0.001)
    assert len(ticks) == 3
