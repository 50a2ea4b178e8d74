"""One person's keypoints over time: clips with the truth, and the tracks of recordings.

Read and thinned for evaluate.smoothing.
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
from realtime.evaluate.recording import read_recording

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Left out at the beginning of a clip, where every filter still learns; of short clips a quarter.
WARM_UP_S = 0.5
# A person's box reaches so far beyond the extent of the keypoints, on each side: there is more than joints to a person.
BOX_MARGIN = 0.1
# Tracks of a recording that are shorter say nothing.
SHORTEST_TRACK = 30


@dataclass(frozen=True, eq=False)
class Clip:
    """One person's keypoints over time, T frames of K keypoints, in pixels.

    Attributes:
        name: what the report calls it.
        times_s: float64 (T,), rising.
        keypoints: float64 (T, K, 2), as a pose model says; NaN where it missed one.
        scores: float64 (T, K), 0..1.
        truth: float64 (T, K, 2), NaN where there is none; None for a recording.
        size: the square root of the person's area in pixels, COCO's scale.
        xyxy: float32 (T, 4), the person's box.
        measured: bool (T,), False where the pose is the program's prediction.
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
        """These frames alone, of a mask (T,)."""
        truth = None if self.truth is None else self.truth[frames]
        arrays = (self.times_s[frames], self.keypoints[frames], self.scores[frames], truth)
        return Clip(self.name, *arrays, self.size, self.xyxy[frames], self.measured[frames])

    def without_noise(self) -> Clip:
        """The truth itself as what the pose model says, every keypoint sure: how a filter moves when nothing shakes."""
        assert self.truth is not None
        sure = np.ones_like(self.scores)
        return Clip(self.name, self.times_s, self.truth, sure, self.truth, self.size, self.xyxy, self.measured)

    @property
    def step_s(self) -> float:
        """The time from frame to frame, as it mostly is."""
        return float(np.median(np.diff(self.times_s)))

    @property
    def warm_up(self) -> int:
        """How many frames are left out at the beginning."""
        learning = self.times_s - self.times_s[0] < WARM_UP_S - self.step_s / 2
        return min(int(learning.sum()), len(self) // 4)


def read_clips(paths: Sequence[Path]) -> list[Clip]:
    """The clips of files and of all such files in folders.

    Args:
        paths: `.npz` with `gt` and `noisy` (T, K, 2), `conf` (T, K), `fps` and `scale`, or `times_s` (T,) in the place
            of `fps` and `xyxy` (T, 4) if it likes; `.jsonl`: a recording of the program, each track is a clip.

    Raises:
        ConfigError: a file is missing or holds something else.
    """
    clips: list[Clip] = []
    for path in paths:
        inside = [file for file in path.iterdir() if file.suffix in (".npz", ".jsonl")] if path.is_dir() else [path]
        for file in sorted(inside):
            clips += _read_recording(file) if file.suffix == ".jsonl" else [_read_npz(file)]
    if not clips:
        shown = ", ".join(map(str, paths))
        raise ConfigError(
            f"smoothing: {shown}: got no clip, expected .npz files or recordings of at least {SHORTEST_TRACK} frames"
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
        reason = getattr(error, "strerror", None) or "damaged, or something else"
        raise ConfigError(f"{path}: can't read it as .npz: {reason}") from None
    if not (truth.shape == keypoints.shape == (*scores.shape, 2) and len(truth) == len(times_s) == len(xyxy) > 2):
        raise ConfigError(
            f"{path}: got gt {truth.shape}, noisy {keypoints.shape}, conf {scores.shape}, {len(times_s)} times and "
            f"{len(xyxy)} boxes, expected (T, K, 2), (T, K, 2), (T, K), T and T, T at least 3"
        )
    times_s = np.asarray(times_s, np.float64)
    if not (np.diff(times_s) > 0).all():
        raise ConfigError(f"{path}: times_s: got times that stand still or run backwards, expected them to rise")
    return Clip(path.stem, times_s, keypoints, scores, truth, size, xyxy, np.ones(len(truth), np.bool_))


def _boxes_around(truth: Floats) -> Floats:
    """Boxes (T, 4) as a detector would see the person; true ones, since a filter only takes the person's size of it."""
    first, last = np.nanmin(truth, axis=1), np.nanmax(truth, axis=1)
    margin = BOX_MARGIN * (last - first).max(axis=1, keepdims=True)
    return np.concatenate([first - margin, last + margin], axis=1)


def _read_recording(path: Path) -> list[Clip]:
    """Each track of a recording that is long enough."""
    tracks: dict[tuple[str, int, int], list[tuple[wire.PoseMessage, int]]] = defaultdict(list)
    for message in read_recording(path):
        for row, track_id in enumerate(message.track_ids):
            tracks[message.camera, message.epoch, track_id].append((message, row))
    named = (
        (f"{camera}/{epoch}/{track_id}", seen)
        for (camera, epoch, track_id), seen in tracks.items()
        if len(seen) >= SHORTEST_TRACK
    )
    return [_track(name, seen) for name, seen in named]


def _track(name: str, seen: list[tuple[wire.PoseMessage, int]]) -> Clip:
    """One track's (message, row) pairs as a clip, on the source's own time line where it has one that rises."""
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
    """The clip as a slower camera or a busy machine sees it.

    Args:
        clip: T frames.
        every: every n-th frame is kept.
        drop: of those each but the first is lost with this probability.
        random: decides that.
    """
    kept = np.arange(len(clip)) % every == 0
    kept[1:] &= random.random(len(clip) - 1) >= drop
    return clip.take(kept)
