"""Rules of our association: identities, evidence of newcomers, and what must not matter.

tests/parity/test_bytetrack_parity.py compares it with boxmot's.
"""

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.track.association import Association, Rules
from realtime.track.kalman import HEIGHT, MEAN, boxes_of
from realtime.types import Detections
from tests.builders import make_detections, make_frame
from tests.track.test_scene import texture

Box = tuple[float, float, float, float]
Look = tuple[np.ndarray, np.ndarray]  # boxes (N, 4), scores (N,)
STANDING: Box = (400.0, 100, 460, 260)


def walker(time_s: float, px_per_s: float = 100.0) -> Box:
    """A person 150 px tall; 1.4 m/s are 124 px/s."""
    return (10 + px_per_s * time_s, 100, 70 + px_per_s * time_s, 250)


def run(looks: list[Look], association: Association | None = None, step_s: float = 1 / 25) -> list[list[int]]:
    """Return the ids of each look; 0: a detection without a published track."""
    association = association or Association(Rules())
    found = []
    for k, (boxes, scores) in enumerate(looks):
        ids = np.zeros(len(boxes), np.int64)
        rows, theirs = association.update(make_detections(make_frame(k, time_s=k * step_s), boxes, scores))
        ids[rows] = theirs
        found.append(ids.tolist())
    return found


def newcomer(score: float, looks: int, step_s: float, rules: Rules | None = None) -> list[bool]:
    """Whether a person who walks into the picture beside a standing one is published, look by look."""
    items: list[Look] = [(np.array([STANDING]), np.array([0.9]))] * 3
    items += [(np.array([STANDING, walker(k * step_s)]), np.array([0.9, score])) for k in range(looks)]
    return [ids[1] > 0 for ids in run(items, Association(rules or Rules()), step_s)[3:]]


# ---- evidence

RATES = pytest.mark.parametrize("fps", [2, 5, 10, 25])


@RATES
@pytest.mark.parametrize("score", [0.8, 0.95])
def test_a_clearly_seen_newcomer_is_published_with_the_second_look(score: float, fps: float) -> None:
    assert newcomer(score, 4, 1 / fps) == [False, True, True, True]


@RATES
def test_a_weakly_seen_newcomer_is_published_with_the_fourth_look(fps: float) -> None:
    assert newcomer(0.45, 6, 1 / fps) == [False, False, False, True, True, True]


def test_the_people_of_the_first_frame_are_published_at_once_even_if_weak() -> None:
    assert run([(np.array([STANDING, walker(0)]), np.array([0.45, 0.9]))]) == [[1, 2]]


@RATES
@pytest.mark.parametrize("score", [0.45, 0.9])
def test_without_evidence_newcomers_are_published_at_once(score: float, fps: float) -> None:
    assert newcomer(score, 3, 1 / fps, Rules(evidence=0.0)) == [True] * 3


def test_a_false_detection_of_one_frame_is_not_published() -> None:
    items: list[Look] = [(np.array([STANDING]), np.array([0.9]))] * 10
    items[4] = np.array([STANDING, walker(0)]), np.array([0.9, 0.9])
    association = Association(Rules())
    assert {track_id for ids in run(items, association) for track_id in ids if track_id} == {1}
    assert association.known() == {1}


def test_a_newcomer_is_known_before_they_are_published() -> None:
    association = Association(Rules())
    run([(np.array([STANDING]), np.array([0.9])), (np.array([STANDING, walker(0)]), np.array([0.9, 0.9]))], association)
    assert association.known() == {1, 2}


def test_all_people_of_unrelated_images_are_published() -> None:
    """As in a folder of photographs, which are 1/30 s apart. Some have no people, and some overlap by accident."""
    random, association = np.random.default_rng(0), Association(Rules())
    for k in range(40):
        left, top = random.uniform(0, 400, (2, count := int(random.integers(0, 4))))
        boxes = np.stack([left, top, left + 60, top + 160], 1) + np.arange(count)[:, np.newaxis] * (0, 200, 0, 200)
        frame = make_frame(k, image=texture(k))
        rows, _ = association.update(make_detections(frame, boxes, random.uniform(0.45, 0.9, count)))
        assert len(rows) == count


def test_a_part_of_a_published_person_needs_more_evidence() -> None:
    """A second box around their upper half, and a newcomer beside them: the latter is published first."""
    half = (STANDING[0], STANDING[1], STANDING[2], STANDING[1] + 80)
    items: list[Look] = [(np.array([STANDING]), np.array([0.9]))] * 3
    items += [(np.array([STANDING, half, walker(0)]), np.array([0.9, 0.9, 0.9]))] * 9
    found = run(items)[3:]
    assert [ids[2] > 0 for ids in found] == [False] + [True] * 8
    assert [ids[1] > 0 for ids in found] == [False] * 7 + [True] * 2  # 8 x 0.25 x 0.9 are 1.8
    assert [ids[1] > 0 for ids in run(items, Association(Rules(covering=0.0)))[3:]] == [False] + [True] * 8


def test_a_backpack_on_a_published_person_needs_no_more_evidence() -> None:
    """A box within another one is a part of a person only if both are of one class."""
    backpack = (410.0, 130, 450, 190)
    association = Association(Rules())
    published = []
    for k in range(6):
        boxes, names = [STANDING, backpack][: 1 + (k >= 3)], ["person", "backpack"][: 1 + (k >= 3)]
        detections = make_detections(make_frame(k, time_s=k / 25), np.array(boxes), np.full(len(boxes), 0.9))
        published.append(len(association.update(replace(detections, labels=np.array(names)))[0]))
    assert published == [1, 1, 1, 1, 2, 2]


# ---- identities


def test_two_people_who_cross_keep_their_ids() -> None:
    looks = [
        (np.array([(10 + 4 * k, 100, 70 + 4 * k, 260), (410 - 4 * k, 110, 470 - 4 * k, 275)]), np.array([0.9, 0.9]))
        for k in range(100)
    ]
    assert run(looks) == [[1, 2]] * 100


def test_someone_hidden_while_another_walks_past_does_not_take_their_box() -> None:
    """The lost person is expected exactly where the other one is seen."""
    looks = []
    for k in range(40):
        stands, walks = STANDING, (300 + 4.0 * k, 102.0, 360 + 4.0 * k, 262.0)
        looks.append(
            (np.array([walks] if 20 <= k < 32 else [walks, stands]), np.array([0.9, 0.9])[: 2 - (20 <= k < 32)])
        )
    found = run(looks)
    assert {ids[0] for ids in found} == {1}
    assert found[-1] == [1, 2]


@pytest.mark.parametrize("hidden_s", [0.2, 1.0, 1.9])
def test_someone_who_comes_back_within_the_buffer_has_their_id(hidden_s: float) -> None:
    looks: list[Look] = [(np.array([STANDING]), np.array([0.9]))] * 10
    looks += [(np.zeros((0, 4)), np.zeros(0))] * round(25 * hidden_s) + [(np.array([STANDING]), np.array([0.9]))] * 3
    assert run(looks)[-1] == [1]


@pytest.mark.parametrize("jerk", [(60.0, 0.0), (-60.0, 20.0), (55.0, -60.0)])
def test_a_jerk_of_the_camera_changes_no_ids(jerk: tuple[float, float]) -> None:
    """By one width of the people within a frame: no box overlaps its prediction any more."""
    people = np.array([(20 + 110 * k, 100 + 13 * k, 80 + 110 * k, 260 + 13 * k) for k in range(6)], float)
    looks = [(people + np.array(jerk * 2) * (k >= 10), np.full(6, 0.9)) for k in range(20)]
    assert run(looks) == [[1, 2, 3, 4, 5, 6]] * 20
    assert run(looks, Association(Rules(has_camera_motion=False, nearness=None)))[-1] != [1, 2, 3, 4, 5, 6]


def test_a_camera_that_turns_takes_a_lost_person_along() -> None:
    """It begins to turn at 300 px/s; one of six people is hidden from then on and is expected where they would be."""
    people = np.array([(20 + 110 * k, 100 + 13 * k, 80 + 110 * k, 260 + 13 * k) for k in range(6)], float)
    association = Association(Rules())
    turned = [np.array((x, 0, x, 0)) for x in (max(0, k - 10) * 300 / 25 for k in range(30))]
    visible = [6 if k <= 10 else 5 for k in range(30)]
    looks = [(people[:count] + by, np.full(count, 0.9)) for count, by in zip(visible, turned, strict=True)]
    run(looks, association)
    expected = boxes_of(association._motion)[-1]
    np.testing.assert_allclose(expected, people[-1] + turned[-1], atol=20)  # 72 px if speeds stay


@pytest.mark.parametrize("px_per_frame", [0.0, 2.0, 10.0])  # a still camera, whose boxes jitter, and two that turn
@pytest.mark.parametrize("together", [2, 5])
def test_frames_that_arrive_together_change_no_ids(px_per_frame: float, together: int) -> None:
    """A camera of 25 fps whose frames arrive in bursts, or with repeated timestamps: steps of 1 ms, then a long one."""
    people = np.array([(20 + 110 * k, 100 + 13 * k, 80 + 110 * k, 260 + 13 * k) for k in range(8)], float)
    rng, association = np.random.default_rng(0), Association(Rules())
    for k in range(60):
        frame = make_frame(k, time_s=k // together * together / 25 + k % together / 1000)
        boxes = people + [px_per_frame * k, 0] * 2 + rng.normal(0, 1.5, people.shape)
        _, ids = association.update(make_detections(frame, boxes, np.full(8, 0.9)))
        assert ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_someone_who_walks_out_of_their_box_between_two_slow_frames_keeps_their_id() -> None:
    """55 px within half a second, and the person is 60 px wide: the boxes of two frames hardly overlap."""
    places = [0.0, 55, 110, 165, 220, 220, 220, 275, 330, 385]
    looks = [(np.array([(10 + x, 100.0, 70 + x, 250.0)]), np.array([0.9])) for x in places]
    assert run(looks, step_s=0.5) == [[1]] * 10
    assert run(looks, Association(Rules(nearness=None)), step_s=0.5) != [[1]] * 10


def test_a_newcomer_above_a_lost_person_is_not_taken_for_them() -> None:
    """Enlarged boxes would overlap, but no one rises by two thirds of their height within a second."""
    looks: list[Look] = [(np.array([STANDING]), np.array([0.9]))] * 10
    looks += [(np.zeros((0, 4)), np.zeros(0))] * 25
    looks += [(np.array([STANDING]) - (0, 110, 0, 110), np.array([0.9]))] * 3
    assert run(looks)[-1] == [2]


def test_weak_boxes_cut_off_by_an_occlusion_change_the_height_less() -> None:
    """Behind a car, 55 % of someone is seen for three frames."""
    cut = (STANDING[0], STANDING[1], STANDING[2], STANDING[1] + 88)
    looks: list[Look] = [(np.array([STANDING]), np.array([0.9]))] * 10 + [(np.array([cut]), np.array([0.3]))] * 3
    heights = []
    for rules in (Rules(), Rules(weak_height_noise=1.0)):
        association = Association(rules)
        assert run(looks, association)[-1] == [1]
        heights.append(association._motion[MEAN, 0, HEIGHT])
    assert heights[0] > 1.15 * heights[1]


def test_classes_are_never_mixed() -> None:
    association = Association(Rules())
    ids = []
    for k, label in enumerate(["person", "cat", "cat", "person", "person"]):
        frame = make_frame(k)
        ids.append(association.update(make_detections(frame, [STANDING], 0.9, labels=[label]))[1].tolist())
    assert ids == [[1], [], [2], [1], [1]]


# ---- what must hold for every crowd


def crowd(seed: int, looks: int = 40, people: int = 12) -> list[Look]:
    """People who walk about, are missed at times and seen badly at others, leave and come back."""
    random = np.random.default_rng(seed)
    middle, speed = random.uniform((0, 0), (900, 600), (people, 2)), random.normal(0, 5, (people, 2))
    half = random.uniform(60, 120, (people, 1)) * (0.2, 0.5)
    hidden_until, found = np.zeros(people), []
    for k in range(looks):
        middle = middle + speed
        leaves = random.random(people) < 0.03
        hidden_until[leaves] = k + random.integers(1, 15, np.count_nonzero(leaves))
        seen = np.flatnonzero((hidden_until <= k) & (random.random(people) > 0.05))
        boxes = np.hstack([middle - half, middle + half])[seen] + random.normal(0, 2, (len(seen), 4))
        found.append((boxes, random.uniform(0.05, 1, len(seen))))
    return found


seeds = st.integers(0, 10**6)
every_crowd = settings(max_examples=30, deadline=None)


@every_crowd
@given(seeds)
def test_a_track_has_one_detection_and_an_id_is_never_reused(seed: int) -> None:
    association, over, highest = Association(Rules(buffer_s=0.2)), set[int](), 0
    known = set[int]()
    for k, (boxes, scores) in enumerate(crowd(seed)):
        rows, ids = association.update(make_detections(make_frame(k), boxes, scores))
        assert len(set(ids.tolist())) == len(ids)
        assert (np.diff(rows) > 0).all()
        assert (scores[rows] >= 0.1).all()
        assert not over & set(ids.tolist())
        assert set(ids.tolist()) <= association.known()
        over |= known - association.known()
        known = association.known()
        assert not known & over
        assert max(known, default=0) >= max(ids.tolist(), default=0)
        highest = max(highest, *known, 0)
    assert highest > 5


def changed(looks: list[Look], change: Callable[[np.ndarray, np.ndarray], Look]) -> list[Look]:
    return [change(boxes, scores) for boxes, scores in looks]


@every_crowd
@given(seeds)
def test_the_order_of_the_detections_does_not_matter(seed: int) -> None:
    """Apart from the numbers: newcomers of one frame are numbered in the order of the detections."""
    looks, random = crowd(seed), np.random.default_rng(seed)
    orders = [random.permutation(len(scores)) for _, scores in looks]
    shuffled = [(boxes[order], scores[order]) for (boxes, scores), order in zip(looks, orders, strict=True)]
    same: dict[int, int] = {}
    for plain, ids, order in zip(run(looks), run(shuffled), orders, strict=True):
        expected = np.array(plain, np.int64)[order].tolist()
        assert [same.setdefault(theirs, ours) for ours, theirs in zip(ids, expected, strict=True)] == ids
    assert len(set(same.values())) == len(same)


@every_crowd
@given(seeds, st.sampled_from([0.5, 2.0, 4.0]), st.sampled_from([-512.0, 0.0, 2048.0]))
def test_a_larger_or_moved_picture_has_the_same_ids(seed: int, scale: float, offset: float) -> None:
    looks = [(boxes.astype(np.float32).astype(float).round(), scores) for boxes, scores in crowd(seed)]
    assert run(changed(looks, lambda boxes, scores: (boxes * scale + offset, scores))) == run(looks)


@every_crowd
@given(seeds, st.integers(0, 39))
def test_an_empty_look_forgets_no_one_within_the_buffer(seed: int, place: int) -> None:
    looks, association = crowd(seed), Association(Rules())
    run(looks[: place + 1], association)
    before = association.known()
    published = {track["id"] for track in association._tracks if track["is_published"]}
    association.update(Detections.empty(make_frame(place + 1, time_s=(place + 1) / 25)))
    assert association.known() == published <= before


@every_crowd
@given(seeds)
def test_weak_detections_begin_no_track(seed: int) -> None:
    weak = changed(crowd(seed), lambda boxes, scores: (boxes, scores * 0.44))
    assert {track_id for ids in run(weak) for track_id in ids} <= {0}


def visitors(looks: int) -> Iterator[Detections]:
    """Four people at a time, each there for 2 s at most, all of them others than before."""
    random = np.random.default_rng(0)
    for k in range(looks):
        boxes = np.array(
            [(40 + 150 * n + 5 * (k % 20), 100, 100 + 150 * n + 5 * (k % 20), 260) for n in range(4)], float
        )
        boxes += (0, 300 * (k // 50 % 2), 0, 300 * (k // 50 % 2))
        yield make_detections(make_frame(k, time_s=k / 25), boxes[: random.integers(0, 5)], 0.9)


def test_memory_is_flat_while_people_come_and_go() -> None:
    """`make soak` runs the stage over 100,000 frames (tests/faults/test_churn.py)."""
    association, most, looks = Association(Rules(buffer_s=0.5)), 0, 1_500
    tracemalloc.start()
    try:
        for k, item in enumerate(visitors(looks)):
            association.update(item)
            most = max(most, len(association.known()))
            if k == looks // 3:
                before, _ = tracemalloc.get_traced_memory()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert association._last_id > looks / 100
    assert most < 40
    assert after - before < 50_000
