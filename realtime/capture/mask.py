"""Checks a camera's `mask` once the size of its frames is known.

Used by capture.camera, whether or not the camera has a motion gate: a mask over everything is always a mistake.
"""

from __future__ import annotations

from realtime.capture.source import scaled_size
from realtime.capture.watcher import SHORTER_SIDE, luma_scale, watched
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason

# A mask that leaves less than this share of the small picture is one over everything.
_LEAST_WATCHED = 0.01


def check_mask(size: tuple[int, int], config: CameraConfig) -> None:
    """Check that the mask leaves a part of the frame to be watched, in the small picture that `Watcher` looks at.

    Args:
        size: width and height of the published frames, in pixels; with a 0, they are unknown, and nothing is checked.
        config: the camera's configuration.

    Raises:
        SourceError: the mask covers the whole frame, or nearly.
    """
    if not config.mask or 0 in size:
        return
    seen = watched(_luma_size(size, config), size, config)
    if seen is not None and seen.mean() < _LEAST_WATCHED:
        raise SourceError(
            f"mask: got polygons over the whole frame of {size[0]}x{size[1]}, or with less than 1 % left to watch, "
            "expected a larger part without a mask; to turn the motion gate off, set activity: off",
            SourceReason.MODE,
        )


def _luma_size(size: tuple[int, int], config: CameraConfig) -> tuple[int, int]:
    """Return the width and height of the small picture of frames of this size."""
    if config.crop_xyxy is not None:
        x1, y1, x2, y2 = config.crop_xyxy
        return scaled_size((x2 - x1, y2 - y1), luma_scale(config.crop_xyxy))
    if config.resize is not None:  # the size before it is unknown: the smallest that it can be
        return scaled_size(size, min(1.0, SHORTER_SIDE / min(size)))
    return scaled_size(size, luma_scale((0, 0, *size)))


def beyond(size: tuple[int, int], config: CameraConfig) -> list[int]:
    """Return the numbers of the polygons that lie outside of frames of this size, and so hide nothing.

    >>> beyond((640, 480), CameraConfig(name="door", source="0", mask=[[(700, 0), (800, 0), (700, 90)]]))
    [0]
    """
    outside = [min(x for x, _ in each) >= size[0] or min(y for _, y in each) >= size[1] for each in config.mask]
    return [number for number, is_outside in enumerate(outside) if is_outside]
