import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.boxes import carried
from realtime.pose.budget import FORGET_S, Measurement, PersonBudget, Turn, completed
from realtime.types import Frame, Tracks

IMAGE = np.zeros((2, 2, 3), np.uint8)
BOX = (100.0, 100.0, 200.0, 300.0)  # its person's size, the longer side, is 200 px
K = 3


def tracks_of(time_s, ids, boxes=BOX, camera="cam0", epoch=0):
    """Tracks with these ids; `boxes` is one box for all of them or one box each."""
    n = len(ids)
    return Tracks(
        Frame(camera, epoch, 0, IMAGE, time_s, 0, 0),
        np.array(np.broadcast_to(boxes, (n, 4)), np.float32, order="C"),
        np.full(n, 0.8, np.float32),
        np.array(ids, np.int64),
        np.ones(n, np.bool_),
    )


def choose(budget, time_s, ids, boxes=BOX, **camera):
    """The ids chosen in a frame."""
    chosen = budget.choose(tracks_of(time_s, ids, boxes, **camera)).chosen
    return {track_id for track_id, is_chosen in zip(ids, chosen, strict=True) if is_chosen}


def moved(by_px):
    return np.add(BOX, by_px)


# ---- the choice


@pytest.mark.parametrize("people", [0, 1, 3])
def test_all_people_are_measured_while_they_are_within_the_budget(people):
    budget, ids = PersonBudget(3), list(range(1, people + 1))
    assert [choose(budget, t, ids) for t in range(4)] == [set(ids)] * 4


def test_with_a_budget_of_one_people_take_turns_in_order():
    budget = PersonBudget(1)
    assert [choose(budget, t, [1, 2, 3]) for t in range(7)] == [{1}, {2}, {3}, {1}, {2}, {3}, {1}]


def test_people_never_measured_have_the_greatest_need():
    budget = PersonBudget(2)
    # In the queue, the new person 9 is behind 1, 2 and 3.
    assert [choose(budget, t, [1, 2, 3]) for t in range(2)] == [{1, 2}, {1, 3}]
    assert 9 in choose(budget, 2.0, [1, 2, 3, 9])


def test_a_new_person_joins_the_back_of_the_queue():
    budget = PersonBudget(1)
    choose(budget, 0.0, [1, 2, 3])
    assert [choose(budget, t, [1, 2, 3, 9]) for t in (1.0, 2.0, 3.0, 4.0)] == [{2}, {3}, {1}, {9}]


NEAR = np.multiply(BOX, 5)  # its person's size is 1000 px
NEEDS = [
    # boxes of 4 and 5 when they are measured, their boxes later, the person measured by need; 1, 2 and 3 stand still
    ([BOX, BOX], [moved(40), moved(20)], 4),  # 4 moved further
    ([BOX, BOX], [moved(20), moved(40)], 5),  # 5 moved further
    ([BOX, BOX], [moved(10), np.add(BOX, (0, -30, 0, 0))], 5),  # 5 stood up: only one side moved
    ([NEAR, BOX], [NEAR + 90, moved(40)], 5),  # relative to the person's size, 40 of 200 px are more than 90 of 1000
]  # fmt: skip


@pytest.mark.parametrize(("before", "later", "chosen"), NEEDS)
def test_the_box_that_changed_most_since_its_measurement_has_the_greatest_need(before, later, chosen):
    budget, ids, still = PersonBudget(2), [1, 2, 3, 4, 5], [BOX, BOX, BOX]
    for t in range(3):
        choose(budget, t, ids, still + before)  # measures 1 and 2, then 3 and 4, then 5 and one of the others
    assert choose(budget, 3.0, ids, still + later) - {1, 2, 3} == {chosen}


def test_a_person_absent_for_a_short_time_keeps_their_place_in_the_queue():
    budget = PersonBudget(1)
    assert [choose(budget, t, [1, 2, 3]) for t in range(2)] == [{1}, {2}]
    assert choose(budget, 2.0, [1, 2]) == {1}
    assert choose(budget, 3.0, [1, 2, 3]) == {3}


def test_a_person_absent_for_a_long_time_counts_as_new():
    budget = PersonBudget(1)
    choose(budget, 0.0, [1, 2])
    assert choose(budget, 1.0, [1]) == {1}
    assert choose(budget, FORGET_S + 0.5, [1, 2]) == {1}


@st.composite
def presences(draw, flicker):
    """Frames as (time_s, ids in any order), all within `FORGET_S`.

    With `flicker`, people are absent from frames at random; otherwise each person comes and goes once.
    """
    frames, people = draw(st.integers(1, 30)), draw(st.integers(1, 9))
    times_s = np.cumsum(draw(st.lists(st.floats(0.001, 0.15), min_size=frames, max_size=frames)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if flicker:
        present = random.random((frames, people)) < random.random(people)
    else:
        ends = np.sort(random.integers(-5, frames + 6, (people, 2)), axis=1)
        rows = np.arange(frames)[:, None]
        present = (rows >= ends[:, 0]) & (rows <= ends[:, 1])
    return [(time_s, [int(i) + 1 for i in random.permutation(np.flatnonzero(row))])
            for time_s, row in zip(times_s, present, strict=True)]  # fmt: skip


def chosen_of(frames, max_people, seed=0):
    """The ids chosen in each frame, for boxes that move at random."""
    budget, random = PersonBudget(max_people), np.random.default_rng(seed)
    return [choose(budget, t, ids, random.uniform(0, 500, (len(ids), 2))[:, [0, 1, 0, 1]] + [0, 0, 50, 90])
            for t, ids in frames]  # fmt: skip


def waits_of(frames, chosen):
    """Every wait of every person, as the ids present in each frame of it.

    A wait is a run of frames in which the person is present but not measured; frames without the person don't count.
    """
    for person in {i for _, ids in frames for i in ids}:
        wait = []
        for (_, ids), measured in zip(frames, chosen, strict=True):
            if person in measured:
                wait = []
            elif person in ids:
                wait.append(set(ids))
                # Yield only prefixes of a wait: the bound counts everyone present since the wait began.
                yield list(wait)


@given(frames=presences(flicker=False), max_people=st.integers(1, 7), seed=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_no_wait_is_longer_than_one_round_of_the_queue_while_people_come_and_go(frames, max_people, seed):
    for wait in waits_of(frames, chosen_of(frames, max_people, seed)):
        people = max(len(ids) for ids in wait)
        assert len(wait) < math.ceil(people / math.ceil(max_people / 2))


@given(frames=presences(flicker=True), max_people=st.integers(1, 7), seed=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_no_wait_is_longer_than_one_round_of_the_queue_while_detections_flicker(frames, max_people, seed):
    for wait in waits_of(frames, chosen_of(frames, max_people, seed)):
        people = len(set().union(*wait))
        assert len(wait) < math.ceil(people / math.ceil(max_people / 2))


@given(frames=presences(flicker=True), max_people=st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_the_budget_is_never_exceeded_and_always_used_up(frames, max_people):
    for (_, ids), measured in zip(frames, chosen_of(frames, max_people), strict=True):
        assert len(measured) == min(len(ids), max_people)


@given(frames=presences(flicker=True), max_people=st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_the_choice_does_not_depend_on_the_order_of_people(frames, max_people):
    sorted_, as_drawn = PersonBudget(max_people), PersonBudget(max_people)
    for time_s, ids in frames:
        assert choose(sorted_, time_s, sorted(ids)) == choose(as_drawn, time_s, ids)


# ---- state


def test_a_new_epoch_starts_without_state_even_if_time_runs_backwards():
    budget = PersonBudget(1)
    choose(budget, 10.0, [1, 2])
    turn = budget.choose(tracks_of(0.0, [1, 2], epoch=1))
    assert turn.chosen.tolist() == [True, False]
    assert turn.latest[1] is None


def test_cameras_with_the_same_track_ids_have_separate_state():
    budget = PersonBudget(1)
    turns = [choose(budget, t, [1, 2], camera=camera) for t in range(2) for camera in ("a", "b")]
    assert turns == [{1}, {1}, {2}, {2}]


def test_a_forgotten_camera_starts_without_state():
    budget = PersonBudget(1)
    for camera in ("a", "b"):
        choose(budget, 0.0, [1, 2], camera=camera)
    budget.forget("a")
    assert [budget.remembered(camera) for camera in ("a", "b")] == [0, 2]
    assert [choose(budget, 1.0, [1, 2], camera=camera) for camera in ("a", "b")] == [{1}, {2}]


def test_memory_stays_bounded_if_every_frame_brings_new_people():
    budget = PersonBudget(1)
    for t in range(500):
        choose(budget, t / 10, [2 * t + 1, 2 * t + 2])
        assert budget.remembered("cam0") <= 2 * (FORGET_S * 10 + 1)
    choose(budget, 1000.0, [])
    assert budget.remembered("cam0") == 0


# ---- predicted poses


def pose_in(box):
    """Keypoints (1, K, 3) at a box's top left corner, at its middle, and beyond its lower edge."""
    x1, y1, x2, y2 = box
    return np.array([[[x1, y1, 0.5], [(x1 + x2) / 2, (y1 + y2) / 2, 0.9], [x2, 2 * y2 - y1, 0.1]]], np.float32)


NOWS = [
    BOX,  # stands still
    (130, 90, 230, 290),  # moved
    (50, 100, 250, 500),  # came nearer
    (120, 100, 180, 300),  # turned aside: narrower
    (100, 100, 100, 100),  # a box without area counts as 1 px wide and high
]  # fmt: skip


@pytest.mark.parametrize("now", NOWS)
def test_a_pose_moves_and_stretches_with_its_box_and_keeps_its_scores(now):
    x1, y1, x2, y2 = now
    target = (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))
    out = carried(pose_in(BOX), np.array([BOX], np.float32), np.array([now], np.float32))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, pose_in(target), rtol=1e-6)


def test_a_person_not_chosen_has_their_last_measured_pose_moved_with_their_box():
    budget, poses = PersonBudget(1), pose_in(BOX)
    first, second = tracks_of(0.0, [1, 2]), tracks_of(1.0, [2, 1], [moved(7), moved(30)])
    out = completed(first, budget.choose(first), poses)
    np.testing.assert_array_equal(out[0], poses[0])
    assert np.isnan(out[1]).all()
    out = completed(second, budget.choose(second), pose_in(moved(7)))
    np.testing.assert_array_equal(out[0], pose_in(moved(7))[0])
    np.testing.assert_allclose(out[1], pose_in(moved(30))[0], rtol=1e-6)


def test_a_chosen_person_has_exactly_the_keypoints_that_the_model_found():
    tracks, found = tracks_of(0.0, [1, 2]), np.random.default_rng(0).normal(0, 9, (2, K, 3)).astype(np.float32)
    turn = PersonBudget(2).choose(tracks)
    np.testing.assert_array_equal(completed(tracks, turn, found), found)


def test_a_remembered_pose_does_not_keep_the_array_of_its_frame_alive():
    tracks, found = tracks_of(0.0, [1]), pose_in(BOX)
    turn = PersonBudget(1).choose(tracks)
    completed(tracks, turn, found)
    assert turn.latest[0] is not None
    assert turn.latest[0].keypoints.base is None


@pytest.mark.filterwarnings("error")
def test_a_keypoint_that_is_not_finite_affects_no_other_keypoint():
    spoilt = pose_in(BOX)
    spoilt[0, 1] = np.nan
    tracks = tracks_of(0.0, [1], moved(10))
    turn = Turn(np.array([False]), np.array([False]), [Measurement(np.array(BOX, np.float32), spoilt[0])])
    out = completed(tracks, turn, np.empty((0, K, 3), np.float32))
    assert np.isnan(out[0, 1]).all()
    np.testing.assert_allclose(out[0, [0, 2]], pose_in(moved(10))[0, [0, 2]], rtol=1e-6)
