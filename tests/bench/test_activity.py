"""Check the scenes of the benchmark and how its clips are served, not what it measures."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.activity import __main__ as command
from tests.bench.activity import clips, people
from tests.bench.activity.table import Table
from tests.faults.clip import stored

SIZE, FPS = (160, 112), 10


@pytest.fixture
def street(monkeypatch):
    """The drawn street, because reading vtest.avi takes seconds."""
    monkeypatch.setattr(clips, "VTEST", clips.VTEST / "missing")
    return clips.street(people.SIZE)


@pytest.fixture
def person():
    return people.Person(np.full((90, 30, 3), 255, np.float32), np.ones((90, 30), np.float32))


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_stored_clip_is_served_in_decoding_order_with_the_times_at_which_frames_are_shown(tmp_path, b_frames):
    images = clips.still(np.zeros((*SIZE[::-1], 3), np.uint8), 3 * FPS)
    path = clips.Coding(SIZE, FPS, mbit=0.2, b_frames=b_frames).write(images, tmp_path / "clip.ts")
    clip, fps, key_every = stored(str(path))
    shown = [sent + ahead for sent, ahead in enumerate(clip.ahead)]
    assert (fps, key_every, clip.size) == (FPS, FPS, SIZE)
    assert sorted(shown) == list(range(3 * FPS))
    assert (shown != sorted(shown)) == bool(b_frames)
    slices = [[unit for unit in units if unit[0] & 31 in (1, 5)] for units in clip.pictures]
    assert [len(each) for each in slices] == [1] * len(shown)


def test_a_camera_without_people_differs_from_frame_to_frame_by_noise_only(street):
    first, second = clips.still(street, 2, sigma=2.0)
    change = np.subtract(first, second, dtype=float)[: people.SIZE[1]]
    assert change.std() == pytest.approx(2.0 * np.sqrt(2), rel=0.1)


def test_people_are_pasted_where_their_boxes_say(street, person):
    who, images = people.entries([person], 1, is_night=False, seed=0)
    empty = clips.planes(street)
    frames = list(images)
    for number, frame in enumerate(frames):
        rows, columns = np.nonzero(np.abs(np.subtract(frame, empty, dtype=float))[: people.SIZE[1]] > 20)
        k = number - who[0].first
        assert bool(len(rows)) == (0 <= k < len(who[0].boxes))
        if len(rows):
            x1, y1, x2, y2 = np.clip(who[0].boxes[k], 0, [*people.SIZE] * 2)
            drawn = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(np.subtract(drawn, (x1, y1, x2, y2))).max() <= 2
    assert len(frames) == round((people.WALK_S + people.PAUSE_S) * people.FPS)


def test_a_person_outside_of_the_image_changes_nothing(person):
    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    person.onto(image, -40.0, 0.0)
    person.onto(image, 200.5, 10.0)
    assert not image.any()


def test_a_table_prints_its_title_once(capsys):
    table = Table(["a", "b"])
    table.add("1", "2")
    table.add("3", "4")
    assert capsys.readouterr().out == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n"


def test_an_unknown_table_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["activity", "emtpy"])
    with pytest.raises(SystemExit):
        command.main()
    assert "emtpy" in capsys.readouterr().err
