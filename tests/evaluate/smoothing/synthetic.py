"""Clips and recordings of synthetic motion."""

from pathlib import Path

import numpy as np
from msgspec.structs import replace

from realtime import wire
from realtime.evaluate.smoothing.clips import Clip
from realtime.recordings.info import encode_infos, info_path, made_of

FPS = 30.0
K = 4


def clip_of(truth, *, noise=0.0, times_s=None, scores=0.9, size=200.0):
    """Make a clip of true positions (T,) along x, the same for K keypoints, with white noise of `noise` px."""
    truth = np.asarray(truth, np.float64)[:, None, None] * [1.0, 0.0] + np.full((1, K, 1), 300.0)
    frames = len(truth)
    keypoints = truth + np.random.default_rng(0).normal(0, 1, truth.shape) * noise
    boxes = np.tile(np.array([200, 100, 300, 400], np.float32), (frames, 1))
    return Clip(
        "made",
        np.arange(frames) / FPS if times_s is None else times_s,
        keypoints,
        np.full((frames, K), scores),
        truth,
        size,
        boxes,
        np.ones(frames, np.bool_),
    )


def swing(times_s):
    """A motion that does not repeat itself within the range of lags that is searched."""
    return 80 * np.sin(2.1 * times_s) + 40 * np.sin(5.3 * times_s + 1) + 10 * np.sin(11 * times_s)


def step(frames=120):
    return np.where(np.arange(frames) < frames // 2, 0.0, 100.0)


def save(path, clip, **more):
    np.savez(path, gt=clip.truth, noisy=clip.keypoints, conf=clip.scores, fps=FPS, scale=clip.size, **more)
    return path


def record(path, frames, smoothing=None, raw=False, people=2):
    """Write a recording of two people who stand still; the second leaves after 20 frames.

    `smoothing` is what x.info.json tells (None: there is no such file), `raw` adds the keypoints from before smoothing.
    """
    random = np.random.default_rng(0)
    lines = []
    for index in range(frames):
        seen = people if index < 20 else min(people, 1)
        keypoints = np.concatenate([random.normal(150, 2, (seen, 17, 2)), np.ones((seen, 17, 1))], axis=2)
        message = wire.PoseMessage(
            session="s", camera="door", epoch=0, seq=index, frame=index, captured_ns=index * 10**6, clock="arrival",
            published_ns=0, media_s=index / FPS, size=(640, 480), skeleton="coco17",
            track_ids=list(range(1, seen + 1)), scores=[1.0] * seen,
            boxes=wire.pack(np.tile(np.array([100, 100, 200, 300], np.float32), (seen, 1))),
            keypoints=wire.pack(keypoints), measured=[True] * seen, timing_ms={},
            raw_keypoints=wire.pack(keypoints[..., :2]) if raw else wire.UNSET,
        )  # fmt: skip
        lines.append(wire.encode(message, "json"))
    path = Path(path)
    path.write_bytes(b"\n".join(lines) + b"\n")
    if smoothing is not None:
        info = replace(made_of(message), smoothing=smoothing)
        info_path(path).write_bytes(encode_infos([info]))
    return path
