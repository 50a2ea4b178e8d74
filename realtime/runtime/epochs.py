"""State of each camera that lasts for one epoch.

The stages behind the door that remember earlier frames keep their state here: detect, track, pose, relink and smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from realtime.types import Frame

S = TypeVar("S")


class PerEpoch(Generic[S]):
    """One state per camera, replaced by a new one when a new epoch of the camera starts.

    >>> import numpy as np
    >>> image, seen = np.zeros((480, 640, 3), np.uint8), PerEpoch(lambda frame: [f"epoch {frame.epoch}"])
    >>> for epoch, index in [(0, 0), (0, 1), (1, 2)]:
    ...     seen.of(Frame("cam0", epoch, index, image, index / 30, 0, 0)).append(index)
    ...     print(seen.get("cam0"))
    ['epoch 0', 0]
    ['epoch 0', 0, 1]
    ['epoch 1', 2]

    Args:
        new: returns the state for a camera's first frame, and for the first frame of each later epoch.
    """

    # No lock is needed. A stage calls `of` on its own thread and the main thread calls `forget`, but never both for one
    # camera at the same time. The main thread forgets a removed camera when the door is empty of its frames: the last
    # one has then passed every stage, and none can follow until the main thread adds the camera again. Calls for
    # different cameras touch different keys of the dict, each in one atomic operation, and no method iterates over it.

    def __init__(self, new: Callable[[Frame], S]) -> None:
        self._new = new
        self._states: dict[str, tuple[int, S]] = {}  # by camera: epoch, state

    def of(self, frame: Frame) -> S:
        """Return the state of the frame's camera and epoch. Each camera's frames must come in order."""
        known = self._states.get(frame.camera)
        if known is None or known[0] != frame.epoch:
            known = self._states[frame.camera] = frame.epoch, self._new(frame)
        return known[1]

    def get(self, camera: str) -> S | None:
        """Return the camera's current state, or None if it has none."""
        known = self._states.get(camera)
        return None if known is None else known[1]

    def forget(self, camera: str) -> None:
        """Drop the state of this camera, if it has one."""
        self._states.pop(camera, None)

    def clear(self) -> None:
        """Drop the state of all cameras."""
        self._states.clear()
