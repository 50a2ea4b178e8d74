"""Who is measured in front of a camera with a motion gate: pose/budget.py and pose/stage.py with moving pictures."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.pose.budget import SETTLE_FRAMES, PersonBudget
from realtime.pose.stage import PoseStage
from realtime.skeleton import COCO17
from realtime.types import Motion
from tests.builders import make_frame, make_tracks

SIDE = 20
BOX = np.array([2, 2, 18, 18], np.float32)
POSE_S = 5.0
ACTIVE = Motion("active", np.zeros((0, 4), np.float32), math.inf)


def tracks_of(time_s, shades, *, motion=ACTIVE, jitter=0.0, size=64, ids=None):
    """People side by side, 1 and up; the spot on each one's grey coat has a shade: another one is a movement."""
    image = np.full((SIDE, max(1, len(shades)) * SIDE, 3), 90, np.uint8)
    boxes = []
    for i, shade in enumerate(shades):
        image[8:12, i * SIDE + 8 : i * SIDE + 12] = shade
        boxes.append(BOX + np.float32([i * SIDE, 0, i * SIDE, 0]) + np.float32(jitter))
    return make_tracks(make_frame(0, image=image, time_s=time_s, motion=motion), np.reshape(boxes, (-1, 4)), ids)


def measured_times(budget, frames):
    """The times at which the only person is measured; frames are (time_s, shade)."""
    return [time_s for time_s, shade in frames if budget.choose(tracks_of(time_s, [shade])).chosen[0]]


class Model:
    """Puts every keypoint at a place of its own in each call, so that a repeated pose can be told from a new one."""

    engine_name = None
    skeleton = COCO17

    def __init__(self):
        self.calls = 0

    def estimate(self, images, xyxy):
        self.calls += 1
        return [np.full((len(boxes), 17, 3), self.calls, np.float32) for boxes in xyxy]


def frames_of(count, shade=200, fps=10, start=0):
    return [((start + i) / fps, shade) for i in range(count)]


# ---- one person


def test_a_still_person_is_measured_until_they_have_settled_and_then_every_pose_s():
    times = measured_times(PersonBudget(None, POSE_S), frames_of(140))
    assert times[:5] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert times[5:] == [pytest.approx(5.4), pytest.approx(10.4)]


def test_a_person_who_moves_is_measured_at_once_and_until_they_have_settled():
    budget = PersonBudget(None, POSE_S)
    measured_times(budget, frames_of(20))
    times = measured_times(budget, frames_of(20, shade=30, start=20))
    assert times == pytest.approx([2.0, 2.1, 2.2, 2.3, 2.4])


def test_at_a_low_frame_rate_several_frames_are_measured_after_a_movement():
    budget = PersonBudget(None, POSE_S)
    measured_times(budget, frames_of(6, fps=1))
    assert len(measured_times(budget, frames_of(6, shade=30, fps=1, start=6))) == SETTLE_FRAMES


def test_a_person_in_front_of_a_camera_without_a_motion_gate_is_measured_in_every_frame():
    budget = PersonBudget(None, POSE_S)
    for i in range(30):
        turn = budget.choose(tracks_of(i / 10, [200], motion=None))
        assert (turn.chosen.tolist(), turn.still.tolist()) == ([True], [False])


@pytest.mark.parametrize("activity", ["active", "still", "empty"])
def test_a_person_who_stands_while_others_move_is_not_measured_again(activity):
    budget = PersonBudget(None, POSE_S)
    motion = Motion(activity, np.zeros((0, 4), np.float32), math.inf)
    for i in range(30):
        turn = budget.choose(tracks_of(i / 10, [200, 90 + i * 37 % 120], motion=motion))
    assert (turn.chosen.tolist(), turn.still.tolist()) == ([False, True], [True, False])


def test_a_new_epoch_measures_everyone_again():
    budget = PersonBudget(None, POSE_S)
    measured_times(budget, frames_of(20))
    tracks = tracks_of(0.0, [200])
    again = replace(tracks, frame=replace(tracks.frame, epoch=1))
    assert budget.choose(again).chosen.tolist() == [True]


# ---- the stage


def still_stage(model):
    """A stage that has measured one person until they settled."""
    stage = PoseStage(model, pose_s=POSE_S)
    for i in range(10):
        stage.process([tracks_of(i / 10, [200])])
    return stage


def test_a_repeated_pose_stays_where_it_was_while_its_box_jitters():
    model = Model()
    stage = still_stage(model)
    [before] = stage.process([tracks_of(1.0, [200])])
    for i, jitter in enumerate([1.0, -1.0, 0.5]):
        [now] = stage.process([tracks_of(1.1 + i / 10, [200], jitter=jitter)])
        np.testing.assert_array_equal(now.keypoints, before.keypoints)
        assert (now.measured.tolist(), now.is_still.tolist()) == ([False], [True])
        assert now.xyxy[0, 0] == BOX[0] + jitter


class Blind(Model):
    """Finds no keypoint before its fourth call."""

    def estimate(self, images, xyxy):
        return [found * (np.nan if self.calls < 4 else 1) for found in super().estimate(images, xyxy)]


@pytest.mark.parametrize("calls", [0, 3])
def test_a_pose_without_a_finite_keypoint_is_not_repeated(calls):
    """A model that loses sight of a still person, for once or for longer, must not blank them for pose_s."""
    model = Blind()
    model.calls = calls - 20
    stage = PoseStage(model, pose_s=POSE_S)
    poses = [stage.process([tracks_of(i / 10, [200])])[0] for i in range(40)]
    lost = [not one.keypoint_scores.any() for one in poses]
    assert lost[0]
    assert not any(one.is_still[0] for one, is_lost in zip(poses, lost, strict=True) if is_lost)
    assert poses[-1].is_still.tolist() == [True]


def test_without_a_limit_a_still_person_is_never_measured_again():
    times = measured_times(PersonBudget(None), frames_of(200))
    assert max(times) < 1.0


def test_dividing_the_work_of_a_frame_gives_the_same_poses():
    whole, divided = Model(), Model()
    one, other = PoseStage(whole, 2, POSE_S), PoseStage(divided, 2, POSE_S)
    for i in range(40):
        shades = [200, 200 if i < 20 else 30, 90 + i * 37 % 120]
        tracks = tracks_of(i / 10, shades)
        [expected] = one.process([tracks])
        work = other.divide(tracks, 1)
        for part in work.parts:
            part.run()
        found = work.finish()
        np.testing.assert_array_equal(found.measured, expected.measured)
        np.testing.assert_array_equal(found.is_still, expected.is_still)


def test_a_frame_in_which_everyone_is_still_runs_no_part():
    stage = still_stage(Model())
    work = stage.divide(tracks_of(1.0, [200]), 2)
    assert list(work.parts) == []
    assert work.finish().is_still.tolist() == [True]


def test_several_frames_of_a_camera_in_one_batch_are_the_same_as_one_by_one():
    frames = [tracks_of(i / 10, [200, 90 + i * 37 % 120]) for i in range(20)]
    alone, together = PoseStage(Model(), pose_s=POSE_S), PoseStage(Model(), pose_s=POSE_S)
    expected = [alone.process([tracks])[0].measured.tolist() for tracks in frames]
    assert [poses.measured.tolist() for poses in together.process(frames)] == expected


# ---- a crowd: any changes, any budget


@st.composite
def crowds(draw):
    """Frames as (time_s, shades of the N people), in which anyone moves at any time."""
    frames, people = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    times_s = np.cumsum(random.choice([0.04, 0.2, 1.0, 3.0], frames))
    moves = random.random((frames, people)) < draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    shades = np.where(moves.cumsum(axis=0) % 2, 30, 220)
    return list(zip(times_s.tolist(), shades, strict=True))


def turns(frames, max_people):
    budget = PersonBudget(max_people, POSE_S)
    return [budget.choose(tracks_of(time_s, shades)) for time_s, shades in frames]


@given(frames=crowds(), max_people=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=60, deadline=None)
def test_the_budget_is_never_exceeded_and_no_one_is_both_measured_and_still(frames, max_people):
    for turn in turns(frames, max_people):
        assert max_people is None or np.count_nonzero(turn.chosen) <= max_people
        assert not (turn.chosen & turn.still).any()


@given(frames=crowds(), max_people=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=60, deadline=None)
def test_no_one_waits_longer_than_pose_s_and_one_round_of_the_queue(frames, max_people):
    people = len(frames[0][1])
    rounds = 1 if max_people is None else math.ceil(people / math.ceil(max_people / 2))
    last_s, frames_due = np.full(people, -math.inf), np.zeros(people, int)
    for (time_s, _), turn in zip(frames, turns(frames, max_people), strict=True):
        frames_due = np.where(turn.chosen, 0, frames_due + (time_s - last_s >= POSE_S))
        last_s = np.where(turn.chosen, time_s, last_s)
        assert (frames_due < rounds).all()


@given(frames=crowds(), max_people=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=60, deadline=None)
def test_the_pose_of_a_still_person_shows_them_as_they_are_now(frames, max_people):
    """Whoever is repeated looks exactly as they did when they were measured, whatever happened in between."""
    looked = {}
    for (_, shades), turn in zip(frames, turns(frames, max_people), strict=True):
        for person, shade in enumerate(shades.tolist()):
            if turn.chosen[person]:
                looked[person] = shade
            assert not turn.still[person] or looked[person] == shade


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_with_a_small_budget_people_who_moved_come_before_those_who_are_only_due(moved):
    budget, still = PersonBudget(2, 1.0), [200, 200, 200, 200]
    for i in range(12):
        budget.choose(tracks_of(i / 10, still))
    # After a pause all are due. One place goes round the queue, the other is for the person who moved.
    shades = [30 if person == moved else 200 for person in range(4)]
    assert budget.choose(tracks_of(4.0, shades)).chosen[moved]


def test_the_choice_does_not_depend_on_the_order_of_people():
    one, other = PersonBudget(1, POSE_S), PersonBudget(1, POSE_S)
    for i in range(30):
        tracks = tracks_of(i / 10, [200, 90 + i * 37 % 120, 200])
        order = np.array([2, 0, 1])
        turned = replace(
            tracks, xyxy=tracks.xyxy[order], track_ids=tracks.track_ids[order],
        )  # fmt: skip
        np.testing.assert_array_equal(one.choose(tracks).chosen[order], other.choose(turned).chosen)
