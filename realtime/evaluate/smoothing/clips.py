"""Clips of one person's keypoints over time: with ground truth, or from the tracks of a recording.

The command `smoothing` reads its clips here, and drops frames from them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
# The name of a method that does not smooth, and of one that a recording without x.info.json does not tell.
UNSMOOTHED, UNKNOWN = "none", "unknown"
# How the names of recordings end. The content decides which format it is.
_RECORDINGS = (".jsonl", ".parquet", ".parquet.open")


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
        smoothing: the filter that the keypoints have already gone through (`smoothing.method` of the run that was
            recorded): UNSMOOTHED, or UNKNOWN if the recording does not tell.
    """

    name: str
    times_s: Floats
    keypoints: Floats
    scores: Floats
    truth: Floats | None
    size: float
    xyxy: NDArray[np.float32]
    measured: Bools
    smoothing: str = UNSMOOTHED

    def __len__(self) -> int:
        return len(self.times_s)

    def take(self, frames: Bools) -> Clip:
        """Return a clip with only the frames of a mask (T,)."""
        return replace(
            self,
            times_s=self.times_s[frames],
            keypoints=self.keypoints[frames],
            scores=self.scores[frames],
            truth=None if self.truth is None else self.truth[frames],
            xyxy=self.xyxy[frames],
            measured=self.measured[frames],
        )

    def without_noise(self) -> Clip:
        """Return the clip with the ground truth as keypoints, all with score 1: noise-free input for a filter."""
        assert self.truth is not None
        return replace(self, keypoints=self.truth, scores=np.ones_like(self.scores))

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
            and `scale`; `times_s` (T,) may replace `fps`, and `xyxy` (T, 4) is optional. A `.jsonl` or `.parquet` file
            is a recording of the program, and each of its tracks is a clip.

    Raises:
        ConfigError: a file is missing or has the wrong content, or no clip was found.
    """
    clips: list[Clip] = []
    lacking: list[str] = []
    for path in paths:
        files = sorted(filter(_is_clip, path.iterdir())) if path.is_dir() else [path]
        for file in files:
            found = _read_recording(file, lacking) if file.name.endswith(_RECORDINGS) else [_read_npz(file)]
            clips += found
    if not clips:
        reasons = "; ".join(lacking) or ", ".join(map(str, paths))
        raise ConfigError(
            f"smoothing: found no clips: {reasons}; expected .npz files or tracks of at least {SHORTEST_TRACK} frames"
        )
    return clips


def _is_clip(file: Path) -> bool:
    """Whether a file in a folder is a clip or a recording, and not one of the companions of a recording."""
    return file.suffix == ".npz" or (file.name.endswith(_RECORDINGS) and not file.name.endswith(".frames.parquet"))


def _read_npz(path: Path) -> Clip:
    try:
        with np.load(path) as data:
            truth, keypoints, scores = (data[key].astype(np.float64) for key in ("gt", "noisy", "conf"))
            times_s = data["times_s"] if "times_s" in data else np.arange(len(truth)) / float(data["fps"] or np.nan)
            size = float(data["scale"])
            xyxy = np.asarray(data["xyxy"], np.float32) if "xyxy" in data else None
    except KeyError as error:
        raise ConfigError(f"{path}: {error.args[0]}, expected gt, noisy, conf, fps and scale") from None
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or not an .npz file"
        raise ConfigError(f"{path}: can't be read: {reason}") from None
    if not (truth.shape == keypoints.shape == (*scores.shape, 2) and len(truth) == len(times_s) > 2):
        raise ConfigError(
            f"{path}: got gt {truth.shape}, noisy {keypoints.shape}, conf {scores.shape} and {np.size(times_s)} times, "
            "expected (T, K, 2), (T, K, 2), (T, K) and T, with T at least 3"
        )
    for key, values in {"gt": truth, "noisy": keypoints}.items():
        if np.isinf(values).any() or not np.isfinite(values).any():
            raise ConfigError(f"{path}: {key}: got no position, or infinite ones, expected pixels, or NaN")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ConfigError(f"{path}: conf: got a score that is not in 0..1")
    if xyxy is None and not np.isfinite(truth).any(axis=(1, 2)).all():
        raise ConfigError(f"{path}: gt: got a frame without keypoints, expected xyxy (T, 4) too, the person's boxes")
    if xyxy is None:
        xyxy = _boxes_around(truth).astype(np.float32)
    if xyxy.shape != (len(truth), 4) or not (xyxy[:, 2:] > xyxy[:, :2]).all():
        raise ConfigError(
            f"{path}: xyxy: got {xyxy.shape}, expected ({len(truth)}, 4): x1, y1, x2, y2, with x2 > x1 and y2 > y1"
        )
    if not 0 < size < np.inf:
        raise ConfigError(f"{path}: scale: got {size:g}, expected the square root of the person's area in pixels")
    times_s = np.asarray(times_s, np.float64)
    if not (np.diff(times_s) > 0).all():
        raise ConfigError(f"{path}: times_s: got times that repeat or decrease, expected them to increase")
    return Clip(path.stem, times_s, keypoints, scores, truth, size, xyxy, np.ones(len(truth), np.bool_))


def _boxes_around(truth: Floats) -> Floats:
    """Boxes (T, 4) as a detector would return them, without noise: a filter uses them only for the person's size."""
    first, last = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    margin = np.maximum(BOX_MARGIN * (last - first).max(axis=1, keepdims=True), 1.0)
    return np.concatenate([first - margin, last + margin], axis=1)


def _read_recording(path: Path, lacking: list[str]) -> list[Clip]:
    """One clip for each track of a recording that has at least SHORTEST_TRACK frames.

    Args:
        path: the recording.
        lacking: if there is no such track, the reason is appended.
    """
    recording = open_recording(path)
    tracks: dict[tuple[str, str, int, int], list[tuple[wire.PoseMessage, int]]] = defaultdict(list)
    for message in recording.messages():
        if message.keypoints:
            for row, track_id in enumerate(message.track_ids):
                tracks[message.session, message.camera, message.epoch, track_id].append((message, row))
    clips = []
    for (_, camera, epoch, track_id), seen in tracks.items():
        if len(seen) >= SHORTEST_TRACK:
            smoothing = recording.infos[camera].smoothing if camera in recording.infos else UNKNOWN
            clips.append(_track(f"{camera}/{epoch}/{track_id}", seen, smoothing))
    if not clips:
        longest = max(map(len, tracks.values()), default=0)
        lacking.append(
            f"{path}: its longest track has {longest} frames" if longest else f"{path} has no people with keypoints"
        )
    return clips


def _track(name: str, seen: list[tuple[wire.PoseMessage, int]], smoothing: str) -> Clip:
    """One track's (message, row) pairs as a clip, timed by the source's own clock if it increases, else by capture.

    With `publish.raw_keypoints` the keypoints are those from before smoothing.
    """
    media_s = [message.media_s for message, _ in seen]
    times_s = np.array([np.nan if time_s is None else time_s for time_s in media_s])
    if not (np.diff(times_s) > 0).all():
        times_s = np.array([message.captured_ns for message, _ in seen]) / 1e9
    keypoints = np.stack([message.keypoints_array()[row] for message, row in seen]).astype(np.float64)
    raw = [each[row] for message, row in seen if (each := message.raw_array()) is not None]
    is_raw = len(raw) == len(seen)
    xyxy = np.stack([message.boxes_array()[row] for message, row in seen])
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1.0).astype(np.float64)
    clip = Clip(
        name,
        times_s,
        np.stack(raw).astype(np.float64) if is_raw else keypoints[..., :2],
        keypoints[..., 2],
        None,
        float(np.median(np.sqrt(sides.prod(axis=1)))),
        xyxy,
        np.array([message.measured[row] for message, row in seen]),
        UNSMOOTHED if is_raw else smoothing,
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
