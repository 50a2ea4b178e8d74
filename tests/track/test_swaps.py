"""People on a plain ground, each in a colour of their own, whose tracks are mixed up on purpose."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.skeleton import COCO17
from realtime.track.relink import RelinkStage
from realtime.types import Poses
from tests.builders import make_frame, make_poses

FPS = 25
STANDING = np.random.default_rng(3).uniform(0.1, 0.9, (17, 2))
SIZE = np.float32((60, 160))
RED, BLUE, GREEN, GROUND = (40, 40, 200), (200, 60, 40), (50, 180, 60), (120, 125, 122)

# A person of a scene: the tracker's id, the colour, and the top left corner of the box.
Someone = tuple[int, tuple[int, int, int], tuple[float, float]]


def scene(number: int, people: list[Someone], labels: Mapping[int, str] | None = None, ground=GROUND) -> Poses:
    """A frame of people, 60 x 160 pixels each; later ones stand in front of earlier ones."""
    image = np.full((480, 960, 3), ground, np.uint8)
    for _, colour, (x, y) in people:
        image[max(0, int(y)) : int(y) + 160, max(0, int(x)) : max(0, int(x) + 60)] = colour
    corners = np.array([corner for *_, corner in people], np.float32).reshape(-1, 2)
    boxes = np.hstack([corners, corners + SIZE])
    frame = make_frame(number, image=image, time_s=number / FPS)
    names = None if labels is None else np.array([labels[track_id] for track_id, *_ in people], np.str_)
    poses = make_poses(frame, corners[:, None] + STANDING * SIZE, boxes, [track_id for track_id, *_ in people])
    return replace(poses, labels=names)


class Watching:
    """A relink stage, and the exchanges that it reported by frame."""

    def __init__(self, relink_s: float = 10.0) -> None:
        self.stage = RelinkStage(relink_s, COCO17.sigmas)
        self.swaps: dict[int, tuple[tuple[int, int], ...]] = {}

    def ids(self, number: int, people: list[Someone], **more) -> list[int]:
        poses = self.stage.process([scene(number, people, **more)])[0]
        if poses.swapped:
            self.swaps[number] = poses.swapped
        return poses.track_ids.tolist()


def comes_back(
    after_s: float, colour, corner, ground=GROUND, was=RED, start=(300.0, 200.0), step=0.0, **more
) -> list[int]:
    """The id of someone who appears after a person with id 1 was lost."""
    watching = Watching(**more)
    for number in range(50):
        watching.ids(number, [(4, was, (start[0] + step * number, start[1]))], ground=ground)
    return watching.ids(50 + round(after_s * FPS), [(9, colour, corner)], ground=ground)


@pytest.mark.parametrize("after_s", [1.0, 3.0, 5.0, 9.0])
def test_a_person_who_was_hidden_is_known_again_by_their_colours(after_s) -> None:
    assert comes_back(after_s, RED, (380, 210)) == [1]


@pytest.mark.parametrize(
    ("after_s", "colour", "corner", "more"),
    [
        (5.0, BLUE, (380, 210), {}),  # in other clothes
        (5.0, RED, (380, 210), {"ground": RED}),  # a person as red as the ground is not distinct
        (5.0, (0, 0, 0), (380, 210), {"ground": (0, 0, 0), "was": (0, 0, 0)}),  # in the dark
        (1.0, RED, (600, 200), {}),  # nearly two heights away within a second
        (11.0, RED, (380, 210), {}),  # too late
        (3.0, RED, (380, 210), {"relink_s": 2.0}),  # too late, as configured
        (3.0, RED, (880, 210), {"start": (742.0, 200.0), "step": 3.0}),  # left the frame on the right
    ],
    ids=["other clothes", "like the ground", "dark", "far", "late", "configured", "left"],
)
def test_someone_else_is_new(after_s, colour, corner, more) -> None:
    assert comes_back(after_s, colour, corner, **more) == [2]


def test_nobody_is_known_again_if_two_lost_people_are_dressed_alike() -> None:
    watching = Watching()
    for number in range(50):
        watching.ids(number, [(4, RED, (300, 200)), (5, RED, (420, 200))])
    assert watching.ids(150, [(9, RED, (360, 230))]) == [3]


def test_a_track_that_comes_back_to_another_person_gets_a_new_id_and_the_lost_person_keeps_theirs() -> None:
    watching = Watching()
    for number in range(50):
        assert watching.ids(number, [(4, RED, (300, 200))]) == [1]
    for number in range(90, 100):  # the tracker takes the one in blue for the one in red
        assert watching.ids(number, [(4, BLUE, (310, 200))]) == [2]
    assert watching.ids(140, [(4, BLUE, (310, 200)), (9, RED, (400, 200))]) == [2, 1]
    assert watching.swaps == {}
    assert watching.stage.remembered("cam0") == 2


@pytest.mark.parametrize(("away", "colour"), [(20, BLUE), (40, RED), (40, GROUND)], ids=["short", "alike", "unclear"])
def test_a_track_that_comes_back_to_its_place_keeps_its_id(away, colour) -> None:
    watching = Watching()
    for number in range(50):
        watching.ids(number, [(4, RED, (300, 200))])
    assert watching.ids(49 + away, [(4, colour, (310, 200))]) == [1]


def test_a_person_whose_track_went_to_another_is_forgotten_after_relink_s() -> None:
    watching, ended = Watching(relink_s=2.0), {}
    for number in range(50):
        watching.ids(number, [(4, RED, (300, 200))])
    for number in range(90, 200):
        if over := watching.stage.process([scene(number, [(4, BLUE, (310, 200))])])[0].ended:
            ended[number] = over
    assert ended == {100: (1,)}
    assert watching.stage.remembered("cam0") == 1


def pass_each_other(watching: Watching, colours, labels=None, swapped_from=40) -> list[list[int]]:
    """Two people walk past each other; from a frame on, the tracker has their ids the wrong way round."""
    seen = []
    for number in range(80):
        left, right = 200 + 5 * number, 600 - 5 * number
        first, second = (4, 5) if number < swapped_from else (5, 4)
        seen.append(
            watching.ids(number, [(first, colours[0], (left, 200)), (second, colours[1], (right, 205))], labels=labels)
        )
    return seen


def test_two_people_who_left_with_each_others_ids_get_them_back_within_half_a_second() -> None:
    watching = Watching()
    seen = pass_each_other(watching, (RED, BLUE))
    assert seen[0] == [1, 2]
    assert seen[41] == [2, 1]  # published already: it stays
    assert seen[-1] == [1, 2]
    assert list(watching.swaps.values()) == [((1, 2),)]
    apart = next(number for number in range(40, 80) if 10 * number - 400 > 0.7 * 60)  # less than 30 % covered
    assert apart < min(watching.swaps) <= apart + FPS // 2
    for number, ids in enumerate(seen):
        assert ids == ([1, 2] if number < 40 or number >= min(watching.swaps) else [2, 1])


@pytest.mark.parametrize(
    ("colours", "more"),
    [
        ((RED, RED), {}),  # dressed alike
        ((RED, BLUE), {"swapped_from": 99}),  # nothing went wrong
    ],
    ids=["alike", "right"],
)
def test_ids_are_exchanged_only_if_the_colours_say_so(colours, more) -> None:
    watching = Watching()
    pass_each_other(watching, colours, **more)
    assert watching.swaps == {}


def test_people_who_never_met_keep_their_ids() -> None:
    watching = Watching()
    for number in range(80):  # far apart, the two change their clothes
        colours = (RED, BLUE) if number < 40 else (BLUE, RED)
        assert watching.ids(number, [(4, colours[0], (100, 200)), (5, colours[1], (700, 200))]) == [1, 2]
    assert watching.swaps == {}


def test_a_person_and_a_dog_never_exchange_ids() -> None:
    watching = Watching()
    labels = {4: "person", 5: "dog"}
    for number in range(80):
        colours = (RED, BLUE) if number < 40 else (BLUE, RED)
        people = [(4, colours[0], (300, 200)), (5, colours[1], (365, 200))]
        assert watching.ids(number, people, labels=labels) == [1, 2]


def test_a_person_who_reappears_gets_back_the_id_that_another_took_over() -> None:
    watching = Watching()
    for number in range(40):
        assert watching.ids(number, [(4, RED, (300, 200))]) == [1]
    for number in range(40, 60):  # the one in blue hides the one in red, and takes over the track
        assert watching.ids(number, [(4, RED, (300, 200)), (4, BLUE, (300, 202))][1:]) == [1]
    assert watching.ids(60, [(4, BLUE, (330, 202)), (9, RED, (240, 200))]) == [2, 1]
    assert watching.swaps == {60: ((1, 2),)}
    assert watching.ids(61, [(4, BLUE, (333, 202)), (9, RED, (236, 200))]) == [2, 1]


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_whatever_happens_ids_are_unique_and_exchanges_name_known_ids(data) -> None:
    watching, ever = Watching(relink_s=0.5), set[int]()
    for number in range(30):
        tracks = data.draw(st.lists(st.integers(1, 5), unique=True, max_size=4), label="tracks")
        people = [
            (track, data.draw(st.sampled_from([RED, BLUE, GREEN])), (data.draw(st.integers(100, 400)), 200))
            for track in tracks
        ]
        ids = watching.ids(5 * number, people)
        assert len(set(ids)) == len(ids)
        ever |= set(ids)
        for one, other in watching.swaps.get(5 * number, ()):
            assert 1 <= one < other
            assert {one, other} & ever


def test_someone_in_view_keeps_their_id_at_one_frame_in_two_seconds_even_if_the_light_is_switched_on() -> None:
    """They were not away: they are in every frame of the camera."""
    watching = Watching()
    for number in range(0, 10 * FPS, 2 * FPS):
        assert watching.ids(number, [(4, (20, 20, 60), (300.0, 200.0))], ground=(40, 40, 40)) == [1]
    assert watching.ids(10 * FPS, [(4, (120, 120, 230), (302.0, 200.0))], ground=(200, 200, 200)) == [1]
