"""COCO results, read by pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.recordings.convert.recordings import NAMES, NEAR, convert, error_of, people, recorded


def truth_of(results: list[dict], frames: int) -> COCO:
    """Ground truth that the results match exactly."""
    truth = COCO()
    truth.dataset = {
        "images": [{"id": frame, "width": 640, "height": 480} for frame in range(frames)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            result | {"id": i + 1, "iscrowd": 0, "num_keypoints": 17, "area": 9e3, "bbox": [0, 0, 90, 100]}
            for i, result in enumerate(results)
        ],
    }
    truth.createIndex()
    return truth


def test_pycocotools_loads_and_scores_the_people_of_each_frame(tmp_path: Path) -> None:
    messages = [people(frame, n) for frame, n in ((0, 2), (1, 0), (3, 1))]
    out = convert(recorded(tmp_path / "x.jsonl", *messages), "coco", tmp_path / "x.json")
    results = json.loads(out.read_text())
    assert [(each["image_id"], each["category_id"]) for each in results] == [(0, 1), (0, 1), (3, 1)]
    expected = np.concatenate([message.keypoints_array().reshape(-1, 51) for message in messages if message.track_ids])
    np.testing.assert_allclose([each["keypoints"] for each in results], expected, atol=NEAR)
    assert [each["score"] for each in results[:2]] == [round(score, 4) for score in messages[0].scores]
    truth = truth_of(results, frames=4)
    evaluation = COCOeval(truth, truth.loadRes(str(out)), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


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
        "rerun or video"
    )
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.info.json", "x.jsonl"]
