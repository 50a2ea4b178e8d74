"""Images that have nothing to do with each other, through the whole data path: all people in them are published.

The people of an image on its own are those of the first frame of an epoch (`PoseTracker.reset`).
"""

from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime import PoseTracker


@pytest.fixture(scope="module")
def images(photographs: list[Path]) -> list[np.ndarray]:
    """People, no one, others, the first ones elsewhere: images of the same size, so all are of one epoch."""
    first, second = (cv2.resize(cv2.imread(str(path)), (640, 480)) for path in photographs)
    random = np.random.default_rng(0)
    empty = cv2.GaussianBlur(random.integers(0, 255, first.shape, np.uint8), (0, 0), 8)
    return [first, empty, second, first[:, ::-1], empty[::-1], first, second[:, ::-1]]


@pytest.fixture(scope="module")
def tracker(yolov8n: Path):
    with PoseTracker(pose_model="none", detector_size=320) as tracker:
        yield tracker


@pytest.fixture(scope="module")
def people(tracker: PoseTracker, images: list[np.ndarray]) -> list[int]:
    """The number of people in each image on its own."""
    counts = []
    for image in images:
        tracker.reset()
        counts.append(len(tracker(image, time_s=0.0)))
    assert min(counts[::2][:2]) >= 2
    return counts


@pytest.mark.parametrize("step_s", [1 / 30, 1.0, 60.0])
def test_images_that_are_handed_over(
    tracker: PoseTracker, images: list[np.ndarray], people: list[int], step_s: float
) -> None:
    tracker.reset()
    assert [len(tracker(image, time_s=k * step_s)) for k, image in enumerate(images)] == people


def test_a_folder_of_images(tracker: PoseTracker, images: list[np.ndarray], people: list[int], tmp_path: Path) -> None:
    for k, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    assert [len(poses) for poses in tracker.track(tmp_path)] == people
