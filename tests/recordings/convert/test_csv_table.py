"""CSV tables, read by Python's csv module."""

import csv
from pathlib import Path

import numpy as np
import pytest

from realtime.recordings.info import encode_infos, info_path
from tests.recordings.convert.recordings import NAMES, NEAR, convert, described, people, recorded
from tests.recordings.recorded import record
from tests.wire.examples import pose


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_person_is_a_row_whose_header_names_the_keypoints(tmp_path: Path) -> None:
    messages = [people(0, 2), people(1, 0), people(2, 1, media_s=None, camera="yard")]
    rows = read(convert(recorded(tmp_path / "x.jsonl", *messages), "csv", tmp_path / "x.csv"))
    assert [(row["camera"], row["frame"], row["track_id"], row["media_s"], row["measured"]) for row in rows] == [
        ("cam0", "0", "1", "0.0", "1"),
        ("cam0", "0", "2", "0.0", "1"),
        ("yard", "2", "1", "", "1"),
    ]
    parts = [f"{name}_{part}" for name in NAMES["coco17"] for part in ("x", "y", "score")]
    for row, message, person in zip(rows, (messages[0], messages[0], messages[2]), (0, 1, 0), strict=True):
        keypoints = [float(row[part]) for part in parts]
        np.testing.assert_allclose(keypoints, message.keypoints_array()[person].ravel(), atol=NEAR)
        box = [float(row[name]) for name in ("x1", "y1", "x2", "y2")]
        np.testing.assert_allclose(box, message.boxes_array()[person], atol=NEAR)
        assert (row["session"], row["captured_ns"]) == (message.session, str(message.captured_ns))


def test_a_table_without_people_has_its_header(tmp_path: Path) -> None:
    out = convert(recorded(tmp_path / "x.jsonl", people(0, 0)), "csv", tmp_path / "x.csv")
    assert out.read_text().startswith("session,camera,")
    assert out.read_text().rstrip().endswith("right_ankle_score")


def test_a_camera_with_other_keypoints_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    messages = [people(0, 1), people(0, 1, "mpii16", camera="yard")]
    path = recorded(tmp_path / "x.jsonl", *messages)
    assert len(read(convert(path, "csv", tmp_path / "x.csv"))) == 1
    assert "yard: left out" in caplog.text
    assert len(read(convert(path, "csv", tmp_path / "yard.csv", "--camera", "yard"))) == 1


def test_messages_of_another_skeleton_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0, 1, "mpii16", session="s0"), people(0, 1), people(1, 1))
    assert [row["session"] for row in read(convert(path, "csv", tmp_path / "x.csv"))] == ["s1", "s1"]
    assert "messages left out, because they have other keypoints: 1" in caplog.text


@pytest.mark.parametrize("begins_empty", [False, True])
@pytest.mark.parametrize("skeleton", ["mpii16", "coco17"])
def test_names_that_fit_no_message_are_not_used(
    skeleton: str, begins_empty: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """x.info.json is that of another recording, or of another program: the people are converted nevertheless."""
    path = recorded(tmp_path / "x.jsonl", people(0, 0 if begins_empty else 1, skeleton), people(1, 1, skeleton))
    info_path(path).write_bytes(encode_infos([described("coco25")]))
    rows = read(convert(path, "csv", tmp_path / "x.csv"))
    assert [row["frame"] for row in rows] == (["1"] if begins_empty else ["0", "1"])
    assert ("nose_x" if skeleton == "coco17" else "keypoint_15_x") in rows[0]
    count = len(NAMES[skeleton])
    assert f"cam0: the names of x.info.json are not used: they are 25, but its messages have {count}" in caplog.text


def test_a_known_skeleton_with_other_keypoints_is_numbered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = record(tmp_path / "x.jsonl", people(0, 0), pose(n=1, k=25, frame=1, skeleton="coco17"))
    assert read(convert(path, "csv", tmp_path / "x.csv"))[0]["keypoint_24_score"]
    assert "the names of the skeleton coco17 are not used: they are 17, but its messages have 25" in caplog.text


def test_unknown_names_are_numbered(tmp_path: Path) -> None:
    out = convert(record(tmp_path / "x.jsonl", people(0, 1, "mpii16")), "csv", tmp_path / "x.csv")
    assert read(out)[0]["keypoint_15_score"]


def test_labels_are_a_column_before_the_keypoints_if_there_are_any(tmp_path: Path) -> None:
    messages = [people(0, 2, labels=["cat", "traffic light"]), people(1, 1)]
    out = convert(recorded(tmp_path / "x.jsonl", *messages), "csv", tmp_path / "x.csv")
    assert [row["label"] for row in read(out)] == ["cat", "traffic light", ""]
    assert out.read_text().splitlines()[0].split(",")[14:18] == ["x2", "y2", "label", "nose_x"]
    assert float(read(out)[0]["nose_x"]) == pytest.approx(messages[0].keypoints_array()[0, 0, 0], abs=NEAR)
    out = convert(recorded(tmp_path / "y.jsonl", people(0, 2)), "csv", tmp_path / "y.csv")
    assert "label" not in read(out)[0]
