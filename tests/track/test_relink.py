from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.skeleton import COCO17
from realtime.track.relink import RelinkStage
from realtime.types import Poses
from tests.builders import make_frame, make_poses

IMAGE = np.zeros((480, 640, 3), np.uint8)
FPS = 25
STANDING = np.random.default_rng(3).uniform(0.1, 0.9, (17, 2))
UPSIDE_DOWN = STANDING * (1.0, -1.0) + (0.0, 1.0)


def poses_of(number: int, people: dict[int, tuple[float, float]], ended=(), epoch=0, camera="cam0", shape=STANDING):
    """People by the tracker's id, each 60 x 160 pixels, with the given top left corners."""
    corners = np.array(list(people.values()), np.float32).reshape(-1, 2)
    frame = make_frame(number, camera, epoch, IMAGE, time_s=number / FPS)
    boxes = np.hstack([corners, corners + np.float32((60, 160))])
    return make_poses(frame, corners[:, None] + shape * (60, 160), boxes, list(people), ended=tuple(ended))


def stage(relink_s: float = 3.0) -> RelinkStage:
    return RelinkStage(relink_s, COCO17.sigmas)


def ids(stage: RelinkStage, poses: Poses) -> list[int]:
    return stage.process([poses])[0].track_ids.tolist()


def test_a_person_who_stands_still_and_reappears_as_a_new_track_keeps_their_id() -> None:
    relink = stage()
    for number in range(25):
        assert ids(relink, poses_of(number, {4: (100, 100)})) == [1]
    for number in range(25, 60):
        assert ids(relink, poses_of(number, {})) == []
    assert ids(relink, poses_of(60, {9: (103, 99)})) == [1]
    assert ids(relink, poses_of(61, {9: (103, 99)})) == [1]


def test_a_walking_person_is_expected_further_along_their_path() -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100 + 4 * number, 100)}))
    # Last seen at x = 196, 13 frames earlier, they are now expected at about x = 237. A person at 196 is a new one.
    assert ids(relink, poses_of(37, {8: (196, 100), 9: (244, 100)})) == [2, 1]


@pytest.mark.parametrize("newcomer", [{9: (260, 100)}, {9: (100, 300)}], ids=["to the right", "below"])
def test_a_person_who_appears_elsewhere_is_new(newcomer) -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100, 100)}))
    assert ids(relink, poses_of(50, newcomer)) == [2]


def test_a_person_with_another_pose_in_the_same_box_is_new() -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100, 100)}))
    assert ids(relink, poses_of(35, {9: (100, 100)}, shape=UPSIDE_DOWN)) == [2]


def test_a_new_track_that_matches_two_lost_people_equally_well_is_new() -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100, 100), 5: (104, 100)}))
    assert ids(relink, poses_of(30, {9: (102, 100)})) == [3]


def test_each_lost_id_goes_to_the_new_track_that_matches_it() -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100, 100), 5: (300, 100)}))
    assert ids(relink, poses_of(30, {8: (300, 100), 9: (100, 100), 10: (500, 100)})) == [2, 1, 3]


def test_the_id_of_a_visible_person_is_not_given_to_another() -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100, 100)}))
    assert ids(relink, poses_of(25, {4: (100, 100), 9: (101, 100)})) == [1, 2]


def test_a_track_that_returns_after_its_id_was_reassigned_gets_a_new_id() -> None:
    relink = stage()
    for number in range(25):
        ids(relink, poses_of(number, {4: (100, 100)}))
    assert ids(relink, poses_of(30, {9: (100, 100)})) == [1]
    assert ids(relink, poses_of(31, {4: (400, 100), 9: (100, 100)})) == [2, 1]


def test_an_id_ends_exactly_once_when_its_person_can_no_longer_be_found() -> None:
    relink = stage(1.0)
    relink.process([poses_of(0, {4: (100, 100), 5: (300, 100)})])
    ended = {}
    for number in range(1, 60):
        found = relink.process([poses_of(number, {5: (300, 100)}, ended=(4,) if number == 10 else ())])[0]
        if found.ended:
            ended[number] = found.ended
    assert ended == {26: (1,)}
    assert relink.remembered("cam0") == 1


def test_a_new_epoch_starts_without_people_and_reuses_no_id() -> None:
    relink = stage()
    assert ids(relink, poses_of(0, {4: (100, 100)})) == [1]
    assert ids(relink, poses_of(1, {1: (100, 100)}, epoch=1)) == [2]
    assert ids(relink, poses_of(2, {4: (100, 100)}, camera="cam1")) == [1]


def test_a_forgotten_camera_starts_without_people_and_reuses_no_id() -> None:
    relink = stage()
    for camera in ("cam0", "cam1"):
        assert ids(relink, poses_of(0, {4: (100, 100)}, camera=camera)) == [1]
    relink.forget("cam0")
    assert [relink.remembered(camera) for camera in ("cam0", "cam1")] == [0, 1]
    assert ids(relink, poses_of(1, {4: (100, 100)})) == [2]
    assert ids(relink, poses_of(2, {4: (100, 100)}, epoch=1)) == [3]
    assert ids(relink, poses_of(1, {4: (100, 100)}, camera="cam1")) == [1]


def test_boxes_are_compared_if_there_are_no_keypoints() -> None:
    relink = RelinkStage(3.0)
    for number, people in ((0, {4: (100, 100)}), (1, {4: (100, 100)}), (20, {9: (104, 100)}), (60, {11: (300, 100)})):
        poses = poses_of(number, people)
        bare = Poses.of(poses, np.zeros((len(poses), 0, 2), np.float32), np.zeros((len(poses), 0), np.float32))  # type: ignore[arg-type]  # Poses has all fields of Tracks that are read
        found = ids(relink, bare)
    assert found == [2]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_ids_are_unique_never_reused_and_memory_is_bounded(data) -> None:
    relink = stage(0.5)
    alive: list[int] = []
    next_track, over, last_seen = 1, set[int](), {}
    for number in range(40):
        gone = [track for track in alive if data.draw(st.booleans())][:2] if number % 5 == 4 else []
        alive = [track for track in alive if track not in gone]
        while len(alive) < 3:
            alive.append(next_track)
            next_track += 1
        places = {t: (data.draw(st.integers(0, 500)), data.draw(st.integers(0, 300))) for t in alive}
        found = relink.process([poses_of(number, places, ended=gone)])[0]
        assert len(set(found.track_ids.tolist())) == len(alive)
        assert not over & set(found.track_ids.tolist())
        over |= set(found.ended)
        last_seen |= dict.fromkeys(found.track_ids.tolist(), number)
        assert relink.remembered("cam0") <= 3 + sum(number - seen <= 0.5 * FPS for seen in last_seen.values())


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(0.2, 3.0), shift=st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
def test_the_result_does_not_depend_on_scale_or_position(scale, shift) -> None:
    """Scaling and shifting a scene re-identifies the same people."""

    def seen(number, people):
        poses = poses_of(number, people)
        move = np.array(shift, np.float32)
        boxes = poses.xyxy * scale + np.tile(move, 2)
        return make_poses(poses.frame, poses.keypoints * scale + move, boxes, poses.track_ids)

    relink = stage()
    for number in range(10):
        ids(relink, seen(number, {4: (100 + 3 * number, 100), 5: (400, 100)}))
    assert ids(relink, seen(22, {8: (150, 102), 9: (320, 140)})) == [1, 3]


def test_a_person_whose_pose_is_repeated_for_minutes_is_still_known_when_their_track_breaks() -> None:
    relink = stage(relink_s=3.0)
    assert ids(relink, poses_of(0, {4: (100, 100)})) == [1]
    for number in range(1, 60 * FPS, FPS):
        still = poses_of(number, {4: (100, 100)})
        repeated = replace(still, measured=np.array([False]), still=np.array([True]))
        assert ids(relink, repeated) == [1]
    assert ids(relink, poses_of(60 * FPS, {}, ended=(4,))) == []
    assert ids(relink, poses_of(60 * FPS + 10, {9: (102, 100)})) == [1]


def test_a_lost_cat_is_not_taken_for_the_person_who_appears_in_its_place() -> None:
    relink = stage()

    def of(number: int, people: dict[int, tuple[float, float]], *labels: str) -> Poses:
        return replace(poses_of(number, people), labels=np.array(labels, np.str_))

    for number in range(25):
        assert ids(relink, of(number, {4: (100, 100)}, "cat")) == [1]
    assert ids(relink, of(30, {})) == []
    assert ids(relink, of(31, {8: (100, 100)}, "person")) == [2]
    assert ids(relink, of(32, {8: (100, 100), 9: (101, 101)}, "person", "cat")) == [2, 1]
