"""The governor on a simulated device, on which latency is proportional to the work per frame."""

import itertools
import random

import pytest

from realtime.runtime.governor import Effort, Governor, ladder

FULL = Effort(every=1, max_people=None, size=640)
STEPS = ladder(FULL, ["cadence", "people", "size"])


def age_ms(effort: Effort, people: int, slowness: float = 1.0) -> float:
    """The latency on a device with 60 ms per detection at 640 px and 25 ms per pose, plus 30 % for waits."""
    measured = people if effort.max_people is None else min(people, effort.max_people)
    return slowness * 1.3 * (60 * (effort.size / 640) ** 2 / effort.every + 25 * measured)


def run(governor: Governor, seconds: int, people: int, start_s: int = 0, noise: float = 0.0, slowness: float = 1.0):
    """Update once per second. Return the times at which the effort changed, and the last latency."""
    chance, changes, age = random.Random(1), [], 0.0
    for now_s in range(start_s, start_s + seconds):
        age = age_ms(governor.effort, people, slowness) * (1 + chance.uniform(-noise, noise))
        if governor.update(float(now_s), age):
            changes.append(now_s)
    return changes, age


def test_the_ladder_reduces_each_lever_a_little_and_then_a_little_more():
    assert [
        FULL, Effort(2, None, 640), Effort(2, 6, 640), Effort(2, 6, 480),
        Effort(3, 6, 480), Effort(3, 3, 480), Effort(3, 3, 320),
    ] == STEPS  # fmt: skip
    assert ladder(FULL, []) == [FULL]
    assert ladder(Effort(4, 2, 32), ["cadence", "people", "size"]) == [Effort(4, 2, 32)]


def test_the_effort_stays_the_same_while_the_target_is_kept():
    governor = Governor(STEPS, 300)
    assert run(governor, 600, people=3, noise=0.2) == ([], pytest.approx(179, rel=0.3))
    assert governor.effort == FULL
    assert governor.lowered == []


def test_a_crowd_lowers_the_effort_until_the_target_is_kept():
    governor = Governor(STEPS, 300)
    changes, age = run(governor, 60, people=20)
    assert len(changes) == 2
    assert age <= 300
    assert governor.lowered == ["detector.every=2", "pose.max_people=6"]


def test_the_full_effort_returns_when_the_crowd_has_left():
    governor = Governor(STEPS, 300)
    run(governor, 60, people=20)
    changes, _ = run(governor, 120, people=1, start_s=60)
    assert len(changes) == 2
    assert governor.effort == FULL


@pytest.mark.parametrize("people", [8, 9, 10, 12])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
def test_the_effort_does_not_oscillate(people, noise):
    # One hour close to the target: a step up that would be reverted after seconds is retried less and less often.
    governor = Governor(STEPS, 300)
    changes, _ = run(governor, 3600, people=people, noise=noise)
    assert len([s for s in changes if s > 600]) <= 12


def test_a_target_that_cannot_be_kept_leads_to_the_lowest_step_for_good():
    governor = Governor(STEPS, 20)
    changes, _ = run(governor, 3600, people=5)
    assert governor.effort == STEPS[-1]
    assert len(changes) == len(STEPS) - 1


def test_the_effort_stays_the_same_while_no_frame_is_published():
    governor = Governor(STEPS, 100)
    run(governor, 60, people=20)
    before = governor.effort
    assert not any(governor.update(float(now_s), 0.0) for now_s in range(60, 600))
    assert governor.effort == before


def test_the_full_effort_returns_soon_after_a_short_slowdown():
    governor = Governor(STEPS, 300)
    run(governor, 12, people=3, slowness=3)
    assert governor.effort != FULL
    run(governor, 60, people=3, start_s=12, slowness=0.5)
    assert governor.effort == FULL


@pytest.mark.parametrize("rise", [0.05, 0.15, 0.4])
def test_the_effort_does_not_oscillate_when_latency_rises_slowly(rise):
    # A device whose queue fills: every second, latency covers this share of the way to its final value.
    governor, age, changes = Governor(STEPS, 300), 0.0, []
    for now_s in range(3600):
        age += rise * (age_ms(governor.effort, people=9) - age)
        if governor.update(float(now_s), age):
            changes.append(now_s)
    assert len([s for s in changes if s > 600]) <= 12


def test_a_step_up_that_held_resets_the_wait_before_the_next_one():
    governor = Governor(STEPS[:2], 300)

    def changes(seconds, start_s, full_ms, lowered_ms):
        ages = {FULL: full_ms, STEPS[1]: lowered_ms}
        return [s for s in range(start_s, start_s + seconds) if governor.update(float(s), ages[governor.effort])]

    tried = changes(1000, 0, 320.0, 100.0)[1::2]  # each step up is reverted
    assert [later - sooner for sooner, later in itertools.pairwise(tried)] == sorted(
        later - sooner for sooner, later in itertools.pairwise(tried)
    )
    changes(3000, 1000, 100.0, 100.0)
    assert governor.effort == FULL
    down, up = changes(40, 4000, 320.0, 100.0)[:2]
    assert up - down < 20
