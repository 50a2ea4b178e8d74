"""Clips of one person's keypoints over time: with ground truth, or from the tracks of a recording.

The command `smoothing` reads its clips here, and drops frames from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.reading import open_recording

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# The start of a clip is not scored, because every filter is still settling; at most a quarter of the clip.
WARM_UP_S = 0.5
# A person's box exceeds the extent of the keypoints on each side by this share of its longer side, because a body is
# larger than its skeleton.
BOX_MARGIN = 0.1
# In frames. Shorter tracks of a recording are skipped, because they say too little about jitter.
SHORTEST_TRACK = 30


@dataclass(frozen=True, eq=False)
class Clip:
    """One person's keypoints over time, T frames of K keypoints, in pixels.

    Attributes:
        name: its name in the report.
        times_s: float64 (T,), increasing.
        keypoints: float64 (T, K, 2), the output of a pose model; NaN for a missed keypoint.
        scores: float64 (T, K), 0..1.
        truth: float64 (T, K, 2), the ground truth; NaN for a keypoint without one; None for a recording.
        size: the square root of the person's area, in pixels (COCO's scale).
        xyxy: float32 (T, 4), the person's box.
        measured: bool (T,), False where the program predicted the pose.
    """

    name: str
    times_s: Floats
    keypoints: Floats
    scores: Floats
    truth: Floats | None
    size: float
    xyxy: NDArray[np.float32]
    measured: Bools

    def __len__(self) -> int:
        return len(self.times_s)

    def take(self, frames: Bools) -> Clip:
        """Return a clip with only the frames of a mask (T,)."""
        truth = None if self.truth is None else self.truth[frames]
        arrays = (self.times_s[frames], self.keypoints[frames], self.scores[frames], truth)
        return Clip(self.name, *arrays, self.size, self.xyxy[frames], self.measured[frames])

    def without_noise(self) -> Clip:
        """Return the clip with the ground truth as keypoints, all with score 1: noise-free input for a filter."""
        assert self.truth is not None
        sure = np.ones_like(self.scores)
        return Clip(self.name, self.times_s, self.truth, sure, self.truth, self.size, self.xyxy, self.measured)

    @property
    def step_s(self) -> float:
        """The median time from frame to frame."""
        return float(np.median(np.diff(self.times_s)))

    @property
    def warm_up(self) -> int:
        """The number of frames at the start that are not scored."""
        learning = self.times_s - self.times_s[0] < WARM_UP_S - self.step_s / 2
        return min(int(learning.sum()), len(self) // 4)


def read_clips(paths: Sequence[Path]) -> list[Clip]:
    """Read clips from files and folders.

    Args:
        paths: files, and folders of such files. An `.npz` file holds `gt` and `noisy` (T, K, 2), `conf` (T, K), `fps`
            and `scale`; `times_s` (T,) may replace `fps`, and `xyxy` (T, 4) is optional. A `.jsonl` file is a recording
            of the program, and each of its tracks is a clip.

    Raises:
        ConfigError: a file is missing or has the wrong content, or no clip was found.
    """
    clips: list[Clip] = []
    for path in paths:
        inside = [file for file in path.iterdir() if file.suffix in (".npz", ".jsonl")] if path.is_dir() else [path]
        for file in sorted(inside):
            clips += _read_recording(file) if file.suffix == ".jsonl" else [_read_npz(file)]
    if not clips:
        shown = ", ".join(map(str, paths))
        raise ConfigError(
            f"smoothing: {shown}: found no clips, expected .npz files or tracks of at least {SHORTEST_TRACK} frames"
        )
    return clips


def _read_npz(path: Path) -> Clip:
    try:
        with np.load(path) as data:
            truth, keypoints, scores = (data[key].astype(np.float64) for key in ("gt", "noisy", "conf"))
            times_s = data["times_s"] if "times_s" in data else np.arange(len(truth)) / float(data["fps"])
            xyxy = np.asarray(data["xyxy"] if "xyxy" in data else _boxes_around(truth), np.float32)
            size = float(data["scale"])
    except KeyError as error:
        raise ConfigError(f"{path}: {error.args[0]}, expected gt, noisy, conf, fps and scale") from None
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or not an .npz file"
        raise ConfigError(f"{path}: can't be read: {reason}") from None
    if not (truth.shape == keypoints.shape == (*scores.shape, 2) and len(truth) == len(times_s) == len(xyxy) > 2):
        raise ConfigError(
            f"{path}: got gt {truth.shape}, noisy {keypoints.shape}, conf {scores.shape}, {len(times_s)} times and "
            f"{len(xyxy)} boxes, expected (T, K, 2), (T, K, 2), (T, K), T and T, with T at least 3"
        )
    times_s = np.asarray(times_s, np.float64)
    if not (np.diff(times_s) > 0).all():
        raise ConfigError(f"{path}: times_s: got times that repeat or decrease, expected them to increase")
    return Clip(path.stem, times_s, keypoints, scores, truth, size, xyxy, np.ones(len(truth), np.bool_))


def _boxes_around(truth: Floats) -> Floats:
    """Boxes (T, 4) as a detector would return them, without noise: a filter uses them only for the person's size."""
    first, last = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    margin = BOX_MARGIN * (last - first).max(axis=1, keepdims=True)
    return np.concatenate([first - margin, last + margin], axis=1)


def _read_recording(path: Path) -> list[Clip]:
    """One clip for each track of a recording that has at least SHORTEST_TRACK frames."""
    tracks: dict[tuple[str, int, int], list[tuple[wire.PoseMessage, int]]] = defaultdict(list)
    for message in open_recording(path).messages():
        for row, track_id in enumerate(message.track_ids):
            tracks[message.camera, message.epoch, track_id].append((message, row))
    named = (
        (f"{camera}/{epoch}/{track_id}", seen)
        for (camera, epoch, track_id), seen in tracks.items()
        if len(seen) >= SHORTEST_TRACK
    )
    return [_track(name, seen) for name, seen in named]


def _track(name: str, seen: list[tuple[wire.PoseMessage, int]]) -> Clip:
    """One track's (message, row) pairs as a clip, timed by the source's own clock if it increases, else by capture."""
    media_s = [message.media_s for message, _ in seen]
    times_s = np.array([np.nan if time_s is None else time_s for time_s in media_s])
    if not (np.diff(times_s) > 0).all():
        times_s = np.array([message.captured_ns for message, _ in seen]) / 1e9
    keypoints = np.stack([message.keypoints_array()[row] for message, row in seen]).astype(np.float64)
    xyxy = np.stack([message.boxes_array()[row] for message, row in seen])
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1.0).astype(np.float64)
    clip = Clip(
        name,
        times_s,
        keypoints[..., :2],
        keypoints[..., 2],
        None,
        float(np.median(np.sqrt(sides.prod(axis=1)))),
        xyxy,
        np.array([message.measured[row] for message, row in seen]),
    )
    before = np.maximum.accumulate(np.concatenate([[-np.inf], times_s[:-1]]))
    return clip.take(times_s > before)


def thin(clip: Clip, every: int, drop: float, random: np.random.Generator) -> Clip:
    """Drop frames from a clip, as a slower camera or a busy machine would.

    Args:
        clip: T frames.
        every: keep only every Nth frame.
        drop: drop each of the remaining frames, except the first, with this probability.
        random: draws the dropped frames.
    """
    kept = np.arange(len(clip)) % every == 0
    kept[1:] &= random.random(len(clip) - 1) >= drop
    return clip.take(kept)
