"""From Poses to the message that is published for their frame.

The last step before encoding. publish.stage uses it, and so do the loops of evaluate that publish as the program does.
"""

from __future__ import annotations

import time

import numpy as np

from realtime import wire
from realtime.types import Poses


def to_message(
    poses: Poses, session: str, seq: int, skeleton: str, with_raw: bool = False, age_ms: float | None = None
) -> wire.PoseMessage:
    """Build the message of one frame, to be sent now.

    >>> from realtime.types import Frame
    >>> frame = Frame("cam0", 0, 7, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0)
    >>> frame.timing_ms["detect"] = 12.5
    >>> message = to_message(Poses.empty(frame, keypoints=17), "s1", 3, "coco17")
    >>> message.camera, message.frame, message.seq, list(message.timing_ms)
    ('cam0', 7, 3, ['detect', 'wait'])

    Args:
        poses: the people of the frame.
        session: id of the run.
        seq: number of pose messages that this camera has sent before.
        skeleton: name of the skeleton: "coco17", "none", ...
        with_raw: add the keypoints from before smoothing. Those that are not finite are replaced by the smoothed ones.
        age_ms: milliseconds since the capture; None: computed from the monotonic clock.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    frame = poses.frame
    if age_ms is None:
        age_ms = (time.monotonic_ns() - frame.captured_mono_ns) / 1e6
    timing_ms = frame.timing_ms | {"wait": max(0.0, age_ms - sum(frame.timing_ms.values()))}
    raw = poses.keypoints if poses.raw is None else poses.raw
    return wire.PoseMessage(
        session=session,
        camera=frame.camera,
        epoch=frame.epoch,
        seq=seq,
        frame=frame.index,
        captured_ns=frame.captured_unix_ns,
        clock=frame.clock,
        published_ns=time.time_ns(),
        media_s=frame.media_s,
        size=frame.size,
        skeleton=skeleton,
        track_ids=poses.track_ids.tolist(),
        scores=poses.scores.tolist(),
        labels=wire.UNSET if poses.labels is None else poses.labels.tolist(),
        boxes=wire.pack(poses.xyxy),
        keypoints=wire.pack(np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], axis=-1)),
        measured=poses.measured.tolist(),
        timing_ms={stage: round(ms, 3) for stage, ms in timing_ms.items()},
        raw_keypoints=wire.pack(np.where(np.isfinite(raw), raw, poses.keypoints)) if with_raw else wire.UNSET,
    )
