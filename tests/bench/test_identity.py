"""The tables of identities, on small made sequences."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.config import TrackerConfig
from realtime.evaluate.tracking.inputs import Thinning
from realtime.evaluate.tracking.mot import SCORE, XYWH
from realtime.evaluate.tracking.outcome import ALL
from realtime.evaluate.tracking.trackers import OurTracker
from realtime.track.association import Rules
from tests.bench.identity import pan
from tests.bench.identity.__main__ import PAGE, WITH_FIGURES, put, put_figures
from tests.bench.identity.crowd import crowd
from tests.bench.identity.left_out import leave_one_out
from tests.bench.identity.measure import CHOICES, Runner, at_most, backwards, people_of, read_clips, run_one
from tests.bench.identity.parts import GRID, PARTS, Variant, changed_rules, chosen
from tests.bench.identity.tables import TABLES, Bench
from tests.bench.track import crowd as boxes_of_a_crowd
from tests.evaluate.tracking.sequences import line, make_sequence, walk

ROOT = Path(__file__).parents[2]
# The tables that run no network.
FROM_BOXES = ("libraries", "parts", "left-out", "backwards", "rates", "pan")
OTHERS = tuple(name for name in TABLES if name not in FROM_BOXES)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three sequences of one walking person, the third of which is found at low scores only."""
    for name, score in {"one": 0.9, "two": 0.9, "weak": 0.4}.items():
        truth, detections = walk(30)
        folder = make_sequence(tmp_path / "mot" / name, truth, detections.replace(",0.9", f",{score}"), 30)
        assert (folder / "seqinfo.ini").is_file()
    return tmp_path / "mot"


def test_the_first_row_of_the_parts_is_the_program() -> None:
    ours, variant = OurTracker(TrackerConfig()), Variant({})
    for item in list(boxes_of_a_crowd(20))[:60]:
        expected, found = ours.follow(item), variant.follow(item)
        assert expected[0].tolist() == found[0].tolist()
        assert expected[1].tolist() == found[1].tolist()


@pytest.mark.parametrize("name", [name for name, changes in PARTS.items() if set(changes) - {"relink_s"}])
def test_every_other_row_changes_the_rules_and_leaves_those_of_the_program(name: str) -> None:
    rules = Rules.of(TrackerConfig())
    assert changed_rules(rules, PARTS[name]) != rules
    variant = Variant(PARTS[name])
    for item in list(boxes_of_a_crowd(5))[:3]:
        variant.follow(item)
    assert Rules.of(TrackerConfig()) == rules


@pytest.mark.parametrize("number", GRID)
def test_a_number_of_the_program_is_among_those_from_which_it_is_chosen(number: str) -> None:
    assert chosen(number) in GRID[number]
    assert len(set(GRID[number])) == len(GRID[number]) > 1


def test_a_number_that_is_better_on_the_other_sequences_is_taken(data: Path) -> None:
    """`weak` needs a lower track_score, which costs the others nothing: it is taken unless `weak` is left out."""
    found = leave_one_out(read_clips(data), Runner(), {"all": [Thinning()]}, {"track_score": (0.45, 0.3, 0.95)})
    assert found.taken["track_score"] == {0.3: 2, chosen("track_score"): 1}
    assert found.found["all"]["left out"] == {
        name: numbers | {"ms": pytest.approx(numbers["ms"], rel=99)}
        for name, numbers in found.found["all"]["chosen"].items()
    }


def test_a_number_is_applied_to_the_sequence_left_out(data: Path) -> None:
    make_sequence(data / "weak2", *(text.replace(",0.9", ",0.4") for text in walk(30)), 30)
    found = leave_one_out(read_clips(data), Runner(), {"all": [Thinning()]}, {"track_score": (0.45, 0.3)})
    assert found.found["all"]["chosen"]["weak"]["HOTA"] == 0
    assert found.found["all"]["left out"]["weak"]["HOTA"] > 90


def test_several_processes_find_the_same(data: Path) -> None:
    clips, makers = read_clips(data), {"ours": partial(OurTracker, TrackerConfig())}
    one, two = (Runner(jobs).found(clips, makers, CHOICES["30 % dropped"])["ours"] for jobs in (1, 2))
    assert {name: numbers["HOTA"] for name, numbers in one.items()} == {n: each["HOTA"] for n, each in two.items()}


def test_a_sequence_played_backwards_twice_is_the_same(data: Path) -> None:
    clip = read_clips(data)[0]
    once = backwards(clip)
    twice = backwards(once)
    assert [item.frame.index for item in once.detections] == list(range(30))
    assert once.detections[0].xyxy.tolist() == clip.detections[-1].xyxy.tolist()
    assert [item.frame.time_s for item in twice.detections] == pytest.approx([d.frame.time_s for d in clip.detections])
    for number in clip.sequence.frames:
        np.testing.assert_array_equal(twice.sequence.truth[number], clip.sequence.truth[number])
    makers = {"ours": partial(OurTracker, TrackerConfig())}
    assert run_one(once, makers, Thinning())["ours"].numbers()["MOTA"] == 100


def test_a_low_rate_keeps_every_nth_frame_by_the_rate_of_the_sequence(data: Path) -> None:
    sequence = read_clips(data)[0].sequence  # at 10 frames per second
    assert [at_most(rate)(sequence).every for rate in (30, 10, 5, 2)] == [1, 1, 2, 5]


# ---- a camera that moves


@given(
    motion=st.sampled_from(list(pan.MOTIONS)),
    room=st.tuples(st.floats(1, 900), st.floats(1, 900)),
    rate_hz=st.floats(1, 60),
    seed=st.integers(0, 99),
)
def test_the_view_stays_in_the_picture(motion: str, room: tuple[float, float], rate_hz: float, seed: int) -> None:
    corners = pan.path(motion, np.arange(100) / rate_hz, room, seed)
    assert corners.shape == (100, 2)
    assert (corners >= 0).all()
    assert (corners <= np.array(room) + 1e-9).all()
    np.testing.assert_array_equal(corners, pan.path(motion, np.arange(100) / rate_hz, room, seed))


@pytest.mark.parametrize(
    ("motion", "fastest"),  # px per frame at 25 frames per second, with 250 px of room
    [
        ("still", 0),
        ("slow pan", 1.58),
        ("fast pan", 7.86),
        ("shake", 60),
        ("jerk", 360),
    ],
)
def test_the_motions_are_as_fast_as_they_say(motion: str, fastest: float) -> None:
    corners = pan.path(motion, np.arange(500) / 25, (250, 250), seed=0)
    steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    assert steps.max() <= fastest + 1e-9
    assert steps.max() >= fastest / 4
    if motion == "jerk":
        assert (steps > 0).sum() == 9  # every 2 s of 20


def test_boxes_and_ground_truth_move_alike_and_end_at_the_border(tmp_path: Path) -> None:
    inside, outside = (300.0, 200.0, 40.0, 100.0), (0.0, 0.0, 30.0, 30.0)
    frames = range(1, 21)
    truth = "".join(line(n, k, box, 1, -1, -1, -1) for n in frames for k, box in enumerate((inside, outside), 1))
    found = "".join(line(n, -1, box, 0.9) for n in frames for box in (inside, outside))
    make_sequence(tmp_path / "mot" / "two", truth, found, 20)
    clip = pan.moving(read_clips(tmp_path / "mot")[0], "slow pan")
    assert clip.sequence.size == (448, 336)
    for item in clip.detections:
        rows = clip.sequence.truth[item.frame.index + 1]
        assert item.frame.size == (448, 336)
        assert len(rows) == len(item) == 1  # the other one is above the view
        xywh = rows[0, XYWH]
        np.testing.assert_allclose(item.xyxy[0], [*xywh[:2], *(xywh[:2] + xywh[2:])])
        assert rows[0, SCORE] == 1
    first, last = clip.detections[0].xyxy[0, 0], clip.detections[-1].xyxy[0, 0]
    across = (1 - np.cos(np.pi * 1.9 / 10)) / 2  # after 1.9 of 10 s
    assert first - last == pytest.approx(across * (640 - 448), abs=1)  # the camera moves right, so people move left


# ---- a made crowd


def test_a_made_crowd_stays_in_the_picture_and_is_found_where_nobody_is_before_it() -> None:
    clip = crowd(50, seconds=4.0)
    assert len(clip.detections) == len(clip.sequence.frames) == 120
    boxes = np.vstack([item.xyxy for item in clip.detections])
    assert (boxes[:, [0, 2]].mean(1) > -100).all()
    assert (boxes[:, [0, 2]].mean(1) < 1920 + 100).all()
    assert (boxes[:, 3] < 1080 + 20).all()
    found = people_of(clip) / 50
    assert 0.6 < found < 0.95
    assert all(len(np.unique(rows[:, 1])) == 50 for rows in clip.sequence.truth.values())
    np.testing.assert_array_equal(clip.detections[60].xyxy, crowd(50, seconds=4.0).detections[60].xyxy)


# ---- the page


def test_a_table_replaces_the_one_between_its_markers() -> None:
    page = "a\n<!-- identity pan -->\n\nold\n\n<!-- /identity pan -->\nb\n"
    new = put(page, "pan", ["| x |"])
    assert new == "a\n<!-- identity pan -->\n\n| x |\n\n<!-- /identity pan -->\nb\n"
    with pytest.raises(ValueError, match="no markers <!-- identity rates -->"):
        put(page, "rates", [])


def test_figures_in_the_text_are_replaced_by_their_names() -> None:
    page = "HOTA <!-- figure hota -->50.0<!-- /figure -->; <!-- figure other -->7<!-- /figure -->"
    new = put_figures(page, {"hota": "51.0"})
    assert new == "HOTA <!-- figure hota -->51.0<!-- /figure -->; <!-- figure other -->7<!-- /figure -->"


def test_every_table_that_needs_no_pictures_has_its_place_on_the_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_sequence(tmp_path / name, *walk(5), 5)
    page = (ROOT / PAGE).read_text()
    bench = Bench(tmp_path, Path("none"), Runner(), crowd_s=0.5)
    for name in FROM_BOXES:
        for table, lines in TABLES[name][0](bench).items():
            page = put(page, table, lines)
            assert len({each.count("|") for each in lines}) == 1, table
    assert all(f"<!-- identity {table} -->" in page for table in OTHERS)
    named = {name for file in WITH_FIGURES for name in re.findall(r"<!-- figure (\S+) -->", (ROOT / file).read_text())}
    assert named <= set(bench.figures)
    begun, ended = (re.findall(rf"<!-- {slash}identity (\S+) -->", page) for slash in ("", "/"))
    assert begun == ended
    assert len(begun) == len(TABLES) + 2  # two commands make two tables each


def test_the_figures_of_a_table_are_those_of_the_command(data: Path) -> None:
    found = Runner().found(read_clips(data), {"ours": partial(OurTracker, TrackerConfig())}, [Thinning()])["ours"]
    assert (found[ALL]["IDSW"], found["one"]["MOTA"]) == (0, 100)
