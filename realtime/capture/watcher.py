"""Watches one camera for motion, and decides which of its frames enter the pipeline.

Used by capture.camera: Picture.decoded -> Frame.motion. The watcher scales the brightness of each picture down,
rotates and crops it like the picture, and passes it to the motion detector (capture.motion). runtime.activity decides.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.capture.motion import MotionDetector, Moved
from realtime.capture.source import Decoded
from realtime.capture.view import Box, rotated, rotated_size, turned_back, viewed_size
from realtime.config import CameraConfig
from realtime.runtime.activity import Activities, Verdict

# The shorter side of the scaled pictures is at least this long (pixels), and less than twice as long.
SHORTER_SIDE = 100
# Motion is looked for at most this often (s, on the timeline of the frames): in every third picture at 25 fps. The
# delay of two such intervals is a third of the 300 ms that a person may be seen later than without the gate.
_INTERVAL_S = 0.09
_AROUND = np.ones((3, 3), np.uint8)


class Watcher:
    """The motion gate of one camera.

    Args:
        config: the camera's configuration.
        activities: the activity of all cameras.
    """

    def __init__(self, config: CameraConfig, activities: Activities) -> None:
        self._config, self._activities = config, activities
        self._mask = tuple(np.array(corners, np.float32) for corners in config.mask)
        self._epoch = -1
        self._seen_s = 0.0
        self._moved: NDArray[np.float32] = np.zeros((0, 4), np.float32)
        self._is_sure = False
        self._detector = MotionDetector()

    def see(self, decoded: Decoded, epoch: int, time_s: float) -> Verdict:
        """Look for motion in the next picture, and decide whether its frame enters.

        Args:
            decoded: the picture.
            epoch: that of its frame.
            time_s: the time of its frame.

        Raises:
            SourceError: the picture can't be converted.
        """
        is_new = epoch != self._epoch
        if is_new or time_s - self._seen_s >= _INTERVAL_S:
            luma, size = self._luma(decoded)
            if is_new:
                self._detector = MotionDetector(self._config.sensitivity, watched(luma.shape[::-1], size, self._config))
            self._take(self._detector.update(luma, time_s), luma.shape[::-1], size)
            self._epoch, self._seen_s = epoch, time_s
        verdict = self._activities.see(self._config.name, epoch, time_s, self._moved, self._is_sure)
        return verdict._replace(motion=replace(verdict.motion, mask=self._mask)) if self._mask else verdict

    def _luma(self, decoded: Decoded) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Return the brightness of the view, uint8 (h, w), and the size of the frame that it stands for."""
        size = viewed_size(decoded.size, self._config)
        turned_size = rotated_size(decoded.size, self._config.rotate)
        box = self._config.crop_xyxy or (0, 0, *turned_size)
        luma = decoded.luma(luma_scale(box), turned_back(box, turned_size, self._config.rotate))
        return rotated(luma, self._config.rotate), size

    def _take(self, moved: Moved, luma_size: tuple[int, int], size: tuple[int, int]) -> None:
        scale = np.array([size[0] / luma_size[0], size[1] / luma_size[1]] * 2, np.float32)
        self._moved, self._is_sure = moved.xyxy * scale, moved.is_sure


def luma_scale(box: Box) -> float:
    """Return by how much the brightness in a box of the picture is scaled down.

    >>> luma_scale((0, 0, 1920, 1080))
    0.1
    """
    return 1 / max(1, min(box[2] - box[0], box[3] - box[1]) // SHORTER_SIDE)


def watched(luma_size: tuple[int, int], size: tuple[int, int], config: CameraConfig) -> NDArray[np.bool_] | None:
    """Return where motion is looked for: bool (h, w) in pixels of the luma; None: everywhere.

    The pixels next to the mask are left out too, because the blur carries motion under the mask into them.

    Args:
        luma_size: width and height of the luma.
        size: width and height of the frame, whose pixels `mask` means.
        config: the camera's configuration.
    """
    if not config.mask:
        return None
    scale = np.array(luma_size) / np.array(size)
    inside = np.zeros(luma_size[::-1], np.uint8)
    for corners in config.mask:
        cv2.fillPoly(inside, [np.round(np.array(corners) * scale - 0.5).astype(np.int32)], 1)
    return np.asarray(cv2.dilate(inside, _AROUND) == 0)
