"""The mode `one-liner` of `compare`: our program against the single line of ultralytics that people type instead of it.

    for result in YOLO("yolo11n-pose.pt").track(source, stream=True): ...

Each side keeps its own defaults, such as tracker, thresholds and number of threads, and none is warmed up.
"""

from __future__ import annotations

from collections.abc import Mapping

from realtime.evaluate.speed.ratios import OURS
from realtime.evaluate.speed.runs import Run, Scene
from realtime.models.cache import cache_folder
from realtime.models.weights import find_detector
from realtime.runtime.core_budget import all_cores

# The name of the mode, and its loops: the line as it is, and the same with torch on all cores.
ONE_LINER = "one-liner"
LOOPS = (ONE_LINER, "one-liner-all-cores")
# Ours: a single network that finds people and keypoints, and what `auto` takes without a model hub.
SETTINGS = ONE_STAGE, OFFLINE = "one stage", "offline default"
_DETECTOR, _POSE = "yolov8n", "yolo11n-pose"


def sides(video: str, frames: int, device: str, settings: dict[str, str]) -> dict[str, Scene]:
    """Return the scene of each side.

    Args:
        video: path of the video file.
        frames: number of frames per run.
        device: auto, cpu or cuda, for ours. The line takes ultralytics' own choice.
        settings: additional keys of our configuration.

    Raises:
        ModelError: the weights are not available.
    """
    detector, pose = (str(find_detector(name, False, cache_folder()).path) for name in (_DETECTOR, _POSE))

    def scene(weights: str, pose: str) -> Scene:
        return Scene(video, weights, pose, frames, None, all_cores(), device, settings, as_shipped=True)

    return {ONE_STAGE: scene(pose, "detector"), OFFLINE: scene(detector, pose)} | {
        loop: scene(pose, "detector") for loop in LOOPS
    }


def by_setting(runs: Mapping[str, list[Run]]) -> dict[str, dict[str, list[Run]]]:
    """Group the runs of all sides into one mode for each of our settings, with the loops in both."""
    loops = {side: runs[side] for side in LOOPS}
    return {setting: {OURS: runs[setting], **loops} for setting in SETTINGS}
