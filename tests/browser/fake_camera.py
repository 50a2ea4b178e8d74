"""One camera of the fake dashboard: its state, and frames with walking cartoon people."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass, field
from typing import Any

from realtime.skeleton import COCO17

from . import cartoon

Record = dict[str, Any]


def now_ms() -> float:
    return time.time() * 1000


@dataclass
class FakeCamera:
    """One camera. Tests change its fields through `Fake.change`."""

    name: str
    seed: int = 0
    people: int = 2
    state: str = "live"
    reason: str | None = None
    since_ms: float | None = field(default_factory=now_ms)
    gone_since_ms: float | None = None
    activity: str | None = "active"
    fps: float = 10.0
    latency_ms: float = 120.0
    lowered: list[str] = field(default_factory=list)
    size: tuple[int, int] | None = cartoon.SIZE
    pictures: bool = True
    sends: bool = True  # False: no frames, whatever the state
    broken: bool = False  # True: JPEGs that can't be decoded
    skeleton: str = "coco17"
    pipeline: str = "tcp://127.0.0.1:5555"
    seq: int = 0
    sent_s: float = 0.0
    first_id: int = 1
    predicted: frozenset[int] = frozenset()

    def record(self) -> Record:
        """Return CAMERA of web/1."""
        keys = [
            "name",
            "pipeline",
            "state",
            "reason",
            "since_ms",
            "gone_since_ms",
            "activity",
            "fps",
            "size",
            "lowered",
            "pictures",
            "skeleton",
        ]
        p50 = self.latency_ms
        return {key: getattr(self, key) for key in keys} | {
            "people": self.people if self.state == "live" else 0,
            "source_fps": 30.0,
            "latency_ms": {"p50": p50, "p95": p50 * 1.4, "p99": p50 * 1.8},
            "edges": list(COCO17.edges) if self.skeleton == "coco17" else [],
            "keypoint_names": list(COCO17.keypoint_names) if self.skeleton == "coco17" else [],
        }

    def frame(self, width: int, pictures: bool) -> bytes:
        """Return the binary message of this moment."""
        self.seq += 1
        captured_ms = now_ms() - self.latency_ms
        idle = self.activity == "empty"
        found = [(w.id, w.at(captured_ms / 1000)) for w in cartoon.walkers(self.seed, self.people, self.first_id)]
        wide = next((each for each in (320, 640, 1280) if each >= width), 1280)
        jpeg = b""
        if pictures and self.pictures:
            jpeg = b"\xff\xd8 no" if self.broken else cartoon.picture(self.seed, found, wide, idle)
        header = {
            "camera": self.name, "session": "fake", "epoch": 0, "seq": self.seq, "frame": self.seq * 3,
            "captured_ms": captured_ms, "age_ms": self.latency_ms, "size": self.size or cartoon.SIZE,
            "jpeg_size": [wide, wide * 9 // 16] if jpeg else None, "idle": idle,
            "people": [person(id_, points, self) for id_, points in found],
            "timing_ms": {"detect": 31.0, "track": 0.6, "pose": 44.0, "smooth": 0.3, "wait": 12.0},
        }  # fmt: skip
        text = json.dumps(header).encode()
        return struct.pack("<I", len(text)) + text + jpeg


def person(id_: int, points: cartoon.Points, camera: FakeCamera) -> Record:
    keypoints = [round(float(v), 2) for v in points.ravel()] if camera.skeleton == "coco17" else []
    return {
        "id": id_, "score": 0.9, "box": cartoon.box(points), "points": keypoints,
        "measured": id_ not in camera.predicted,
    }  # fmt: skip
