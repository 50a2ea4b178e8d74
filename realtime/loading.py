"""The stages that hold a model: found, checked, loaded and warm.

Used by pipeline, which puts them to work, and by evaluate, which calls them one by one. What is wrong is said before
anything slow is done: a device or an engine that can't be had before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from realtime.capture.demo import demo_canvas, demo_people
from realtime.capture.open import kind_of
from realtime.config import AppConfig, PoseConfig, cache_folder
from realtime.detect.yolo import DetectStage
from realtime.errors import ConfigError, ModelError
from realtime.models.engine import choose
from realtime.models.ultralytics import build_net
from realtime.pose.engine import People
from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseModel, PoseStage
from realtime.pose.vitpose import VitPose
from realtime.pose.yolo_pose import YoloPose
from realtime.runtime.device import resolve_device
from realtime.runtime.pool import calls_for, cores_each
from realtime.runtime.share import all_cores, just, share
from realtime.skeleton import NO_SKELETON, from_labels
from realtime.track.stage import TrackStage
from realtime.weights import Model, find_detector, find_pose


@dataclass(frozen=True)
class Models:
    """The stages that hold a model, loaded and warm, and what these are called."""

    device: torch.device
    detector_name: str
    pose_name: str
    detect: DetectStage
    track: TrackStage
    pose: PoseStage | PassThrough
    calls: int  # of the pool
    unhurried: bool = False  # nobody waits for a frame: more of them a second, if older

    @property
    def pooled(self) -> list[str]:
        """The stages whose work a pool of threads does: on a CPU those with a model, else none."""
        if self.device.type != "cpu":
            return []
        return [stage.name for stage in (self.detect, self.pose) if not isinstance(stage, PassThrough)]

    def shares(self) -> Iterator[None]:
        """Once for each number of cores that a call may be given: on a CPU alone, and beside others."""
        for cores in {all_cores(), cores_each(self.calls)} if self.pooled else {1}:
            with share(just(cores)):
                yield


def load_models(config: AppConfig) -> Models:
    """Find, load and warm up the detector and the pose model.

    Raises:
        ModelError: one of them can't be had or loaded, or the GPU has too little memory.
        ConfigError: the device, `tracker.reid`, an engine or a precision can't be had, or `pose.model detector` with a
            detector that knows no keypoints.
    """
    device = resolve_device(config.device)
    try:
        return _load_models(config, device)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{device}: too little memory for these models: a smaller pose.model or detector.weights, or --device cpu"
        ) from error


def _load_models(config: AppConfig, device: torch.device) -> Models:
    choose("detector", device, config.detector)
    found = find_pose(config.pose.model, device.type == "cuda", cache_folder())
    _check_pose_keys(config.pose, found, device)
    # An Apple GPU serves one thread at a time.
    track = TrackStage(config.tracker, "cpu" if device.type == "mps" else str(device))
    detect, detector_name = load_detector(config, device)
    pose = _pose_stage(config, found, detect, device)
    live = config.realtime or any(kind_of(camera.address) in ("webcam", "network") for camera in config.cameras)
    calls = calls_for(len(config.cameras), unhurried=not live)
    models = Models(device, detector_name, found.name, detect, track, pose, calls, unhurried=not live)
    for _ in models.shares():
        detect.warm_up()
        pose.warm_up()
    return models


def load_detector(config: AppConfig, device: torch.device | None = None) -> tuple[DetectStage, str]:
    """The detector, loaded, and its name.

    Args:
        config: `detector`, and `device` where none is given.
        device: where to run.

    Raises:
        ModelError, ConfigError: see load_models.
    """
    device = device or resolve_device(config.device)
    found = find_detector(config.detector.weights, device.type == "cuda", cache_folder())
    assert found.path is not None
    net = build_net("detector", found.path, device, config.detector, _compiled(), demo_canvas())
    return DetectStage(config.detector, net), found.name


def _pose_stage(config: AppConfig, found: Model, detect: DetectStage, device: torch.device) -> PoseStage | PassThrough:
    if found.kind == "none":
        return PassThrough(NO_SKELETON)
    if found.kind == "detector":
        if not detect.keypoints:
            raise ConfigError(
                "pose.model: got detector, but the detector finds no keypoints: give it YOLO pose weights"
            )
        return PassThrough(from_labels({i: f"LABEL_{i}" for i in range(detect.keypoints)}))
    assert found.path is not None
    if found.kind == "yolo":
        net = build_net("pose", found.path, device, config.pose, _compiled(), demo_canvas())
        model: PoseModel = YoloPose(net)
    else:
        people = People(demo_canvas(), demo_people())
        model = VitPose(found.path, device, config.pose, people, _compiled())
    return PoseStage(model, config.pose.max_people)


def _compiled() -> Path:
    """Where networks are kept that were converted for an engine."""
    return cache_folder() / "compiled"


def _check_pose_keys(config: PoseConfig, found: Model, device: torch.device) -> None:
    """What was asked of a model can't be had on every device, nor of every model: said before anything loads."""
    if found.kind in ("vitpose", "yolo"):
        choose("pose", device, config)
    asked = {
        "engine": config.engine not in ("auto", "torch") and found.kind in ("detector", "none"),
        "precision": config.precision not in ("auto", "fp32") and found.kind in ("detector", "none"),
        "input_size": config.input_size is not None and found.kind != "vitpose",
    }
    asked["precision"] |= config.precision == "int8" and found.kind == "yolo"
    if key := next((key for key, is_asked in asked.items() if is_asked), None):
        raise ConfigError(f"pose.{key}: got {getattr(config, key)} with {found.name}, expected a ViTPose model")
