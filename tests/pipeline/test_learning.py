"""The complete pipeline with a trained network, which puts the keypoints on the people.

A swapped axis, channel or keypoint shows here; with random weights it would not.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from realtime.capture.demo import demo_motion
from realtime.config import load
from realtime.pipeline import Pipeline
from tests.pose.checkpoints import load_vitpose, people
from tests.pose.training import SURE, true_keypoints

FRAMES = 12


@pytest.mark.timeout(600)  # the first test that uses the network trains it
def test_the_pipeline_puts_keypoints_where_they_belong(
    trained_vitpose: Path, yolo11n_pose: Path, yolov8n: Path, tmp_path: Path
) -> None:
    flags: dict[str, object] = {"cameras": [{"name": "a", "source": "demo"}], "max_frames": str(FRAMES)}
    flags |= {"detector.weights": str(yolov8n), "pose.model": str(trained_vitpose), "smoothing.method": "none"}
    flags |= {"record": str(tmp_path / "x.jsonl"), "publish.bind": [f"ipc://{tmp_path}/stream"]}
    Pipeline(load(environment={}, flags=flags)).run()
    truth = true_keypoints(yolo11n_pose)
    errors = [
        error for line in (tmp_path / "x.jsonl").read_text().splitlines() for error in _errors(json.loads(line), truth)
    ]
    # In units of the person's size. Measured: median 0.012, 90th percentile 0.03.
    assert len(errors) > FRAMES * 50
    assert np.median(errors) < 0.03
    assert np.quantile(errors, 0.9) < 0.1


def _errors(message: dict[str, list[list[float]]], truth: np.ndarray) -> list[float]:
    """Distances of the keypoints from the true ones that are certain, in units of the person's size."""
    motion = demo_motion(int(message["frame"]))  # type: ignore[call-overload]
    homes = people().xyxy.reshape(5, 2, 2).mean(axis=1) @ motion[:, :2].T + motion[:, 2]
    errors = []
    for box, keypoints in zip(np.array(message["boxes"]), np.array(message["keypoints"]), strict=True):
        who = np.linalg.norm(homes - box.reshape(2, 2).mean(axis=0), axis=1).argmin()
        places = truth[who, :, :2] @ motion[:, :2].T + motion[:, 2]
        distances = np.linalg.norm(keypoints[:, :2] - places, axis=1) / (box[2:] - box[:2]).max()
        errors += list(distances[truth[who, :, 2] > SURE])
    return errors


def test_swapped_colours_and_swapped_sides_would_be_noticed(trained_vitpose: Path) -> None:
    image, boxes = people()
    model = load_vitpose(trained_vitpose)
    expected = model.estimate([image], [boxes])[0]
    clear = expected[..., 2] > SURE
    size = np.repeat((boxes[:, 3] - boxes[:, 1])[:, np.newaxis], 17, axis=1)[clear]
    pairs = np.arange(17)
    pairs[1:] = (pairs[1:] - 1 ^ 1) + 1  # 1 and 2, 3 and 4, ...
    mistakes = {
        "red and blue swapped": model.estimate([np.ascontiguousarray(image[..., ::-1])], [boxes])[0],
        "left and right swapped": expected[:, pairs],
    }
    for mistake, found in mistakes.items():
        assert np.median(np.linalg.norm((found - expected)[..., :2], axis=-1)[clear] / size) > 0.06, mistake
