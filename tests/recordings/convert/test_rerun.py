"""Rerun's recordings, read by its own library. Run by make convert."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from tests.recordings.convert.recordings import BOXES, NAMES, convert, error_of, people, recorded

pytestmark = pytest.mark.convert


def read(path: Path) -> dict[str, list[dict]]:
    """The rows of each entity: its components by their names, with the time lines."""
    from rerun.chunk import RrdReader

    rows: dict[str, list[dict]] = {}
    for chunk in RrdReader(path).stream():
        rows.setdefault(chunk.entity_path, []).extend(chunk.to_record_batch().to_pylist())
    return rows


def test_each_person_has_points_and_a_box_in_each_frame(tmp_path: Path) -> None:
    messages = [people(0, 2), people(1, 1), people(2, 0)]
    rows = read(convert(recorded(tmp_path / "x.jsonl", *messages), "rerun", tmp_path / "x.rrd"))
    by_frame = {row["frame"]: row for row in rows["/cam0/1"]}
    points = messages[1].keypoints_array()[0]
    seen = np.flatnonzero(points[:, 2] >= 0.3)
    np.testing.assert_allclose(by_frame[1]["Points2D:positions"], points[seen, :2] + 0.5, atol=1e-3)
    assert by_frame[1]["Points2D:keypoint_ids"] == seen.tolist()
    assert set(by_frame[1]["Points2D:class_ids"]) == {1}
    np.testing.assert_allclose(by_frame[1]["keypoint_scores"], points[seen, 2], atol=1e-6)
    assert by_frame[1]["captured"].value == messages[1].captured_ns
    [box] = by_box = [row["Boxes2D:centers"][0] for row in rows["/cam0/2/box"] if row.get("Boxes2D:centers")]
    np.testing.assert_allclose(box, (BOXES[1, :2] + BOXES[1, 2:]) / 2, atol=1e-3)
    assert len(by_box) == 1


def test_people_without_keypoints_have_boxes(tmp_path: Path) -> None:
    guessed = people(1, 1, "coco17", camera="yard", keypoint_scores=np.zeros((1, 17), np.float32))
    rows = read(convert(recorded(tmp_path / "x.jsonl", people(0, 2, "none"), guessed), "rerun", tmp_path / "x.rrd"))
    assert [len(rows[f"/{entity}/box"]) for entity in ("cam0/1", "cam0/2", "yard/1")] == [1, 1, 1]
    assert not rows["/yard/1"][0]["Points2D:positions"]


def test_many_rows_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime.recordings.convert import rerun

    monkeypatch.setattr(rerun, "_ROWS", 3)
    rows = read(convert(recorded(tmp_path / "x.jsonl", *map(people, range(5))), "rerun", tmp_path / "x.rrd"))
    assert sorted(row["frame"] for row in rows["/cam0/2"]) == [0, 1, 2, 3, 4]


def test_names_and_connections_are_written_once(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", *map(people, range(3)))
    [row] = read(convert(path, "rerun", tmp_path / "x.rrd"))["/cam0"]
    context = row["AnnotationContext:context"][0]
    described = context[1]["class_description"]
    assert [each["label"] for each in described["keypoint_annotations"]] == NAMES["coco17"]
    assert described["keypoint_connections"][0] == {"keypoint0": 0, "keypoint1": 1}


def test_a_track_that_is_gone_is_cleared(tmp_path: Path) -> None:
    rows = read(convert(recorded(tmp_path / "x.jsonl", people(0, 2), people(1, 1)), "rerun", tmp_path / "x.rrd"))
    assert [row["frame"] for row in rows["/cam0/2"] if row.get("Clear:is_recursive")] == [1]


def test_the_frames_of_two_runs_follow_one_another(tmp_path: Path) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0, 1), people(1, 1), people(0, 1, session="s2"))
    rows = read(convert(path, "rerun", tmp_path / "x.rrd"))
    assert [row["frame"] for row in rows["/cam0/2/box"]] == [2]


def test_a_full_disk_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], small_files: Callable[[], AbstractContextManager[None]]
) -> None:
    path = recorded(tmp_path / "x.jsonl", *map(people, range(500)))
    with small_files():
        out = convert(path, "rerun", tmp_path / "x.rrd", code=1)
    assert error_of(capfd) == f"{out}: can't be written completely: is the disk full?"
    assert not out.exists()
