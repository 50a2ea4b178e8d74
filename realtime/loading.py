"""Loading of the stages that hold a model, as the plan (realtime.plan) says, and warming them up.

Used by pipeline, which connects the stages, and by tracker and evaluate, which call them one by one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime.capture.demo import demo_canvas, demo_people, offer_canvas
from realtime.capture.kind import is_live_source
from realtime.config import AppConfig, DetectorConfig, PoseConfig
from realtime.detect.stage import DetectStage
from realtime.errors import ConfigError, DeviceError, ModelError
from realtime.models.cache import cache_folder
from realtime.models.converted import read_people
from realtime.models.yolo import YoloNet, build_net
from realtime.models.yolo_output import PERSON
from realtime.plan import Pick, Plan, make_plan, needs_torch, plan_detector, told
from realtime.pose.build import People, Setup, build_engine
from realtime.pose.passthrough import PassThrough
from realtime.pose.stage import PoseStage
from realtime.pose.vitpose import VitPose
from realtime.pose.yolo_pose import YoloPose
from realtime.redact import one_line
from realtime.runtime.core_budget import all_cores, core_budget, fixed
from realtime.runtime.device import AnyDevice, device_errors
from realtime.runtime.pool import concurrency_for, cores_each
from realtime.runtime.stage import Stage
from realtime.skeleton import NO_SKELETON, Skeleton, from_labels
from realtime.smooth.stage import SmoothStage
from realtime.track.relink import RelinkStage
from realtime.track.stage import TrackStage
from realtime.types import Frame

log = logging.getLogger(__name__)


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
        concurrency: how many inferences run at the same time.
        throughput: throughput mode, for files only: more frames per second, at a higher latency.
        send: sends a frame's image to a GPU, from any thread, before a model asks for it; None on other devices.
    """

    device: AnyDevice
    detector_name: str
    pose_name: str
    detect: DetectStage
    track: TrackStage
    pose: PoseStage | PassThrough
    concurrency: int
    throughput: bool = False
    send: Callable[[Frame], None] | None = None

    @property
    def pooled(self) -> list[str]:
        """The names of the stages whose work a pool of threads does: those with a model on a CPU, otherwise none."""
        if self.device.type != "cpu":
            return []
        return [stage.name for stage in (self.detect, self.pose) if not isinstance(stage, PassThrough)]

    def core_budgets(self) -> list[int]:
        """The core budgets that an inference may get; warm up with each of them.

        On a CPU, an inference gets all cores if it runs alone, and fewer if others run concurrently or in throughput
        mode. OpenVINO compiles a network for each budget, and each has its own copy of the weights.
        """
        share = cores_each(self.concurrency)
        return sorted({share} if self.throughput else {all_cores(), share}) if self.pooled else [1]


def load_models(config: AppConfig, concurrency: int | None = None, *, is_tuned: bool = False) -> Models:
    """Find, load and warm up the detector and the pose model.

    Args:
        config: the configuration of the run.
        concurrency: how many inferences will run at the same time; None: as many as the pool runs for this
            configuration.
        is_tuned: whether realtime.tuning compiles the detector for the shape of each file before its first frame. Then
            it is not warmed up here in the shape of 16:9 frames, which only live cameras need until theirs is compiled.

    Raises:
        ModelError: a model can't be found or loaded, or the GPU failed or has too little memory.
        ConfigError: `make_plan` found a mistake; or, found later: `tracker.reid` can't be loaded, the extra `int8` is
            missing, or `pose.model` is `detector` and the detector has no keypoints.
    """
    plan = make_plan(config)
    with _model_errors(plan.device):
        return _load(config, plan, concurrency, is_tuned)


def stages_of(config: AppConfig, models: Models) -> list[Stage[Any, Any]]:
    """Return the stages that turn a Frame into its Poses, in their order: detect, track, pose, relink, smooth.

    Args:
        config: the configuration of the run. If `tracker.relink_s` is 0, there is no relink stage.
        models: what `load_models` returned.
    """
    relink = RelinkStage(config.tracker.relink_s, models.pose.skeleton.sigmas)
    relinks = [relink] if config.tracker.relink_s > 0 else []
    return [models.detect, models.track, models.pose, *relinks, SmoothStage(config.smoothing)]


def load_detector(config: AppConfig) -> tuple[DetectStage, str]:
    """Load the detector alone.

    Args:
        config: its section `detector` and its `device` are used.

    Returns:
        The stage and the name of the model.

    Raises:
        ModelError: the detector can't be found or loaded, or the GPU failed or has too little memory.
        ConfigError: the device, engine or precision is not available.
    """
    device, pick = plan_detector(config)
    with _model_errors(device):
        net = _load_yolo("detector", pick, config.detector, device)
        return DetectStage(config.detector, net), pick.found.name


@contextlib.contextmanager
def _model_errors(device: AnyDevice) -> Iterator[None]:
    """Raise the errors of a GPU as ModelError, because a model that a GPU can't run isn't loaded."""
    try:
        with device_errors(device), needs_torch("this model"):
            yield
    except DeviceError as error:
        raise ModelError(str(error)) from error


def _load(config: AppConfig, plan: Plan, concurrency: int | None, is_tuned: bool) -> Models:
    device = plan.device
    # Two threads can't share an Apple GPU in torch, so the tracker's appearance network runs on the CPU there.
    with needs_torch(f"tracker.method {config.tracker.method}"):
        track = TrackStage(config.tracker, "cpu" if device.type == "mps" else str(device))
    detect = DetectStage(config.detector, _load_yolo("detector", plan.detector, config.detector, device))
    pose = _load_pose(config.pose, plan, detect.keypoints, config.activity.pose_s)
    if isinstance(pose, PoseStage) and (text := _misfit(pose.skeleton, detect.class_names)):
        log.warning("%s", text)
    has_live = any(is_live_source(camera.address) for camera in config.cameras)
    throughput = not config.realtime and not has_live
    concurrency = concurrency or concurrency_for(len(config.cameras), throughput)
    # A name may tell why `auto` didn't choose another model: the text of an error, which may contain an address.
    names = one_line(plan.detector.found.name), one_line(plan.pose.found.name)
    send = None
    if device.type == "cuda":
        from realtime.runtime.lane import sender

        send = sender(device)
    models = Models(device, *names, detect, track, pose, concurrency, throughput, send)
    log.info("models: compiling and warming up on %s", device)
    for count in models.core_budgets():
        with core_budget(fixed(count)):
            if has_live or not (is_tuned and models.pooled):
                detect.warm_up()
            pose.warm_up()
    return models


def _misfit(skeleton: Skeleton, classes: Sequence[str]) -> str | None:
    """Say in one line which of these classes have other keypoints than the pose model finds; None if none have.

    The keypoints of a custom skeleton may be anyone's.
    """
    wrong = [name for name in classes if (name.casefold() == PERSON) == skeleton.is_animal]
    if not wrong or skeleton.name.startswith("custom"):
        return None
    whose, advice = ("an animal's", "look for animals") if skeleton.is_animal else ("a person's", "set pose.skeleton")
    if len(wrong) < len(classes):
        advice = "use a run for each"
    return (
        f"detector.classes: {', '.join(wrong)}: the pose model finds {whose} keypoints ({skeleton.name}), which are "
        f"wrong for them; {advice}, or use another pose model or none"
    )


def _load_yolo(section: str, pick: Pick, config: DetectorConfig | PoseConfig, device: AnyDevice) -> YoloNet:
    assert pick.found.path is not None
    assert pick.choice is not None
    log.info("%s: loading %s", section, pick.found.name if pick.is_exported else pick.found.path.name)
    return build_net(section, pick.found.path, device, pick.choice, config, _compiled(), _people(pick).image)


def _load_pose(config: PoseConfig, plan: Plan, keypoints: int, pose_s: float) -> PoseStage | PassThrough:
    """Load the pose model.

    Args:
        config: the section `pose`.
        plan: the pose model and its engine.
        keypoints: the number of keypoints that the detector finds itself.
        pose_s: how long the pose of a still person is repeated (`activity.pose_s`).
    """
    found = plan.pose.found
    if found.kind == "none":
        return PassThrough(NO_SKELETON)
    if found.kind == "detector":
        if not keypoints:
            raise ConfigError(
                "pose.model: got detector, but the detector has no keypoints; set detector.weights to a YOLO pose "
                "model, such as yolo11n-pose (preset fast sets both keys)"
            )
        return PassThrough(from_labels({i: f"LABEL_{i}" for i in range(keypoints)}))
    if found.kind == "yolo":
        return PoseStage(YoloPose(_load_yolo("pose", plan.pose, config, plan.device)), config.max_people, pose_s)
    log.info("pose: loading %s", found.name)
    setup = setup_of(config, plan.pose, plan.device)
    return PoseStage(VitPose(setup.about, build_engine(setup)), config.max_people, pose_s)


def setup_of(config: PoseConfig, pick: Pick, device: AnyDevice) -> Setup:
    """Return everything that the engine of a ViTPose network is built from.

    Args:
        config: the section `pose`.
        pick: the network.
        device: where it will run.
    """
    path, choice, about = pick.found.path, pick.choice, pick.about
    assert path is not None
    assert choice is not None
    assert about is not None
    return Setup(path, about, device, choice, told(config, pick.found), _people(pick), _compiled())


def _people(pick: Pick) -> People:
    """The people of the self-test: those of the built-in source. An exported network brings a picture of them."""
    if not pick.is_exported:
        return People(demo_canvas(), demo_people())
    assert pick.found.path is not None
    people = People(*read_people(pick.found.path))
    offer_canvas(people.image)
    return people


def _compiled() -> Path:
    """The folder for converted networks."""
    return cache_folder() / "compiled"
