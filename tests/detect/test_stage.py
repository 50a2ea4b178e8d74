from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from realtime.config import DetectorConfig
from realtime.detect.on_device import DeviceLetterbox
from realtime.detect.stage import DetectStage
from realtime.models.yolo import YoloNet
from realtime.runtime.device import Lane
from realtime.types import Frame

CPU = torch.device("cpu")


def test_frames_that_are_not_due_are_empty_and_the_others_do_not_change(yolov8n: Path, photographs: list[Path]) -> None:
    image = cv2.imread(str(photographs[0]))
    frames = [Frame(camera, 0, k, image, k / 30, 0, 0) for k in range(5) for camera in ("cam0", "cam1")]
    batches = frames[:2], frames[2:3], frames[3:7], frames[7:]
    stages = [DetectStage(DetectorConfig(every=every, size=320), YoloNet(yolov8n, CPU)) for every in (1, 3)]
    all_looked, third_looked = ([item for batch in batches for item in stage.process(batch)] for stage in stages)
    for number, (plain, found) in enumerate(zip(all_looked, third_looked, strict=True)):
        assert found.frame is frames[number]
        assert plain.looked
        assert found.looked == (number // 2 in (0, 3))
        # The batches differ in size, and with it the rounding.
        np.testing.assert_allclose(found.xyxy, plain.xyxy if found.looked else plain.xyxy[:0], atol=0.01)
    assert len(all_looked[0]) > 0


def test_warm_up_prepares_the_input_size_to_come() -> None:
    class Net:
        stride, keypoints, engine_name, lane = 32, 0, "fake", Lane(CPU)
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


def test_the_detector_runs_on_the_first_frame_of_a_forgotten_camera(make_frame: Callable[..., Frame]) -> None:
    class Net:
        stride, keypoints, engine_name, lane = 32, 0, "fake", Lane(CPU)

        def predict(self, images: np.ndarray, min_score: float, nms_iou: float) -> list[tuple[np.ndarray, ...]]:
            return [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0, 3), np.float32))]

    stage = DetectStage(DetectorConfig(every=9, size=320), Net())
    assert [found.looked for found in stage.process([make_frame(0), make_frame(1)])] == [True, False]
    stage.forget("cam0")
    assert [found.looked for found in stage.process([make_frame(2), make_frame(3)])] == [True, False]


def test_the_gpu_letterbox_finds_the_same_people_in_frames_of_several_sizes(
    yolov8n: Path, photographs: list[Path]
) -> None:
    sizes = (640, 480), (500, 375), (640, 480), (480, 640), (320, 240)
    images = [cv2.resize(cv2.imread(str(photographs[i % len(photographs)])), size) for i, size in enumerate(sizes)]
    frames = [Frame(f"cam{i}", 0, 0, image, 0.0, 0, 0) for i, image in enumerate(images)]
    there, here = (DetectStage(DetectorConfig(size=320), YoloNet(yolov8n, CPU)) for _ in range(2))
    there._letterboxed = DeviceLetterbox(there._net.lane)
    people = 0
    for found, expected in zip(there.process(frames), here.process(frames), strict=True):
        assert found.frame is expected.frame
        np.testing.assert_array_equal(found.xyxy, expected.xyxy)
        np.testing.assert_array_equal(found.scores, expected.scores)
        people += len(found)
    assert people >= 5
