"""The results of an upload: poses drawn on images, an H.264 video, and files to download."""

import csv
import json
import time
import uuid
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np

from realtime import PoseTracker
from realtime.skeleton import Skeleton
from realtime.types import Poses

_BOX_COLOUR = (255, 255, 255)
_TICKS_PER_S = 90_000
_FORMATS = "avi,matroska,mov,mpeg,mpegts"  # of videos that browsers and phones make; none names other files


def numbered(poses: Poses, numbers: dict[int, int]) -> Poses:
    """Return the poses with people numbered from 1, because a tracker never reuses an id.

    Args:
        poses: the people of a frame.
        numbers: the number of each track id; those of new people are added.
    """
    ids = [numbers.setdefault(int(track_id), len(numbers) + 1) for track_id in poses.track_ids]
    return replace(poses, track_ids=np.array(ids, np.int64))


def people_drawn(tracker: PoseTracker, poses: Poses, min_score: float) -> np.ndarray:
    """Return the image with boxes and skeletons, without keypoints below `min_score`: uint8 (H, W, 3), BGR."""
    is_drawn = poses.keypoint_scores >= min_score
    image = tracker.draw(replace(poses, keypoint_scores=is_drawn.astype(np.float32)))
    for x1, y1, x2, y2 in poses.xyxy.round().astype(int).tolist():
        cv2.rectangle(image, (x1, y1), (x2, y2), _BOX_COLOUR, 1, cv2.LINE_AA)
    return image


def table_row(poses: Poses, i: int, min_score: float) -> list[float]:
    """Return the row of person `i`: number, score, x1, y1, x2, y2, keypoints of at least `min_score`."""
    box = poses.xyxy[i].round().astype(int).tolist()
    visible = int((poses.keypoint_scores[i] >= min_score).sum())
    return [int(poses.track_ids[i]), round(float(poses.scores[i]), 2), *box, visible]


def duration_s(path: Path) -> float | None:
    """Return how long a video is by its header (s); None if that is unknown."""
    try:
        with av.open(path, options={"format_whitelist": _FORMATS}) as container:
            return container.duration / av.time_base if container.duration else None
    except av.FFmpegError:
        return None


class PoseFiles:
    """`poses.jsonl`, a recording as of --record (docs/wire.md), and `poses.csv`, a row for each person and frame."""

    def __init__(self, folder: Path, skeleton: Skeleton) -> None:
        self.paths = [str(folder / "poses.jsonl"), str(folder / "poses.csv")]
        self._skeleton, self._session, self._seq = skeleton, uuid.uuid4().hex, 0
        self._lines, self._table = (Path(path).open("w", encoding="utf-8", newline="") for path in self.paths)  # noqa: SIM115
        self._rows = csv.writer(self._table, lineterminator="\n")
        keypoints = [f"{name}_{part}" for name in skeleton.keypoint_names for part in ("x", "y", "score")]
        self._rows.writerow(["frame", "time_s", "person", "score", "measured", "x1", "y1", "x2", "y2", *keypoints])

    def write(self, poses: Poses) -> None:
        """Append the people of a frame."""
        frame = poses.frame
        points = np.concatenate([poses.keypoints, poses.keypoint_scores[..., np.newaxis]], axis=2)
        boxes, points = _rounded(poses.xyxy), _rounded(points)
        ids, scores, measured = poses.track_ids.tolist(), _rounded(poses.scores), poses.measured.tolist()
        message = {
            "schema": "pose/1", "session": self._session, "camera": frame.camera, "epoch": frame.epoch,
            "seq": self._seq, "frame": frame.index, "captured_ns": frame.captured_unix_ns, "clock": frame.clock,
            "published_ns": time.time_ns(), "media_s": frame.media_s, "size": frame.size,
            "skeleton": self._skeleton.name, "track_ids": ids, "scores": scores, "boxes": boxes, "keypoints": points,
            "measured": measured, "timing_ms": frame.timing_ms,
        }  # fmt: skip
        self._seq += 1
        self._lines.write(json.dumps(message, separators=(",", ":")) + "\n")
        for person, score, is_measured, box, keypoints in zip(ids, scores, measured, boxes, points, strict=True):
            values = [value for keypoint in keypoints for value in keypoint]
            self._rows.writerow([frame.index, round(frame.time_s, 3), person, score, int(is_measured), *box, *values])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lines.close()
        self._table.close()


class VideoFile:
    """An H.264 video in an MP4 file, which browsers can play. The first image sets its size."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = av.open(path, "w", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        self._stream.pix_fmt, self._stream.codec_context.thread_count = "yuv420p", 2
        self._stream.codec_context.time_base = Fraction(1, _TICKS_PER_S)
        self._ticks, self._step = -1, _TICKS_PER_S // 30

    def write(self, image: np.ndarray, time_s: float) -> None:
        """Append an image, uint8 (H, W, 3) BGR. `time_s` is its time since the first one."""
        if self._ticks < 0:  # H.264 wants even sides
            self._stream.height, self._stream.width = (max(2, side // 2 * 2) for side in image.shape[:2])
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        ticks = max(self._ticks + 1, round(time_s * _TICKS_PER_S))
        self._step = ticks - self._ticks if self._ticks >= 0 else self._step
        frame.pts = self._ticks = ticks
        frame.time_base = Fraction(1, _TICKS_PER_S)
        self._mux(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._ticks >= 0:
            self._mux(None)
        self._container.close()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._step  # no later frame ends the last one
            self._container.mux(packet)


def _rounded(values: np.ndarray) -> list:
    return np.round(values.astype(np.float64), 3).tolist()
