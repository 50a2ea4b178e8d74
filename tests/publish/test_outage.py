"""When writing is tried again after it has failed."""

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.publish.outage import FIRST_WAIT_S, LONGEST_WAIT_S, Outage


def test_the_waits_double_up_to_the_longest() -> None:
    outage, now_s, waits_s = Outage(), 0.0, []
    for _ in range(6):
        outage.fail(now_s)
        step = next(s for s in (1.0, 2.0, 4.0, 8.0, 10.0) if outage.may_try(now_s + s))
        waits_s.append(step)
        now_s += step
    assert waits_s == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_disk_that_worked_for_a_while_is_asked_soon_again() -> None:
    outage = Outage()
    for now_s in (0.0, 1.0, 3.0):
        outage.fail(now_s)
    assert outage.succeed(7.0)
    outage.fail(7.0 + LONGEST_WAIT_S)
    assert outage.may_try(7.0 + LONGEST_WAIT_S + FIRST_WAIT_S)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=200))
def test_attempts_are_bounded_and_each_outage_is_told_once(events: list[tuple[float, bool]]) -> None:
    """Each event: the seconds since the last one, and whether the disk works then."""
    outage, now_s = Outage(), 100.0
    attempts_s: list[float] = []  # failed ones
    begins = ends = 0
    for step_s, works in events:
        now_s += step_s
        if not outage.may_try(now_s):
            assert outage.is_on
            assert now_s - attempts_s[-1] < LONGEST_WAIT_S  # never longer than that without an attempt
            continue
        if outage.is_on:
            assert now_s - attempts_s[-1] >= FIRST_WAIT_S
        if works:
            ends += outage.succeed(now_s)
        else:
            begins += outage.fail(now_s)
            attempts_s.append(now_s)
        assert outage.is_on is not works
        assert begins - ends == outage.is_on
    # A disk with room for a line now and then fills the log slowly: at most a few outages, then one per longest wait.
    assert begins <= 5 + (now_s - 100.0) / LONGEST_WAIT_S * 2


def test_a_disk_that_fails_every_second_is_asked_less_and_less_often() -> None:
    outage, now_s, waits_s = Outage(), 100.0, []
    for _ in range(6):
        assert outage.fail(now_s)
        step = next(s for s in (1.0, 2.0, 4.0, 8.0, 10.0) if outage.may_try(now_s + s))
        waits_s.append(step)
        now_s += step
        assert outage.succeed(now_s)
        now_s += 0.1
    assert waits_s == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
