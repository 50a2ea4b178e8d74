"""The outcome of one setting, and how much its people and keypoints differ from those of another one.

`command` runs the program with each setting and reads its recording and its report here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou
from realtime.client import Pose
from realtime.config import SmoothingConfig
from realtime.errors import ConfigError
from realtime.recordings.reading import open_recording

# The first frames of a run do not count for its speed, because caches are still filling.
WARM_FRAMES = 5
# Two boxes are the same person if each is the best match of the other and their IoU is at least this.
SAME_IOU = 0.5
# Keypoints below this score say nothing: it is the score from which the filter takes them seriously.
SURE = SmoothingConfig().min_score
# The pose models without a network, in words.
_WITHOUT_NETWORK = {"detector": "the detector's own keypoints", "none": "no keypoints"}


class Change(NamedTuple):
    """How much one outcome differs from another.

    Attributes:
        found: share of the other outcome's people that this one has too, 0..1; NaN if there are none.
        p50, p95: median and 95th percentile of the distance between the keypoints of people whom both have, in percent
            of the longer side of the person's box; NaN if there are none.
    """

    found: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run.

    Attributes:
        poses: the people of each frame, by its index.
        fps: frames published per second; NaN with fewer than two frames.
        models: names and engines of the models, as in the run report.
        device: the device on which they ran.
    """

    poses: Mapping[int, Pose]
    fps: float
    models: Mapping[str, str]
    device: str

    @classmethod
    def read(cls, recording: Path, report: Path) -> Outcome:
        """Read the files that a run wrote. The recording is empty if the run published no frame."""
        told = json.loads(report.read_text())
        try:
            poses = {message.frame: Pose.of(message) for message in open_recording(recording).messages()}
        except ConfigError:  # it contains no messages
            poses = {}
        return cls(poses, _fps(list(poses.values())), told["models"], told["device"])

    @property
    def people(self) -> float:
        """Mean number of people per frame; NaN without frames."""
        return float(np.mean([len(pose) for pose in self.poses.values()])) if self.poses else float("nan")

    @property
    def networks(self) -> str:
        """Each model with its engine and precision: "yolov8n in openvino bf16, yolo11n-pose in openvino bf16"."""
        parts = []
        for name in ("detector", "pose"):
            engine = self.models.get(f"{name}_engine")
            model = self.models[name].partition(" (")[0]  # without the reason why `auto` did not take another one
            parts.append(f"{model} in {engine}" if engine else _WITHOUT_NETWORK.get(model, model))
        return ", ".join(parts)

    def change_from(self, other: Outcome) -> Change:
        """Compare the people and keypoints with those of another outcome, in the frames that both published."""
        total = matched = 0
        distances: list[NDArray[np.float64]] = []
        for theirs, ours in self._both(other):
            total += len(theirs)
            pairs = _same_people(theirs.boxes, ours.boxes)
            matched += len(pairs)
            if len(pairs) and theirs.skeleton == ours.skeleton and theirs.keypoints.shape[1]:
                distances.append(_distances(theirs, ours, pairs))
        found = matched / total if total else float("nan")
        percent = 100 * np.concatenate([np.zeros(0), *distances])
        p50, p95 = np.percentile(percent, (50, 95)).tolist() if len(percent) else (float("nan"),) * 2
        return Change(found, p50, p95)

    def _both(self, other: Outcome) -> Iterator[tuple[Pose, Pose]]:
        for frame, theirs in other.poses.items():
            if frame in self.poses:
                yield theirs, self.poses[frame]


def _fps(poses: list[Pose]) -> float:
    counted = poses[WARM_FRAMES:] if len(poses) > 2 * WARM_FRAMES else poses
    if len(counted) < 2:
        return float("nan")
    seconds = (counted[-1].published_ns - counted[0].published_ns) / 1e9
    return (len(counted) - 1) / seconds if seconds > 0 else float("nan")


def _same_people(first: NDArray[np.float32], second: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs of indices of boxes that show the same person."""
    if not len(first) or not len(second):
        return []
    overlap = iou(first, second)
    best, best_back = overlap.argmax(axis=1), overlap.argmax(axis=0)
    return [(i, int(j)) for i, j in enumerate(best) if best_back[j] == i and overlap[i, j] >= SAME_IOU]


def _distances(theirs: Pose, ours: Pose, pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Distances of the keypoints of pairs of people, relative to the person's size. Unsure keypoints are left out."""
    one, other = np.array(pairs).T
    before, now = theirs.keypoints[one].astype(np.float64), ours.keypoints[other].astype(np.float64)
    boxes = theirs.boxes[one].astype(np.float64)
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    distances = np.linalg.norm(now[..., :2] - before[..., :2], axis=2) / sizes[:, np.newaxis]
    relative: NDArray[np.float64] = distances[before[..., 2] >= SURE]
    return relative
