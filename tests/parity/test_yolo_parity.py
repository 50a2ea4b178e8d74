"""Our letterbox, forward pass and NMS against `YOLO.predict` with the same weights, on real photographs."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from realtime.config import DetectorConfig
from realtime.detect.stage import DetectStage
from realtime.models.yolo import YoloNet
from realtime.types import Frame

CPU = torch.device("cpu")
# Both sides do the same operations in float32, in another memory layout, which moves boxes by some 1e-4 px.
BOX_TOLERANCE_PX = 0.01
SCORE_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def reference(yolov8n: Path) -> Callable[..., tuple[np.ndarray, np.ndarray, list[str]]]:
    import realtime.models.ultralytics as ours

    ours.tame()
    from ultralytics import YOLO

    model = YOLO(yolov8n)

    def predict(image: np.ndarray, size: int, *classes: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        options = {"imgsz": size, "conf": 0.1, "iou": 0.7, "verbose": False, "device": "cpu"}
        boxes = model.predict(image, classes=list(classes), **options)[0].boxes
        return boxes.xyxy.numpy(), boxes.conf.numpy(), [model.names[int(number)] for number in boxes.cls]

    return predict


@pytest.mark.parametrize(
    ("size", "crop"),
    [
        (640, (slice(None), slice(None))),  # the whole image
        (320, (slice(None), slice(None))),  # scaled far down
        (640, (slice(0, 701), slice(0, 611))),  # odd sides: half a pixel of padding
        (640, (slice(100, 600), slice(50, 350))),  # scaled up
    ],
)
def test_detections_equal_those_of_predict(
    yolov8n: Path, photographs: list[Path], reference: Callable[..., tuple], size: int,
    crop: tuple[slice, slice], make_frame: Callable[..., Frame],
) -> None:  # fmt: skip
    stage = DetectStage(DetectorConfig(size=size), YoloNet(yolov8n, CPU))
    people = 0
    for photograph in photographs:
        image = np.ascontiguousarray(cv2.imread(str(photograph))[crop])
        xyxy, scores, _ = reference(image, size, 0)
        found = stage.process([make_frame(image=image)])[0]
        assert len(found) == len(xyxy)
        people += len(found)
        np.testing.assert_allclose(found.xyxy, xyxy, atol=BOX_TOLERANCE_PX)
        np.testing.assert_allclose(found.scores, scores, atol=SCORE_TOLERANCE)
    assert people >= 3


def test_one_call_keeps_the_order_of_cameras_with_equal_and_different_frame_sizes(
    yolov8n: Path, photographs: list[Path], make_frame: Callable[..., Frame]
) -> None:
    stage = DetectStage(DetectorConfig(size=320), YoloNet(yolov8n, CPU))
    bus, zidane = (cv2.imread(str(photograph)) for photograph in photographs)
    frames = [make_frame(0, camera, image=image) for camera, image in (("a", bus), ("b", zidane), ("c", bus.copy()))]
    together = stage.process(frames)
    assert [found.frame.camera for found in together] == ["a", "b", "c"]
    for found, frame in zip(together, frames, strict=True):
        alone = stage.process([frame])[0]
        np.testing.assert_allclose(found.xyxy, alone.xyxy, atol=BOX_TOLERANCE_PX)


def test_an_empty_image_has_no_people(yolov8n: Path, make_frame: Callable[..., Frame]) -> None:
    stage = DetectStage(DetectorConfig(size=320), YoloNet(yolov8n, CPU))
    assert len(stage.process([make_frame()])[0]) == 0


# The classes that are looked for, and their numbers.
CLASSES = [
    (["cat"], [15]),  # no people: one class, with labels
    (["Cat", "person"], [15, 0]),  # in another order than the network's, and another case
    (["person", "bus", "27", "cat", "couch", "laptop"], [0, 5, 27, 15, 57, 63]),  # a tie, by its number
    ([str(number) for number in range(80)], list(range(80))),  # all of them: the head is not reduced
]


@pytest.mark.parametrize(("classes", "numbers"), CLASSES, ids=lambda value: str(len(value)))
def test_detections_of_chosen_classes_equal_those_of_predict(
    yolov8n: Path, photographs: list[Path], cat_picture: Path, reference: Callable[..., tuple], classes: list[str],
    numbers: list[int], make_frame: Callable[..., Frame],
) -> None:  # fmt: skip
    stage = DetectStage(DetectorConfig(size=640), YoloNet(yolov8n, CPU, classes=classes))
    labels: list[str] = []
    for photograph in [cat_picture, *photographs]:
        image = cv2.imread(str(photograph))
        xyxy, scores, names = reference(image, 640, *numbers)
        found = stage.process([make_frame(image=image)])[0]
        assert found.labels.tolist() == names
        np.testing.assert_allclose(found.xyxy, xyxy, atol=BOX_TOLERANCE_PX)
        np.testing.assert_allclose(found.scores, scores, atol=SCORE_TOLERANCE)
        labels += names
    assert "cat" in labels
    assert len(set(labels)) >= min(len(classes), 2)
