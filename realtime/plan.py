"""The plan of a start: which device, models, engines and precisions it takes, before the first model is loaded.

Used by loading, and by export, which converts the models without running them. The plan decides everything that the
configuration leaves open, so that an unavailable device, model file, engine or precision is reported at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from realtime.config import AppConfig, PoseConfig
from realtime.errors import ConfigError
from realtime.models.cache import cache_folder
from realtime.models.choice import Choice, choose
from realtime.models.converted import is_converted
from realtime.models.description import Description, describe
from realtime.models.speeds import Kind
from realtime.models.weights import Model, find_detector, find_pose
from realtime.runtime.device import AnyDevice, resolve_device

log = logging.getLogger(__name__)

# Libraries that the extra `run` installs and `light` does not.
_OF_RUN = ("torch", "torchvision", "ultralytics", "transformers", "safetensors", "boxmot", "huggingface_hub")


@dataclass(frozen=True, slots=True)
class Pick:
    """A model that was found, and the engine that was chosen for it.

    Attributes:
        found: the model's name and file.
        choice: the engine and its precision; None for the pose models `none` and `detector`, which have no network.
        about: what a ViTPose network is; None for other models.
    """

    found: Model
    choice: Choice | None
    about: Description | None = None

    @property
    def is_exported(self) -> bool:
        """Whether `python -m realtime.models export` wrote the network."""
        return self.found.path is not None and self.found.path.is_dir() and is_converted(self.found.path)


@dataclass(frozen=True, slots=True)
class Plan:
    """The models to load.

    Attributes:
        device: the device on which the models will run.
        detector: the detector.
        pose: the pose model.
    """

    device: AnyDevice
    detector: Pick
    pose: Pick


def make_plan(config: AppConfig, *, is_for_here: bool = True) -> Plan:
    """Find both models and choose their engines. Loads nothing, but may download, and measure how fast this CPU is.

    Args:
        config: the configuration of the run.
        is_for_here: whether the models will run on this machine; if not, nothing is measured.

    Raises:
        ModelError: a model can't be found.
        ConfigError: the device, an engine or a precision is not available, or the pose model has no use for a key.
    """
    with needs_torch("this model"):
        device = resolve_device(config.device)
        choice = choose("detector", device, config.detector, "convolutions" if is_for_here else None)
        pose = _pick_pose(config.pose, device, is_for_here)
        return Plan(device, _pick_detector(config, device, choice), pose)


def plan_detector(config: AppConfig) -> tuple[AnyDevice, Pick]:
    """Find the detector and choose its engine, for a run without a pose model.

    Args:
        config: its section `detector` and its `device` are used.

    Returns:
        The device, and the detector.

    Raises:
        ModelError: it can't be found.
        ConfigError: the device, the engine or the precision is not available.
    """
    with needs_torch("this model"):
        device = resolve_device(config.device)
        return device, _pick_detector(config, device, choose("detector", device, config.detector, "convolutions"))


def _pick_detector(config: AppConfig, device: AnyDevice, choice: Choice) -> Pick:
    found = find_detector(config.detector.weights, device.type == "cuda", cache_folder())
    return _checked("detector", Pick(found, choice))


def _pick_pose(config: PoseConfig, device: AnyDevice, is_for_here: bool) -> Pick:
    """Find the pose model and choose its engine; raise ConfigError for keys that the model does not support."""
    found = find_pose(config.model, device.type == "cuda", cache_folder())
    has_network = found.kind in ("vitpose", "yolo")
    kind: Kind = "transformer" if found.kind == "vitpose" else "convolutions"
    choice = choose("pose", device, config, kind if is_for_here else None) if has_network else None
    asked = {
        "engine": config.engine not in ("auto", "torch") and not has_network,
        "precision": config.precision not in ("auto", "fp32") and not has_network,
        "input_size": config.input_size is not None and found.kind != "vitpose",
        "skeleton": config.skeleton != "auto" and found.kind != "vitpose",
        "keypoints": set(config.keypoints) != set(PoseConfig().keypoints) and found.kind != "vitpose",
    }
    asked["precision"] |= config.precision == "int8" and found.kind == "yolo"
    if key := next((key for key, is_asked in asked.items() if is_asked), None):
        value = ", ".join(config.keypoints) if key == "keypoints" else getattr(config, key)
        raise ConfigError(f"pose.{key}: got {value} with {found.name}, expected a ViTPose model")
    if found.kind == "detector":
        log.info("pose: the detector's own keypoints, in one stage")
    pick = _checked("pose", Pick(found, choice))
    if found.kind != "vitpose" or found.path is None:
        return pick
    section = told(config, found)
    return Pick(found, choice, describe(found.path, section.input_size, section.skeleton, section.keypoints))


def told(config: PoseConfig, found: Model) -> PoseConfig:
    """Return the section `pose` with the keypoint set of a published file, unless the user chose another one."""
    return config.model_copy(update={"skeleton": found.skeleton}) if config.skeleton == "auto" else config


def _checked(section: str, pick: Pick) -> Pick:
    """Check that an exported network will run in OpenVINO, and return it.

    Raises:
        ConfigError: it will not.
    """
    if pick.is_exported and pick.choice and pick.choice.engine != "openvino":
        raise ConfigError(
            f"{section}.engine: got torch for the converted network {pick.found.path}, expected openvino, which needs "
            "--device cpu"
        )
    return pick


@contextlib.contextmanager
def needs_torch(what: str) -> Iterator[None]:
    """Name the extra that is missing in an installation of the extra `light`.

    Args:
        what: the part of the configuration that needs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _OF_RUN:
            raise
        raise ConfigError(
            f"{what} needs {library}, which is not installed: pip install 'realtime-pose[run]'"
        ) from error
