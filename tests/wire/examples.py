"""One message of each kind, for the tests of this folder."""

import numpy as np

from realtime import wire


def pose(n=2, k=3, **changes):
    """A pose message of N people with K keypoints. The changes are arrays where the message has bytes."""
    random = np.random.default_rng(n + k)
    fields = {
        "session": "s1",
        "camera": "cam0",
        "epoch": 0,
        "seq": 5,
        "frame": 7,
        "captured_ns": 1_700_000_000_000_000_000,
        "clock": "arrival",
        "published_ns": 1_700_000_000_050_000_000,
        "media_s": 0.25,
        "size": (640, 480),
        "skeleton": "coco17" if k else "none",
        "track_ids": list(range(1, n + 1)),
        "scores": random.random(n, np.float32).tolist(),
        "boxes": random.random((n, 4), np.float32),
        "keypoints": random.random((n, k, 2), np.float32) * 600,
        "keypoint_scores": random.random((n, k), np.float32),
        "measured": [True] * n,
        "timing_ms": {"detect": 10.5, "wait": 1.0},
    }
    fields |= changes
    fields["keypoints"] = np.concatenate([fields["keypoints"], fields.pop("keypoint_scores")[..., None]], axis=-1)
    packed = {key: wire.pack(fields[key]) for key in ("boxes", "keypoints", "raw_keypoints") if key in fields}
    return wire.PoseMessage(**fields | packed)


INFO = wire.InfoMessage(
    session="s1",
    camera="cam0",
    keypoint_names=["nose", "left_eye"],
    edges=[(0, 1)],
    detector="yolo11n",
    pose="vitpose",
    device="cpu",
    smoothing="one-euro",
    source_fps=None,
    size=None,
    version="0.1.0",
)
STATUS = wire.StatusMessage(
    session="s1",
    camera="cam0",
    state="live",
    reason=None,
    captured=10,
    dropped=1,
    published=9,
    fps=29.9,
    latency_ms={"p50": 50.0, "p95": 60.0, "p99": 70.0},
    uptime_s=3.5,
    recording=wire.Recording(written=9, lost=0, error=None),
)
