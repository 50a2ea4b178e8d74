"""COCO results, read by pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from realtime.evaluate.keypoints import _results, read_dataset, score
from realtime.types import Poses, Tracks
from tests.builders import make_frame
from tests.recordings.convert.recordings import NAMES, NEAR, convert, error_of, people, recorded


def annotated(path: Path, results: list[dict], frames: int) -> Path:
    """Write ground truth that the results match exactly."""
    truth = {
        "images": [{"id": frame, "width": 640, "height": 480} for frame in range(frames)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            result | {"id": i + 1, "iscrowd": 0, "num_keypoints": 17, "area": 9e3, "bbox": [0, 0, 90, 100]}
            for i, result in enumerate(results)
        ],
    }
    path.write_text(json.dumps(truth))
    return path


def test_pycocotools_loads_the_people_of_each_frame(tmp_path: Path) -> None:
    messages = [people(frame, n) for frame, n in ((0, 2), (1, 0), (3, 1))]
    out = convert(recorded(tmp_path / "x.jsonl", *messages), "coco", tmp_path / "x.json")
    truth = COCO(annotated(tmp_path / "truth.json", json.loads(out.read_text()), frames=4))
    results = truth.loadRes(str(out)).loadAnns([1, 2, 3])
    assert [(each["image_id"], each["category_id"]) for each in results] == [(0, 1), (0, 1), (3, 1)]
    expected = np.concatenate([message.keypoints_array().reshape(-1, 51) for message in messages if message.track_ids])
    np.testing.assert_allclose([each["keypoints"] for each in results], expected, atol=NEAR)


def test_evaluate_scores_the_results_and_ranks_them_as_its_own(tmp_path: Path) -> None:
    messages = [people(0, 2), people(1, 2, keypoint_scores=np.tile(np.float32([0.1, 0.9]), (2, 9))[:, :17])]
    out = convert(recorded(tmp_path / "x.jsonl", *messages), "coco", tmp_path / "x.json")
    results = json.loads(out.read_text())
    dataset = read_dataset(annotated(tmp_path / "truth.json", results, frames=2))
    assert score(dataset, results)["AP"] == pytest.approx(100.0)
    for message, rows in zip(messages, (results[:2], results[2:]), strict=True):
        keypoints = np.ascontiguousarray(message.keypoints_array())
        boxes, scores = message.boxes_array(), np.array(message.scores, np.float32)
        tracks = Tracks(make_frame(), boxes, scores, np.array(message.track_ids), np.ones(2, np.bool_))
        poses = Poses.of(tracks, keypoints[..., :2].copy(), keypoints[..., 2].copy())
        own = [row["score"] for row in _results(poses, 0, 1)]
        np.testing.assert_allclose([row["score"] for row in rows], own, atol=1e-4)


@pytest.mark.parametrize("skeleton", ["coco25", "wholebody133"])
def test_larger_skeletons_are_reduced_to_the_17_keypoints_by_name(skeleton: str, tmp_path: Path) -> None:
    message = people(0, 1, skeleton)
    out = convert(recorded(tmp_path / "x.jsonl", message), "coco", tmp_path / "x.json")
    [result] = json.loads(out.read_text())
    columns = [NAMES[skeleton].index(name) for name in NAMES["coco17"]]
    expected = message.keypoints_array()[0, columns].ravel()
    np.testing.assert_allclose(result["keypoints"], expected, atol=NEAR)


def test_a_recording_without_people_is_an_empty_list(tmp_path: Path) -> None:
    out = convert(recorded(tmp_path / "x.jsonl", people(0, 0)), "coco", tmp_path / "x.json")
    assert json.loads(out.read_text()) == []


@pytest.mark.parametrize(
    ("to", "skeleton", "why"),
    [
        ("coco", "mpii16", "its 16 keypoints lack nose"),
        ("coco", "none", "it has no keypoints"),
        ("openpose", "mpii16", "its 16 keypoints lack nose"),
        ("openpose", "none", "it has no keypoints"),
    ],
)
def test_a_skeleton_that_does_not_fit_is_an_error_with_the_formats_that_hold_it(
    to: str, skeleton: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "x.jsonl", people(0, 1, skeleton))
    out = convert(path, to, tmp_path / "out", code=2)
    assert error_of(capsys) == (
        f"{path}: cam0: --to {to} needs the 17 keypoints of COCO, and {why}: convert it to csv, jsonl, mcap, mot, "
        "parquet, rerun or video"
    )
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.info.json", "x.jsonl"]


def test_animals_have_the_category_of_their_name_and_things_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    messages = [people(0, labels=["Cat", "person"]), people(1, labels=["bus", "giraffe"])]
    out = convert(recorded(tmp_path / "x.jsonl", *messages), "coco", tmp_path / "x.json")
    assert [each["category_id"] for each in json.loads(out.read_text())] == [17, 1, 25]
    assert "bus: left out, because COCO has no such animal" in caplog.text
