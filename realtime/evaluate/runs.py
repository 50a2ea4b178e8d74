"""What one side of a comparison is given, and what it did: frames, people and times.

Between evaluate.compare, which starts each side in a process of its own, and evaluate.loops, where the others run. Goes
from process to process as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.boxes import iou

# The first frames of a run are not counted: caches and the filters' states fill.
WARM_FRAMES = 5
# Boxes that overlap so much are the same person.
SAME_IOU = 0.7
# The thresholds of ultralytics' bytetrack.yaml, for all sides: scores of good and of weak detections, IoU x score.
TRACK_SCORE, LOW_SCORE, MATCH_IOU = 0.25, 0.1, 0.2
# The detector's: longer side of its input, weakest score, and the IoU of its non-maximum suppression.
SIZE, MIN_SCORE, NMS_IOU = 640, 0.1, 0.7


@dataclass(frozen=True)
class Scene:
    """What all sides are given.

    Attributes:
        video: a file; `frames` of it are read.
        weights: the detector's .pt file.
        pose: none, detector, or the folder of a ViTPose checkpoint.
        frames: how many to read.
        fps: pictures a second of a live source, which gives its newest one; None: every frame, as fast as it goes.
        threads: how many every side computes with; set by the cores it may use, said here.
        device: auto, cpu, cuda or mps.
        settings: keys of our own configuration and their values.
    """

    video: str
    weights: str
    pose: str
    frames: int
    fps: float | None
    threads: int
    device: str = "auto"
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def configuration(self) -> dict[str, str]:
        """The same for our program: keys of its configuration, and `settings`."""
        return {
            "device": self.device,
            "detector.weights": self.weights,
            "detector.size": str(SIZE),
            "detector.min_score": str(MIN_SCORE),
            "detector.nms_iou": str(NMS_IOU),
            "tracker.track_score": str(TRACK_SCORE),
            "tracker.low_score": str(LOW_SCORE),
            "tracker.match_iou": str(MATCH_IOU),
            "pose.model": self.pose,
        } | self.settings

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """From `to_json`."""
        return cls(**json.loads(text))


@dataclass
class Run:
    """What a side did, one item a published frame.

    Attributes:
        engine: what computed.
        frames: the source frames' indices.
        captured_s: when each was there, in seconds of one clock.
        published_s: when it was published, same clock.
        boxes: its people, (N, 4) x1 y1 x2 y2 in pixels.
        thrown_away: frames that were begun and never published.
    """

    engine: str
    frames: list[int] = field(default_factory=list)
    captured_s: list[float] = field(default_factory=list)
    published_s: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    thrown_away: int = 0

    def add(self, frame: int, captured_s: float, published_s: float, boxes: NDArray[np.float32]) -> None:
        """One published frame."""
        self.frames.append(frame)
        self.captured_s.append(captured_s)
        self.published_s.append(published_s)
        self.boxes.append(boxes)

    def write(self, file: Path) -> None:
        """To a file, as JSON."""
        file.write_text(json.dumps(asdict(self) | {"boxes": [boxes.tolist() for boxes in self.boxes]}))

    @classmethod
    def read(cls, file: Path) -> Run:
        """From `write`."""
        data: dict[str, Any] = json.loads(file.read_text())  # Any: as JSON has it
        data["boxes"] = [np.array(boxes, np.float32).reshape(-1, 4) for boxes in data["boxes"]]
        return cls(**data)

    def figures(self) -> dict[str, float]:
        """What is compared.

        Returns:
            fps, people_per_s, people (a frame), p50_ms and p95_ms (age when published), thrown_away. The first frames
            are left out.
        """
        ages_ms = (np.array(self.published_s) - np.array(self.captured_s))[WARM_FRAMES:] * 1e3
        if len(ages_ms) < 2:
            return dict.fromkeys(("fps", "people_per_s", "people", "p50_ms", "p95_ms"), float("nan")) | {
                "thrown_away": float(self.thrown_away)
            }
        published_s = self.published_s[WARM_FRAMES:]
        fps = (len(published_s) - 1) / (published_s[-1] - published_s[0])
        people = float(np.mean([len(boxes) for boxes in self.boxes[WARM_FRAMES:]]))
        p50_ms, p95_ms = np.percentile(ages_ms, (50, 95)).tolist()
        return {
            "fps": fps,
            "people_per_s": fps * people,
            "people": people,
            "p50_ms": p50_ms,
            "p95_ms": p95_ms,
            "thrown_away": float(self.thrown_away),
        }

    def share_found_by(self, other: Run) -> float:
        """Of our boxes, in frames that both published, the share that overlaps with a box of the other's."""
        theirs = dict(zip(other.frames, other.boxes, strict=True))
        best = [
            iou(boxes, theirs[frame]).max(axis=1, initial=0.0)
            for frame, boxes in zip(self.frames, self.boxes, strict=True)
            if frame in theirs
        ]
        found = np.concatenate([np.zeros(0), *best]) >= SAME_IOU
        return float(found.mean()) if len(found) else float("nan")
