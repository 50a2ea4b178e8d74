from pathlib import Path

import cv2
import numpy as np
import torch

from realtime.config import DetectorConfig
from realtime.detect.yolo import DetectStage
from realtime.models.ultralytics import YoloNet
from realtime.types import Frame


def test_frames_between_looks_are_empty_and_the_others_as_ever(yolov8n: Path, photographs: list[Path]) -> None:
    image = cv2.imread(str(photographs[0]))
    frames = [Frame(camera, 0, k, image, k / 30, 0, 0) for k in range(5) for camera in ("cam0", "cam1")]
    batches = frames[:2], frames[2:3], frames[3:7], frames[7:]
    stages = [
        DetectStage(DetectorConfig(every=every, size=320), YoloNet(yolov8n, torch.device("cpu"))) for every in (1, 3)
    ]
    all_looked, third_looked = ([item for batch in batches for item in stage.process(batch)] for stage in stages)
    for number, (plain, found) in enumerate(zip(all_looked, third_looked, strict=True)):
        assert found.frame is frames[number]
        assert plain.looked
        assert found.looked == (number // 2 in (0, 3))
        # Another number of pictures in a call, another rounding.
        np.testing.assert_allclose(found.xyxy, plain.xyxy if found.looked else plain.xyxy[:0], atol=0.01)
    assert len(all_looked[0]) > 0


def test_it_is_made_ready_for_the_size_of_input_that_is_to_come() -> None:
    class Net:
        stride, keypoints, engine_name = 32, 0, "fake"
        shapes: list[tuple[int, ...]] = []  # noqa: RUF012

        def predict(self, images: np.ndarray, min_score: float, nms_iou: float) -> list[tuple[np.ndarray, ...]]:
            self.shapes.append(images.shape)
            return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0, 3), np.float32))]

    stage = DetectStage(DetectorConfig(size=640), Net())
    stage.warm_up((1280, 720))
    stage.warm_up((1280, 720), 320)
    assert stage.size == 640
    stage.size = 320
    stage.process([Frame("cam0", 0, 0, np.zeros((720, 1280, 3), np.uint8), 0.0, 0, 0)])
    assert Net.shapes == [(1, 384, 640, 3), (1, 192, 320, 3), (1, 192, 320, 3)]
