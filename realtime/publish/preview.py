"""The window of `--preview`: all cameras with their people, and keys to pause, step and choose.

A side branch of the publisher, which only leaves the newest frame of each camera here. The main thread draws them
between its other duties, as window systems require. Frames that are not drawn in time are skipped and delay
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from realtime.observe.status import CameraStatus
from realtime.publish.wall import Tile, hang, place, render
from realtime.publish.window import Window
from realtime.skeleton import Skeleton
from realtime.types import Poses

_PAUSED = "PAUSED    "
_TITLE = "realtime-pose    space: pause   . step   n: next camera   0: all   l: labels   m: motion   q: quit"
# The picture is drawn at most this often, because no one sees more.
_DRAW_EVERY_S = 1 / 30
# How long the main thread waits for a key before it looks for a new frame.
_KEY_S = 0.01


class Preview:
    """Shows the newest frames in a window. `wait` opens it, and belongs to the main thread with `close`.

    Args:
        skeleton: names of the keypoints, and which ones to connect.
        is_live: returns whether a camera is live, for the times in the captions.
        status: returns the status of each camera by name. Removed cameras disappear.
        window: opens the window with this title; tests pass another one.

    Attributes:
        is_over: whether the user has quit.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        is_live: Callable[[str], bool],
        status: Callable[[], Mapping[str, CameraStatus]],
        window: Callable[[str], Window] = Window,
    ) -> None:
        self._skeleton, self._is_live, self._status = skeleton, is_live, status
        self._new_window = window
        self._window: Window | None = None
        self._newest: dict[str, Poses] = {}  # written by the publisher's thread
        self._shown: dict[str, Poses] = {}  # those of the moment of the pause, or the newest ones
        self._is_paused, self._labels, self._motion = False, True, False
        self._chosen = 0  # 0: all cameras, n: the nth
        self._drawn: dict[str, tuple[object, NDArray[np.uint8]]] = {}  # what each tile shows, and its picture
        self._drawn_s = 0.0
        self.is_over = False

    def offer(self, poses: Poses, seq: int) -> None:
        """Leave a published frame here. It replaces the one before.

        Args:
            poses: the people, with their frame.
            seq: number of its pose message, not needed here.
        """
        self._newest[poses.frame.camera] = poses

    def finish(self) -> None:
        """Do nothing: the window stays open until the run has ended."""

    def wait(self, timeout_s: float) -> None:
        """Show new frames and handle keys for some time."""
        window = self._window = self._window or self._new_window(_TITLE)
        end_s = time.monotonic() + timeout_s
        while not self.is_over:
            if time.monotonic() - self._drawn_s >= _DRAW_EVERY_S:
                self._draw(window)
            if key := window.key(_KEY_S):
                self._press(key, window)
            self.is_over = self.is_over or window.is_closed()
            if time.monotonic() >= end_s:
                break

    def close(self) -> None:
        """Close the window."""
        if self._window is not None:
            self._window.close()

    def _press(self, key: str, window: Window) -> None:
        if key in ("q", "Q", "escape"):
            self.is_over = True
        elif key == " ":
            self._is_paused = not self._is_paused
        elif key in (".", "right"):
            self._is_paused = True
            self._shown = dict(self._newest)
        elif key in ("l", "L"):
            self._labels = not self._labels
        elif key in ("m", "M"):
            self._motion = not self._motion
        elif key in ("n", "N"):
            self._chosen = (self._chosen + 1) % (len(self._cameras()) + 1)
        elif key.isdecimal() and int(key) <= len(self._cameras()):
            self._chosen = int(key)
        window.rename(_PAUSED + _TITLE if self._is_paused else _TITLE)
        self._drawn_s = 0.0  # at once

    def _cameras(self) -> list[str]:
        return [camera for camera, status in self._status().items() if not status.is_removed]

    def _draw(self, window: Window) -> None:
        """Draw the tiles that have changed, and show the wall if there are any."""
        if not self._is_paused:
            self._shown = dict(self._newest)
        cameras = self._cameras()
        if self._chosen > len(cameras):
            self._chosen = 0
        cameras = cameras[self._chosen - 1 : self._chosen] if self._chosen else cameras
        size = window.size()
        room = place(len(cameras), size)
        drawn: dict[str, tuple[object, NDArray[np.uint8]]] = {}
        for camera in cameras:
            tile = Tile(camera, self._shown.get(camera), self._is_live(camera), self._notice(camera))
            look = (tile, room, size, self._labels, self._motion)
            known = self._drawn.get(camera)
            if known is None or known[0] != look:
                known = look, render(tile, room, self._skeleton, self._labels, self._motion)
            drawn[camera] = known
        pictures = [picture for _, picture in drawn.values()]
        if not self._drawn_s or list(drawn) != list(self._drawn) or any(self._drawn[c] is not drawn[c] for c in drawn):
            window.show(hang(pictures, size))
        self._drawn, self._drawn_s = drawn, time.monotonic()

    def _notice(self, camera: str) -> str:
        """The words over a picture that is not one of a running camera: its state, or that the display is paused."""
        state, reason = self._status()[camera].state
        if state != "live":
            return f"{state}: {reason}" if reason else state
        if self._is_paused:
            return ""
        return "" if camera in self._shown else "waiting for the first frame"
