"""Run each benchmark of the stages once, untimed (--benchmark-disable), with a tiny pose network."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.config import load
from realtime.detect.stage import DetectStage
from realtime.loading import load_detector
from realtime.pose.stage import PoseStage
from tests.bench.stages import *  # noqa: F403
from tests.pose.checkpoints import load_vitpose, save_checkpoint


@pytest.fixture(scope="module")
def detect_stage(yolov8n: Path) -> DetectStage:
    flags = {"device": "cpu", "detector.weights": str(yolov8n), "detector.engine": "torch"}
    return load_detector(load(environment={}, flags=flags))[0]


@pytest.fixture(scope="module")
def pose_stage(tmp_path_factory: pytest.TempPathFactory) -> PoseStage:
    return PoseStage(load_vitpose(save_checkpoint(tmp_path_factory.mktemp("stages"))))
