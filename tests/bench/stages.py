"""Benchmarks of each stage, with pytest-benchmark: `make bench` runs all of them.

Run one with `pytest tests/bench/stages.py --benchmark-enable -k track`. This file is not collected with the tests;
test_stages.py runs everything in it once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from realtime import wire
from realtime.capture.demo import demo_frame
from realtime.config import PublishConfig, SmoothingConfig, TrackerConfig, load
from realtime.detect.letterbox import Letterbox
from realtime.detect.stage import DetectStage
from realtime.evaluate.speed.random_vitpose import SMALL, save_checkpoint
from realtime.loading import load_detector
from realtime.observe.metrics import Histogram, StageMeter
from realtime.observe.status import CameraStatus
from realtime.pose.crop import crop_people, windows
from realtime.pose.decode import decode
from realtime.pose.stage import PoseStage
from realtime.publish.message import to_message
from realtime.publish.socket import PublishSocket
from realtime.publish.stage import PublishStage, StreamInfo
from realtime.runtime.channel import Channel
from realtime.runtime.core_budget import all_cores
from realtime.skeleton import NO_SKELETON
from realtime.smooth.stage import SmoothStage
from realtime.track.stage import TrackStage
from realtime.types import Detections, Frame, Poses, Tracks
from tests.bench.pose import boxes_of
from tests.doubles import FakeDoor
from tests.pose.checkpoints import load_vitpose

PEOPLE = 8
KEYPOINTS = 17
FPS = 25


def frame(index: int = 0, image: np.ndarray | None = None) -> Frame:
    image = np.zeros((1080, 1920, 3), np.uint8) if image is None else image
    return Frame("cam0", 0, index, image, index / FPS, captured_mono_ns=0, captured_unix_ns=0)


def detections(people: int, index: int = 0) -> Detections:
    boxes = boxes_of(people) + np.float32(index)  # all people move by one pixel per frame
    return Detections(frame(index), boxes, np.full(people, 0.9, np.float32))


def tracks(people: int, index: int = 0) -> Tracks:
    seen = detections(people, index)
    return Tracks(seen.frame, seen.xyxy, seen.scores, np.arange(1, people + 1), np.ones(people, np.bool_))


def poses(people: int, index: int = 0) -> Poses:
    rng = np.random.default_rng(index)
    points = rng.uniform(0, 1000, (people, KEYPOINTS, 2)).astype(np.float32)
    return Poses.of(tracks(people, index), points, np.full((people, KEYPOINTS), 0.9, np.float32))


@pytest.fixture(scope="module")
def pose_stage(tmp_path_factory: pytest.TempPathFactory) -> PoseStage:
    """ViTPose-S on the engine that `auto` chooses."""
    torch.set_num_threads(all_cores())
    folder = save_checkpoint(tmp_path_factory.mktemp("stages") / "vitpose", size=SMALL)
    stage = PoseStage(load_vitpose(folder, engine="auto", precision="auto", self_test="warn"))
    stage.warm_up()
    return stage


def test_letterbox(benchmark):
    letterbox = Letterbox.of((1920, 1080), 640, 32)
    benchmark(letterbox.apply, frame().image, np.empty((*letterbox.input_size[::-1], 3), np.uint8))


@pytest.fixture(scope="module")
def detect_stage(yolov8n: Path) -> DetectStage:
    """yolov8n on the engine that `auto` chooses."""
    stage, _ = load_detector(load(environment={}, flags={"device": "cpu", "detector.weights": str(yolov8n)}))
    stage.warm_up()
    return stage


def test_detect(benchmark, detect_stage: DetectStage):
    found = benchmark(detect_stage.process, [frame(image=demo_frame(0))])
    assert len(found[0]) >= 5


@pytest.mark.parametrize("people", [10, 50, 200])
def test_track(benchmark, people: int):
    stage = TrackStage(TrackerConfig())
    moving = (detections(people, index) for index in range(10**9))
    found = benchmark(lambda: stage.process([next(moving)]))
    assert len(found[0]) == people


def test_crop(benchmark):
    image, boxes, size = demo_frame(0), boxes_of(PEOPLE), (192, 256)
    benchmark(crop_people, [image], np.zeros(PEOPLE, np.intp), *windows(boxes, size), size)


def test_decode(benchmark):
    heatmaps = np.random.default_rng(0).random((PEOPLE, KEYPOINTS, 64, 48), np.float32)
    benchmark(decode, heatmaps, 2.0)


@pytest.mark.parametrize("people", [1, PEOPLE])
def test_pose(benchmark, pose_stage: PoseStage, people: int):
    found = benchmark(pose_stage.process, [tracks(people)])
    assert len(found[0]) == people


@pytest.mark.parametrize("people", [PEOPLE, 50])
@pytest.mark.parametrize("method", ["one-euro", "kalman"])
def test_smooth(benchmark, method: str, people: int):
    stage = SmoothStage(SmoothingConfig(method=method))
    seen = poses(people)
    moving = (Poses.of(tracks(people, i), seen.keypoints, seen.keypoint_scores) for i in range(10**9))
    benchmark(lambda: stage.process([next(moving)]))


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_encode(benchmark, encoding: str):
    seen = poses(PEOPLE)
    payload = benchmark(lambda: wire.encode(to_message(seen, "loop", 0, "coco"), encoding))
    assert len(wire.decode(wire.pose_topic("cam0"), payload).track_ids) == PEOPLE


def test_publish(benchmark):
    config = PublishConfig(bind=["tcp://127.0.0.1:*"])
    info = StreamInfo("session", NO_SKELETON, "detector", "pose", "cpu", "none", "0")
    status = {"cam0": CameraStatus("cam0")}
    stage = PublishStage(
        PublishSocket(config),
        config,
        info,
        lambda: status,
        None,
        FakeDoor(),
        StageMeter(),
    )
    try:
        benchmark(stage.process, [poses(PEOPLE)])
        assert status["cam0"].published >= 1
    finally:
        stage.close()


def test_channel(benchmark):
    channel: Channel[int] = Channel(2)

    def hand_over() -> list[int]:
        channel.put(1)
        return channel.take()

    assert benchmark(hand_over) == [1]


def test_histogram(benchmark):
    histogram = Histogram()
    benchmark(histogram.add, 12.5)
    assert histogram.count >= 1
