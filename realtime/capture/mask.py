"""Checks a camera's `mask` once the size of its frames is known.

Used by capture.camera, whether or not the camera has a motion gate: a mask over everything is always a mistake.
"""

from __future__ import annotations

from realtime.capture.watcher import SHORTER_SIDE, watched
from realtime.config import CameraConfig
from realtime.errors import SourceError, SourceReason


def check_mask(size: tuple[int, int], config: CameraConfig) -> None:
    """Check that the mask leaves a part of the frame to be watched.

    Args:
        size: width and height of the published frames, in pixels.
        config: the camera's configuration.

    Raises:
        SourceError: the mask covers the whole frame.
    """
    scale = min(1.0, SHORTER_SIDE / min(size))
    seen = watched((max(1, round(size[0] * scale)), max(1, round(size[1] * scale))), size, config)
    if seen is not None and not seen.any():
        raise SourceError(
            f"mask: got polygons over the whole frame of {size[0]}x{size[1]}, expected a part without a "
            "mask; to turn the motion gate off, set activity: off",
            SourceReason.MODE,
        )


def beyond(size: tuple[int, int], config: CameraConfig) -> list[int]:
    """Return the numbers of the polygons that lie outside of frames of this size, and so hide nothing.

    >>> beyond((640, 480), CameraConfig(name="door", source="0", mask=[[(700, 0), (800, 0), (700, 90)]]))
    [0]
    """
    outside = [min(x for x, _ in each) >= size[0] or min(y for _, y in each) >= size[1] for each in config.mask]
    return [number for number, is_outside in enumerate(outside) if is_outside]
