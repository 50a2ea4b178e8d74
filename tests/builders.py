"""Frames, detections, tracks, poses and messages for tests. A test states only the values that it is about.

A single value stands for all people: `scores=0.9`, `measured=False`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from realtime import wire
from realtime.types import Detections, Frame, Motion, Poses, Tracks

BOX = (100.0, 100.0, 200.0, 300.0)


def make_frame(
    index: int = 0,
    camera: str = "cam0",
    epoch: int = 0,
    image: np.ndarray | None = None,
    *,
    time_s: float | None = None,
    motion: Motion | None = None,
) -> Frame:
    """A frame at index / 30 s if no time is given, captured `index` ns after both clocks began; 160 x 120, grey."""
    image = np.full((120, 160, 3), 128, np.uint8) if image is None else image
    time_s = index / 30 if time_s is None else time_s
    return Frame(camera, epoch, index, image, time_s, captured_mono_ns=index, captured_unix_ns=index, motion=motion)


def make_detections(
    frame: Frame,
    boxes: ArrayLike,
    scores: ArrayLike = 0.9,
    keypoints: np.ndarray | None = None,
    labels: ArrayLike | None = None,
) -> Detections:
    """The people with these boxes (N, 4); keypoints (N, K, 3); names of their classes (N,)."""
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    names = None if labels is None else np.array(labels, np.str_)
    return Detections(frame, xyxy, _each(scores, (len(xyxy),)), keypoints, labels=names)


def make_tracks(
    frame: Frame,
    boxes: ArrayLike,
    ids: ArrayLike | None = None,
    *,
    scores: ArrayLike = 0.8,
    measured: ArrayLike = True,
    keypoints: np.ndarray | None = None,
    ended: tuple[int, ...] = (),
) -> Tracks:
    """The people with these boxes (N, 4) and ids, from 1 if none are given; keypoints (N, K, 3)."""
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    n = len(xyxy)
    return Tracks(
        frame,
        xyxy,
        _each(scores, (n,)),
        np.array(range(1, n + 1) if ids is None else ids, np.int64),
        _each(measured, (n,), np.bool_),
        keypoints,
        ended,
    )


def make_poses(
    frame: Frame,
    keypoints: ArrayLike,
    boxes: ArrayLike = BOX,
    ids: ArrayLike | None = None,
    *,
    keypoint_scores: ArrayLike = 0.9,
    scores: ArrayLike = 0.8,
    measured: ArrayLike = True,
    ended: tuple[int, ...] = (),
) -> Poses:
    """The people with these keypoints (N, K, 2), boxes and ids, from 1 if none are given."""
    keypoints = np.array(keypoints, np.float32)
    n, k = keypoints.shape[:2]
    tracks = make_tracks(frame, _each(boxes, (n, 4)), ids, scores=scores, measured=measured, ended=ended)
    return Poses.of(tracks, keypoints, _each(keypoint_scores, (n, k)))


def make_info(**keys: object) -> wire.InfoMessage:
    """A description of cam0, 640 x 480, whose skeleton is a nose and two eyes."""
    fields: dict[str, object] = {"session": "s1", "camera": "cam0", "size": (640, 480), "source_fps": 30.0}
    fields |= {"keypoint_names": ["nose", "left_eye", "right_eye"], "edges": [(0, 1), (0, 2)]}
    fields |= {"detector": "yolo11n", "pose": "vitpose", "device": "cpu", "smoothing": "one-euro", "version": "0.1.0"}
    return wire.InfoMessage(**fields | keys)


def make_pose_message(poses: Poses, **keys: object) -> wire.PoseMessage:
    """The message about these poses, as the first of a session."""
    frame = poses.frame
    fields: dict[str, object] = {"session": "s1", "camera": frame.camera, "epoch": frame.epoch, "seq": 0}
    fields |= {"frame": frame.index, "size": frame.size, "media_s": frame.media_s, "clock": frame.clock}
    fields |= {"captured_ns": frame.captured_unix_ns, "published_ns": frame.captured_unix_ns, "timing_ms": {}}
    points = np.concatenate([poses.keypoints, poses.keypoint_scores[..., np.newaxis]], axis=2)
    fields |= {"skeleton": "coco17", "boxes": poses.xyxy.tobytes(), "keypoints": points.tobytes()}
    fields |= {"track_ids": poses.track_ids.tolist(), "scores": poses.scores.tolist()}
    return wire.PoseMessage(**fields | {"measured": poses.measured.tolist()} | keys)


def _each(values: ArrayLike, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    return np.array(np.broadcast_to(values, shape), dtype, order="C")
