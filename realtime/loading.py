"""Loading of the stages that hold a model: find it, check the configuration, load it, warm it up.

Used by pipeline, which connects the stages, and by evaluate, which calls them one by one. Mistakes are reported before
anything slow happens: an unavailable device or engine is reported before the first model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from realtime.capture.demo import demo_canvas, demo_people
from realtime.capture.open import kind_of
from realtime.config import AppConfig, PoseConfig, cache_folder
from realtime.detect.stage import DetectStage
from realtime.errors import ConfigError, ModelError
from realtime.models.choice import choose
from realtime.models.weights import Model, find_detector, find_pose
from realtime.models.yolo import build_net
from realtime.pose.build import People
from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseModel, PoseStage
from realtime.pose.vitpose import VitPose
from realtime.pose.yolo_pose import YoloPose
from realtime.runtime.device import resolve_device
from realtime.runtime.pool import calls_for, cores_each
from realtime.runtime.share import all_cores, just, share
from realtime.skeleton import NO_SKELETON, from_labels
from realtime.track.stage import TrackStage


@dataclass(frozen=True)
class Models:
    """The stages that hold a model, loaded and warmed up, and the names of the models.

    Attributes:
        device: the device on which the models run.
        detector_name: the detector's name, for reports and the stream.
        pose_name: the pose model's name, for reports and the stream.
        detect: the detection stage.
        track: the tracking stage; its appearance network, if any, is loaded.
        pose: the pose stage.
        calls: how many inferences the pool runs concurrently.
        unhurried: throughput mode, for files only: more frames per second, at a higher latency.
    """

    device: torch.device
    detector_name: str
    pose_name: str
    detect: DetectStage
    track: TrackStage
    pose: PoseStage | PassThrough
    calls: int
    unhurried: bool = False

    @property
    def pooled(self) -> list[str]:
        """The names of the stages whose work a pool of threads does: those with a model on a CPU, otherwise none."""
        if self.device.type != "cpu":
            return []
        return [stage.name for stage in (self.detect, self.pose) if not isinstance(stage, PassThrough)]

    def shares(self) -> Iterator[None]:
        """Yield once for each core budget that an inference may get, with that budget set for the calling thread.

        On a CPU, an inference gets all cores if it runs alone, and fewer if others run concurrently. OpenVINO
        compiles a network for each budget.
        """
        for cores in {all_cores(), cores_each(self.calls)} if self.pooled else {1}:
            with share(just(cores)):
                yield


def load_models(config: AppConfig) -> Models:
    """Find, load and warm up the detector and the pose model.

    Raises:
        ModelError: a model can't be found or loaded, or the GPU has too little memory.
        ConfigError: the device, `tracker.reid`, an engine or a precision is not available, or `pose.model` is
            `detector` and the detector has no keypoints.
    """
    device = resolve_device(config.device)
    try:
        return _load_models(config, device)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{device}: not enough memory: choose a smaller pose.model or detector.weights, or --device cpu"
        ) from error


def _load_models(config: AppConfig, device: torch.device) -> Models:
    choose("detector", device, config.detector)
    found = find_pose(config.pose.model, device.type == "cuda", cache_folder())
    _check_pose_keys(config.pose, found, device)
    # Two threads can't share an Apple GPU in torch, so the tracker's appearance network runs on the CPU there.
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
    """Load the detector.

    Args:
        config: its section `detector` is used, and `device` if no device is given.
        device: the device on which the detector runs.

    Returns:
        The stage and the name of the model.

    Raises:
        ModelError: the detector can't be found or loaded.
        ConfigError: the device, engine or precision is not available.
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
                "pose.model: got detector, but the detector has no keypoints; set detector.weights to a YOLO pose model"
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
    """The folder for converted networks."""
    return cache_folder() / "compiled"


def _check_pose_keys(config: PoseConfig, found: Model, device: torch.device) -> None:
    """Raise ConfigError for keys of `pose` that the device or the model does not support, before anything loads."""
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
