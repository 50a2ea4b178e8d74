"""The latency promise on a simulated device: frames take so long as their work, ages follow."""

import itertools
import random

import pytest

from realtime.runtime.governor import Effort, Governor, ladder

FULL = Effort(every=1, max_people=None, size=640)
STEPS = ladder(FULL, ["cadence", "people", "size"])


def age_ms(effort: Effort, people: int, slowness: float = 1.0) -> float:
    """A device: 60 ms a detection at 640, 25 ms a pose; some of it waits."""
    measured = people if effort.max_people is None else min(people, effort.max_people)
    return slowness * 1.3 * (60 * (effort.size / 640) ** 2 / effort.every + 25 * measured)


def run(governor: Governor, seconds: int, people: int, start_s: int = 0, noise: float = 0.0, slowness: float = 1.0):
    """Once a second; the times at which the effort changed, and the last age."""
    chance, changes, age = random.Random(1), [], 0.0
    for now_s in range(start_s, start_s + seconds):
        age = age_ms(governor.effort, people, slowness) * (1 + chance.uniform(-noise, noise))
        if governor.update(float(now_s), age):
            changes.append(now_s)
    return changes, age


def test_the_ladder_lowers_each_a_little_then_each_a_little_more():
    assert [
        FULL, Effort(2, None, 640), Effort(2, 6, 640), Effort(2, 6, 480),
        Effort(3, 6, 480), Effort(3, 3, 480), Effort(3, 3, 320),
    ] == STEPS  # fmt: skip
    assert ladder(FULL, []) == [FULL]
    assert ladder(Effort(4, 2, 32), ["cadence", "people", "size"]) == [Effort(4, 2, 32)]


def test_nothing_is_lowered_while_the_target_is_kept():
    governor = Governor(STEPS, 300)
    assert run(governor, 600, people=3, noise=0.2) == ([], pytest.approx(179, rel=0.3))
    assert governor.effort == FULL
    assert governor.lowered == []


def test_a_crowd_lowers_the_effort_until_the_target_is_kept_and_says_so():
    governor = Governor(STEPS, 300)
    changes, age = run(governor, 60, people=20)
    assert len(changes) == 2
    assert age <= 300
    assert governor.lowered == ["detector.every=2", "pose.max_people=6"]


def test_all_is_given_back_when_the_crowd_has_gone():
    governor = Governor(STEPS, 300)
    run(governor, 60, people=20)
    changes, _ = run(governor, 120, people=1, start_s=60)
    assert len(changes) == 2
    assert governor.effort == FULL


@pytest.mark.parametrize("people", [8, 9, 10, 12])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.25])
def test_it_does_not_swing(people, noise):
    # An hour on any edge: what would come back and forth every few seconds is tried ever more rarely.
    governor = Governor(STEPS, 300)
    changes, _ = run(governor, 3600, people=people, noise=noise)
    assert len([s for s in changes if s > 600]) <= 12


def test_a_target_that_cant_be_kept_ends_at_the_lowest_step_and_stays():
    governor = Governor(STEPS, 20)
    changes, _ = run(governor, 3600, people=5)
    assert governor.effort == STEPS[-1]
    assert len(changes) == len(STEPS) - 1


def test_silence_changes_nothing():
    governor = Governor(STEPS, 100)
    run(governor, 60, people=20)
    before = governor.effort
    assert not any(governor.update(float(now_s), 0.0) for now_s in range(60, 600))
    assert governor.effort == before


def test_a_hiccup_is_given_back_soon_a_lasting_one_tried_rarely():
    governor = Governor(STEPS, 300)
    run(governor, 12, people=3, slowness=3)
    assert governor.effort != FULL
    run(governor, 60, people=3, start_s=12, slowness=0.5)
    assert governor.effort == FULL


@pytest.mark.parametrize("rise", [0.05, 0.15, 0.4])
def test_it_does_not_swing_where_ages_rise_slowly(rise):
    # A device whose queue fills: it comes so much nearer to what it will be in each second.
    governor, age, changes = Governor(STEPS, 300), 0.0, []
    for now_s in range(3600):
        age += rise * (age_ms(governor.effort, people=9) - age)
        if governor.update(float(now_s), age):
            changes.append(now_s)
    assert len([s for s in changes if s > 600]) <= 12


def test_after_a_step_up_that_held_the_next_one_is_tried_soon():
    governor = Governor(STEPS[:2], 300)

    def changes(seconds, start_s, full_ms, lowered_ms):
        ages = {FULL: full_ms, STEPS[1]: lowered_ms}
        return [s for s in range(start_s, start_s + seconds) if governor.update(float(s), ages[governor.effort])]

    tried = changes(1000, 0, 320.0, 100.0)[1::2]  # each is taken back
    assert [later - sooner for sooner, later in itertools.pairwise(tried)] == sorted(
        later - sooner for sooner, later in itertools.pairwise(tried)
    )
    changes(3000, 1000, 100.0, 100.0)
    assert governor.effort == FULL
    down, up = changes(40, 4000, 320.0, 100.0)[:2]
    assert up - down < 20
