"""The likely boxes of a YOLO network and their suppression in numpy, against torchvision and against the torch path."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import nms as reference

from realtime.models.yolo_output import Layout, likely, nms
from realtime.models.yolo_torch import likely_on_device

RNG = np.random.default_rng(5)


def boxes(count: int, spread: float = 600.0) -> np.ndarray:
    corners = RNG.uniform(0, spread, (count, 2))
    return np.concatenate((corners, corners + RNG.uniform(1, 120, (count, 2))), axis=1).astype(np.float32)


TIES = np.repeat(boxes(20, 80), 10, axis=0)
CASES = {
    "none": (np.zeros((0, 4), np.float32), np.zeros(0, np.float32)),
    "one": (boxes(1), np.float32([0.5])),
    "apart": (boxes(50, 1e5), RNG.random(50, np.float32)),
    "a crowd": (boxes(1000), RNG.random(1000, np.float32)),
    "equal boxes and scores": (TIES, np.full(200, 0.5, np.float32)),
    "few different scores": (boxes(400, 200), (RNG.random(400) * 5).round().astype(np.float32) / 5),
    "without an area": (np.zeros((30, 4), np.float32), RNG.random(30, np.float32)),
    "inside out": (boxes(60)[:, [2, 3, 0, 1]], RNG.random(60, np.float32)),
    "every anchor": (boxes(8400), RNG.random(8400, np.float32)),
    "whole pixels": (boxes(500, 60).round(), RNG.random(500, np.float32)),  # many an IoU is exactly the limit
}


@pytest.mark.parametrize("limit", [0.0, 0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_suppression_equals_that_of_torchvision(name: str, limit: float) -> None:
    xyxy, scores = CASES[name]
    expected = reference(torch.from_numpy(xyxy), torch.from_numpy(scores), limit).numpy()
    np.testing.assert_array_equal(nms(xyxy, scores, limit), expected)
    np.testing.assert_array_equal(nms(xyxy, scores, limit, most=300), expected[:300])


@pytest.mark.parametrize("end2end", [False, True], ids=["anchors", "end2end"])
@pytest.mark.parametrize(("classes", "keypoints"), [(1, 17), (2, 0), (3, 5), (80, 0)])
@pytest.mark.parametrize("min_score", [0.0, 0.4, 1.0])
def test_the_likely_boxes_are_those_of_the_torch_path(
    classes: int, keypoints: int, min_score: float, end2end: bool
) -> None:
    columns = 6 + 3 * keypoints if end2end else 4 + classes + 3 * keypoints
    predictions = (RNG.random((3, columns, 500)) * 20).round().astype(np.float32) / 20  # with equal scores
    if end2end:
        predictions = np.ascontiguousarray(predictions.transpose(0, 2, 1))
        predictions[..., 5] = RNG.integers(-1, classes + 1, predictions.shape[:2])  # a broken engine's labels
    labels = RNG.integers(-1, classes, classes)
    found = likely(predictions, min_score, labels, end2end)
    expected = likely_on_device(torch.from_numpy(predictions), min_score, torch.from_numpy(labels), end2end).numpy()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"stride": 0},
        {"stride": "32"},
        {"keypoints": -1},
        {"columns": 3},
        {"names": []},
        {"names": [1]},
        {"labels": [1]},
        {"labels": None},
    ],
)
def test_a_layout_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    good = Layout(32, 0, 0, ("person",), (0, -1), (0,), False).as_json()
    assert Layout.read(good).labels == (0, -1)
    with pytest.raises(ValueError, match="not the layout of a YOLO network"):
        Layout.read(good | changes)
