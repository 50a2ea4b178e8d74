from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from realtime.boxes import iou
from realtime.config import DetectorConfig
from realtime.detect.on_device import DeviceLetterbox
from realtime.detect.stage import DetectStage
from realtime.models.yolo import Found, YoloNet
from realtime.runtime.lane import Lane
from realtime.types import Frame
from tests.fake_cuda import GPU, FakeCuda, out_of_memory

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


class Net:
    """A network that finds nobody, and records the shapes of its images and the sizes that were dropped."""

    stride, keypoints, engine_name, lane = 32, 0, "fake", Lane(CPU)
    names = ("person",)

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.dropped: list[tuple[int, int]] = []

    def predict(self, images: np.ndarray, min_score: float, nms_iou: float) -> list[Found]:
        self.shapes.append(images.shape)
        none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0, 3), np.float32)
        return [Found(*none, np.zeros(0, np.int64))] * len(images)

    def drop(self, size: tuple[int, int]) -> None:
        self.dropped.append(size)


def black(width: int, height: int) -> Frame:
    return Frame("cam0", 0, 0, np.zeros((height, width, 3), np.uint8), 0.0, 0, 0)


def test_warm_up_runs_the_network_in_the_shape_of_most_cameras() -> None:
    stage = DetectStage(DetectorConfig(size=640), Net())
    stage.warm_up()
    stage.compile((480, 640))
    stage.process([black(1280, 720)])
    assert stage._net.shapes == [(1, 384, 640, 3), (1, 640, 480, 3), (1, 384, 640, 3)]
    assert stage.shapes.compiled == {(640, 384)}  # whoever compiles says when that is complete


def test_a_live_frame_never_makes_the_network_run_in_a_new_shape() -> None:
    stage = DetectStage(DetectorConfig(size=640), Net())
    stage.warm_up()
    stage.shapes.need("cam0", (480, 640), exact=False)
    stage.process([black(480, 640)])
    stage.divide(black(480, 640), 1).parts[0].run()
    assert set(stage._net.shapes) == {(1, 384, 640, 3)}
    stage.forget("cam0")
    stage.process([black(480, 640)])
    assert stage._net.shapes[-1] == (1, 640, 480, 3)


def test_a_shape_that_is_not_kept_is_dropped_from_the_network() -> None:
    stage = DetectStage(DetectorConfig(size=640), Net())
    stage.warm_up()
    stage.shapes.need("cam0", (640, 64), exact=False)
    for k in range(1, 7):
        stage.shapes.add((640, 32 * k))
    assert stage._net.dropped == [(640, 384), (640, 32)]


def test_boxes_found_in_another_shape_map_back_to_the_frame(yolov8n: Path, photographs: list[Path]) -> None:
    image = cv2.imread(str(photographs[0]))  # upright
    stage = DetectStage(DetectorConfig(size=640), YoloNet(yolov8n, CPU))
    [own] = stage.process([Frame("cam0", 0, 0, image, 0.0, 0, 0)])
    other = DetectStage(DetectorConfig(size=640), stage._net)
    other.warm_up()
    other.shapes.need("cam0", image.shape[1::-1], exact=False)
    [found] = other.process([Frame("cam0", 0, 0, image, 0.0, 0, 0)])
    assert other.shapes.place(found.frame, 640).input_size == (640, 384)
    sure = own.scores > 0.6
    assert sure.sum() >= 3
    # The frame is scaled to 0.6 of its size in its own shape, so a box is found less exactly, but in its place.
    assert (iou(own.xyxy[sure], found.xyxy).max(axis=1) > 0.85).all()


def test_the_detector_runs_on_the_first_frame_of_a_forgotten_camera(make_frame: Callable[..., Frame]) -> None:
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


def test_frames_that_do_not_fit_into_a_gpus_memory_together_are_detected_in_smaller_batches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with FakeCuda():

        class Small(Net):
            """Has memory for three images. It finds one person in each, whose score is the grey level."""

            lane = Lane(GPU)

            def predict(self, images: torch.Tensor, min_score: float, nms_iou: float) -> list[Found]:
                with self.lane.run():
                    if len(images) > 3:
                        raise out_of_memory(2**30)
                    self.shapes.append(tuple(images.shape))
                    middles = self.lane.download(images[:, 192, 320, 0])
                box, none = np.float32([[100, 100, 200, 200]]), np.zeros((1, 0, 3), np.float32)
                return [Found(box, np.float32([middle / 255]), none, np.array([0])) for middle in middles]

        stage = DetectStage(DetectorConfig(size=640), Small())
        frames = [replace(black(1280, 720), image=np.full((720, 1280, 3), grey, np.uint8)) for grey in range(11)]
        for _ in range(2):
            found = stage.process(frames)
            assert [round(float(each.scores[0]) * 255) for each in found] == list(range(11))
        assert [shape[0] for shape in stage._net.shapes] == [3, *[1, 2, 2, 2, 2, 2] * 2]  # the 3 were followed by 4
        assert len(caplog.messages) == 1
