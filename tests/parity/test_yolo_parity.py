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
def reference(yolov8n: Path) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    import realtime.models.ultralytics as ours

    ours.tame()
    from ultralytics import YOLO

    model = YOLO(yolov8n)

    def predict(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        boxes = model.predict(image, imgsz=size, conf=0.1, iou=0.7, classes=[0], verbose=False, device="cpu")[0].boxes
        return boxes.xyxy.numpy(), boxes.conf.numpy()

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
    yolov8n: Path, photographs: list[Path], reference: Callable[..., tuple[np.ndarray, np.ndarray]], size: int,
    crop: tuple[slice, slice], make_frame: Callable[..., Frame],
) -> None:  # fmt: skip
    stage = DetectStage(DetectorConfig(size=size), YoloNet(yolov8n, CPU))
    people = 0
    for photograph in photographs:
        image = np.ascontiguousarray(cv2.imread(str(photograph))[crop])
        xyxy, scores = reference(image, size)
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
