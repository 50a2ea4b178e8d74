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
