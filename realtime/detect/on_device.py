"""Letterbox on a GPU: uploads frames and scales them there to the detector's input.

On a GPU, detect/stage.py uses it in place of detect.letterbox.letterboxed. It returns the same pixels, bit for bit: the
resampling is the integer arithmetic of cv2.resize with INTER_LINEAR for uint8 (OpenCV 4,
modules/imgproc/src/resize.cpp: HResizeLinear, VResizeLinear). The tests run it on a CPU too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realtime.detect.letterbox import PADDING, Letterbox
from realtime.runtime.lane import Lane

# Interpolation weights are integers in units of 1/2048: OpenCV's INTER_RESIZE_COEF_SCALE.
_UNITS = 2048
# The columns and rows of this many placements are kept, the most recently computed ones. Every frame size has its own.
_KEPT = 64


class _Lines(NamedTuple):
    """The two input lines that are blended into each of the n output lines along one axis, and their weights."""

    first: torch.Tensor  # int64 (n,), index of the input line
    second: torch.Tensor  # int64 (n,), index of the input line
    first_share: torch.Tensor  # int32 (n,), weight of the first line, 0.._UNITS
    second_share: torch.Tensor  # int32 (n,), weight of the second line, 0.._UNITS


class DeviceLetterbox:
    """Does the work of detect.letterbox.letterboxed on the device of a lane."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._axes: dict[Letterbox, tuple[_Lines, _Lines]] = {}

    def __call__(self, images: Sequence[NDArray[np.uint8]], placements: Sequence[Letterbox]) -> torch.Tensor:
        """Scale and pad frames into one batch of network input, on the lane's stream.

        Consecutive frames with equal placements are scaled together.

        Args:
            images: B frames, uint8 (H, W, 3). Their sizes may differ.
            placements: one per image, all with the same `input_size`.

        Returns:
            uint8 (B, h, w, 3) on the lane's device, in the colour order of the images.
        """
        batch = []
        with self._lane.run():
            for placement, alike in groupby(zip(placements, images, strict=True), key=lambda pair: pair[0]):
                pictures = torch.stack([self._lane.picture(image) for _, image in alike])
                if placement.scaled_size != placement.frame_size:
                    pictures = _resized(pictures, *self._of(placement))
                edges = 0, 0, placement.left, placement.right, placement.top, placement.bottom
                batch.append(torch.nn.functional.pad(pictures, edges, value=PADDING))
            return torch.cat(batch)

    def _of(self, placement: Letterbox) -> tuple[_Lines, _Lines]:
        """Return the columns and rows of a placement, computed on first use and then cached."""
        if placement not in self._axes:
            if len(self._axes) >= _KEPT:
                del self._axes[next(iter(self._axes))]
            (width, height), (scaled_width, scaled_height) = placement.frame_size, placement.scaled_size
            self._axes[placement] = (
                self._lines(width, scaled_width, hold_at_edges=True),
                self._lines(height, scaled_height, hold_at_edges=False),
            )
        return self._axes[placement]

    def _lines(self, length: int, scaled: int, hold_at_edges: bool) -> _Lines:
        """Compute the input lines and weights for scaling an axis of `length` pixels to `scaled` pixels.

        The centre of each output pixel is mapped to the input, where it lies between the centres of two pixels. Beyond
        the centre of the first or the last input pixel, only this edge pixel counts.

        Args:
            length: pixels of the input along this axis.
            scaled: pixels of the output along this axis.
            hold_at_edges: True gives this edge pixel the full weight, as OpenCV does along x. False splits the weight
                between two copies of it, as OpenCV does along y, which rounds differently.
        """
        places = ((np.arange(scaled) + 0.5) / (scaled / length) - 0.5).astype(np.float32)
        before = np.floor(places)
        shares = places - before
        if hold_at_edges:
            shares[(before < 0) | (before >= length - 1)] = 0
        units = np.rint(np.stack((1 - shares, shares)) * np.float32(_UNITS)).astype(np.int32)
        lines = np.clip(np.stack((before, before + 1)), 0, length - 1).astype(np.int64)
        return _Lines(*self._lane.upload(lines), *self._lane.upload(units))


def _resized(pictures: torch.Tensor, columns: _Lines, rows: _Lines) -> torch.Tensor:
    """Scale frames bilinearly: uint8 (B, H, W, 3) -> uint8 (B, h, w, 3)."""

    def along_rows(number: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        lines = pictures[:, number]
        left, right = lines[:, :, columns.first].int(), lines[:, :, columns.second].int()
        mixed = left * columns.first_share[:, None] + right * columns.second_share[:, None]
        return ((mixed >> 4) * share[:, None, None]) >> 16

    upper, lower = along_rows(rows.first, rows.first_share), along_rows(rows.second, rows.second_share)
    return ((upper + lower + 2) >> 2).to(torch.uint8)
