"""A frame of a live camera whose image is converted only when the door lets it in.

Used by capture.camera: Picture.decoded -> Frame, on the thread that takes it from the door.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from realtime.capture.guard import Guard
from realtime.capture.source import Decoded
from realtime.capture.view import viewed
from realtime.config import CameraConfig
from realtime.errors import SourceError
from realtime.types import Frame

# Makes the frame of an image, uint8 (H, W, 3).
Make = Callable[[NDArray[np.uint8]], Frame]


class LateFrame:
    """Waits at the door as `runtime.door.Unconverted`.

    Args:
        camera: the camera's name.
        captured_mono_ns: as in Frame.
        decoded: the picture.
        config: the camera's configuration, with its view.
        make: makes the frame, given its image.
        guard: makes the calls into the camera's source.
        on_failure: called with the error if the picture can't be converted.
    """

    def __init__(
        self,
        camera: str,
        captured_mono_ns: int,
        decoded: Decoded,
        config: CameraConfig,
        make: Make,
        guard: Guard,
        on_failure: Callable[[SourceError], None],
    ) -> None:
        self.camera, self.captured_mono_ns = camera, captured_mono_ns
        self._decoded, self._config, self._make = decoded, config, make
        self._guard, self._on_failure = guard, on_failure

    def frame(self) -> Frame | None:
        """Convert the image and return the frame; None if that failed."""
        try:
            return self._make(self._guard.call(image_of, self._decoded, self._config, logs=True))
        except SourceError as error:
            self._on_failure(error)
            return None


def image_of(decoded: Decoded, config: CameraConfig) -> NDArray[np.uint8]:
    """Convert a picture and return the view of it: uint8 (H, W, 3), BGR."""
    return viewed(decoded.bgr(), config)
