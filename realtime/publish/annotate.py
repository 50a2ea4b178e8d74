"""A frame as people watch it: a copy with its people drawn on, scaled if need be, and a caption.

Used by publish.video and publish.preview.
"""

from __future__ import annotations

import datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.publish.draw import draw_caption, draw_people
from realtime.publish.draw_motion import draw_motion
from realtime.skeleton import Skeleton
from realtime.types import Frame, Poses


def annotate(
    poses: Poses,
    skeleton: Skeleton,
    is_live: bool,
    scale: float = 1.0,
    labels: bool = True,
    motion: bool = False,
) -> NDArray[np.uint8]:
    """Draw people on a copy of their frame.

    Args:
        poses: the people, with their frame.
        skeleton: names of their keypoints, and which ones to connect.
        is_live: whether the frame comes from a live camera: the caption shows the time of day instead of the position.
        scale: size of the result relative to the frame.
        labels: whether to write the track ids and the caption.
        motion: whether to draw what the motion gate sees, below the people.

    Returns:
        uint8 (H, W, 3) BGR, at least one pixel high and wide.
    """
    frame = poses.frame
    if scale == 1.0:
        image = frame.image.copy()
    else:
        size = max(1, round(frame.size[0] * scale)), max(1, round(frame.size[1] * scale))
        image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if motion and frame.motion is not None:
        draw_motion(image, frame.motion, frame.size)
    points = np.concatenate([poses.keypoints * np.float32(scale), poses.keypoint_scores[..., np.newaxis]], axis=2)
    boxes = poses.xyxy * np.float32(scale)
    # A repeated pose is a measured one that still holds. Dashed in between, still people would flicker.
    whole = poses.measured | poses.is_still
    names = skeleton.keypoint_names
    draw_people(image, poses.track_ids, boxes, points, skeleton.edges, whole, labels, names, poses.labels)
    if labels:
        activity = f"  {frame.motion.activity}" if frame.motion is not None else ""
        draw_caption(image, f"{frame.camera}  {time_of(frame, is_live)}{activity}")
    return image


def time_of(frame: Frame, is_live: bool) -> str:
    """Format the time of a frame: the local time of day of a live one, the position in its source of any other.

    >>> time_of(Frame("cam0", 0, 0, np.zeros((1, 1, 3), np.uint8), 3723.46, 0, 0), is_live=False)
    '1:02:03.46'
    """
    if is_live:
        moment = datetime.datetime.fromtimestamp(frame.captured_unix_ns / 1e9).astimezone()
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-4]
    sign, hundredths = "-" * (frame.time_s < 0), round(abs(frame.time_s) * 100)
    minutes, hundredths = divmod(hundredths, 6000)
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{hundredths // 100:02}.{hundredths % 100:02}"
