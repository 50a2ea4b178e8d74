"""The input and the result of one side of a comparison: `Scene` and `Run`.

`compare` starts each side in its own process; `loops` and `one_liner_loop` implement the sides other than ours.
Scenes and runs pass between the processes as JSON.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou

# The first frames of a run do not count, because caches and filter states are still filling.
WARM_FRAMES = 5
# Boxes with this IoU or more are the same person.
SAME_IOU = 0.7
# The thresholds of ultralytics' bytetrack.yaml, used by all sides: minimum score in the first and in the second
# association, and minimum IoU x score of a match.
TRACK_SCORE, LOW_SCORE, MATCH_IOU = 0.25, 0.1, 0.2
# The detector's settings: longer side of its input in pixels, minimum score, and IoU of non-maximum suppression.
SIZE, MIN_SCORE, NMS_IOU = 640, 0.1, 0.7


@dataclass(frozen=True)
class Scene:
    """The input of all sides.

    Attributes:
        video: path of the video file.
        weights: path of the detector's .pt file.
        pose: none, detector, or the folder of a ViTPose checkpoint.
        frames: number of frames to read from the video.
        fps: frame rate of a live source, of which the newest frame is processed; None: process every frame at full
            speed.
        threads: number of threads of every side. It is set by the CPU affinity of the process and only recorded here.
        device: auto, cpu, cuda or mps.
        settings: additional keys of our configuration and their values.
        held: a loop loads its models, prints "ready" and waits for a line with the longest run in seconds, so that
            several sides can load at the same time and still run one after the other.
        cameras: how many cameras play the video at the same time; the loops have one.
        as_shipped: each program keeps its own thresholds; otherwise all use those of this module.
    """

    video: str
    weights: str
    pose: str
    frames: int
    fps: float | None
    threads: int
    device: str = "auto"
    settings: dict[str, str] = field(default_factory=dict)
    held: bool = False
    cameras: int = 1
    as_shipped: bool = False

    @property
    def configuration(self) -> dict[str, str]:
        """The scene as keys of our configuration, including `settings`."""
        models = {"device": self.device, "detector.weights": self.weights, "pose.model": self.pose}
        if self.as_shipped:
            return models | self.settings
        thresholds = {
            "detector.size": str(SIZE),
            "detector.min_score": str(MIN_SCORE),
            "detector.nms_iou": str(NMS_IOU),
            "tracker.track_score": str(TRACK_SCORE),
            "tracker.low_score": str(LOW_SCORE),
            "tracker.match_iou": str(MATCH_IOU),
        }
        return models | thresholds | self.settings

    def to_json(self) -> str:
        """Return the scene as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """Read a scene that `to_json` returned."""
        return cls(**json.loads(text))


@dataclass
class Run:
    """The result of one side. The lists have one item per published frame.

    Attributes:
        engine: description of the inference engines.
        frames: indices of the source frames.
        captured_s: capture times in seconds.
        published_s: publishing times in seconds of the same clock.
        boxes: boxes of the people, float32 (N, 4) x1 y1 x2 y2 in pixels.
        thrown_away: number of frames that were captured but neither published nor counted as dropped.
        started_s: when the process of the side was started, in seconds of the same clock; NaN if unknown.
    """

    engine: str
    frames: list[int] = field(default_factory=list)
    captured_s: list[float] = field(default_factory=list)
    published_s: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    thrown_away: int = 0
    started_s: float = math.nan

    def add(self, frame: int, captured_s: float, published_s: float, boxes: NDArray[np.float32]) -> None:
        """Add a published frame."""
        self.frames.append(frame)
        self.captured_s.append(captured_s)
        self.published_s.append(published_s)
        self.boxes.append(boxes)

    def write(self, file: Path) -> None:
        """Write the run to a file, as JSON."""
        file.write_text(json.dumps(asdict(self) | {"boxes": [boxes.tolist() for boxes in self.boxes]}))

    @classmethod
    def read(cls, file: Path) -> Run:
        """Read a run that `write` wrote."""
        data: dict[str, Any] = json.loads(file.read_text())  # Any: decoded JSON
        data["boxes"] = [np.array(boxes, np.float32).reshape(-1, 4) for boxes in data["boxes"]]
        return cls(**data)

    def figures(self) -> dict[str, float]:
        """Return the figures that are compared.

        Returns:
            fps, people_per_s, people (mean per frame), p50_ms and p95_ms (time from capture to publishing), first_s
            (from the start of the process to the first result), and thrown_away. The first WARM_FRAMES frames count for
            first_s only. The figures of the others are NaN if fewer than two remain.
        """
        whole = {
            "first_s": self.published_s[0] - self.started_s if self.published_s else math.nan,
            "thrown_away": float(self.thrown_away),
        }
        ages_ms = (np.array(self.published_s) - np.array(self.captured_s))[WARM_FRAMES:] * 1e3
        if len(ages_ms) < 2:
            return dict.fromkeys(("fps", "people_per_s", "people", "p50_ms", "p95_ms"), math.nan) | whole
        published_s = self.published_s[WARM_FRAMES:]
        fps = (len(published_s) - 1) / (published_s[-1] - published_s[0])
        people = float(np.mean([len(boxes) for boxes in self.boxes[WARM_FRAMES:]]))
        p50_ms, p95_ms = np.percentile(ages_ms, (50, 95)).tolist()
        counted = {"fps": fps, "people_per_s": fps * people, "people": people, "p50_ms": p50_ms, "p95_ms": p95_ms}
        return counted | whole

    def share_found_by(self, other: Run) -> float:
        """Return the share of this run's boxes, in frames that both published, that the other run has as well.

        Args:
            other: the other run. It has a box if one of its boxes overlaps with it by SAME_IOU or more.

        Returns:
            0..1, or NaN if there are no boxes.
        """
        theirs = dict(zip(other.frames, other.boxes, strict=True))
        best = [
            iou(boxes, theirs[frame]).max(axis=1, initial=0.0)
            for frame, boxes in zip(self.frames, self.boxes, strict=True)
            if frame in theirs
        ]
        found = np.concatenate([np.zeros(0), *best]) >= SAME_IOU
        return float(found.mean()) if len(found) else float("nan")
