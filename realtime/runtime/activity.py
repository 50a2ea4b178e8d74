"""How much happens in front of each camera: active, still (people, but no motion near them) or empty.

Written by two sides: capture.watcher tells what moves in each frame, and track.stage whom the detector's runs found.
The answer travels with the frame (`Frame.motion`), so that every later stage acts on the same one.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.config import ActivityConfig
from realtime.types import Activity, Motion, Tracks

# A camera stays active for this long (s) after the last motion near a person, or in a picture without people.
HOLD_S = 1.0
# A still camera is looked at this often (s): at least once a second, with room for the interval between two frames.
STILL_LOOK_S = 0.9
# An empty camera's frames enter at least this often (s), so that its subscribers hear from it.
SIGN_S = 1.0
# Motion is near a person if it touches their box, widened by this share of its longer side on each side.
_NEAR = 0.15
# A person whose box has moved by more than this share of its longer side, and by this many pixels, between two runs of
# the detector isn't still, whatever the motion gate sees.
_MOVED, _MOVED_PX = 0.1, 4.0


class Verdict(NamedTuple):
    """What `Activities.see` returns about a frame.

    Attributes:
        motion: goes into the frame.
        enters: whether the frame may enter the pipeline. False only for most frames of an empty camera.
    """

    motion: Motion
    enters: bool


class Activities:
    """The activity of all cameras. All methods may be called from any thread.

    >>> activities, nothing = Activities(ActivityConfig(empty_s=2.0)), np.zeros((0, 4), np.float32)
    >>> [activities.see("door", 0, time_s, nothing, is_sure=True).motion.activity for time_s in (0.0, 1.5, 3.0)]
    ['active', 'active', 'empty']
    >>> activities.see("door", 0, 3.1, np.float32([[10, 10, 30, 50]]), is_sure=True).motion.activity
    'active'

    Args:
        config: the section `activity` of the configuration.

    Attributes:
        mode: which cameras have a motion gate, unless their own configuration says so.
    """

    def __init__(self, config: ActivityConfig) -> None:
        self._config = config
        self.mode = config.mode
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}

    def see(self, camera: str, epoch: int, time_s: float, moved: NDArray[np.float32], is_sure: bool) -> Verdict:
        """Take in what moves in the next frame of a camera, and decide about this frame.

        Args:
            camera: name of the camera.
            epoch: as in Frame; a new one starts as active.
            time_s: as in Frame.
            moved: float32 (M, 4), the areas in which something moves; pixels of the frame.
            is_sure: False while the motion gate can't tell motion from stillness, which counts as motion.
        """
        with self._lock:
            state = self._cameras.get(camera)
            if state is None or state.epoch != epoch:
                state = self._cameras[camera] = _Camera(epoch, time_s)
            near = state.near_people(moved)
            if not is_sure or near.any() or (len(moved) and not len(state.people)):
                state.motion_s = time_s
            elif len(moved):
                state.unexplained_s = time_s
            return self._verdict(state, time_s, moved)

    def looked(self, tracks: Tracks, is_settled: bool) -> None:
        """Take in the people whom a run of the detector found.

        Args:
            tracks: its tracks.
            is_settled: False if it found a person without a track, so that the next frames decide.
        """
        frame = tracks.frame
        with self._lock:
            state = self._cameras.get(frame.camera)
            if state is None or state.epoch != frame.epoch:
                return
            if not is_settled or state.has_changed(tracks):
                state.motion_s = max(state.motion_s, frame.time_s)
            state.people, state.track_ids = tracks.xyxy, tracks.track_ids
            if len(tracks):
                state.people_s = frame.time_s

    def forget(self, camera: str) -> None:
        """Drop the state of a camera."""
        with self._lock:
            self._cameras.pop(camera, None)

    def _verdict(self, state: _Camera, time_s: float, moved: NDArray[np.float32]) -> Verdict:
        quiet_since_s = max(state.motion_s, state.unexplained_s, state.people_s)
        activity: Activity = "active"
        look_before_s = math.inf
        enters = True
        if time_s - state.motion_s >= HOLD_S and len(state.people):
            activity = "still"
            look_before_s = max(time_s - STILL_LOOK_S, state.unexplained_s)
        elif time_s - quiet_since_s >= self._config.empty_s and not len(state.people):
            activity = "empty"
            interval_s = min(SIGN_S, self._config.look_s)
            # Half an interval early, or a look would have to wait for the next frame that enters.
            look_before_s = time_s - self._config.look_s + interval_s / 2
            enters = time_s - state.entered_s >= interval_s
        if enters:
            state.entered_s = time_s
        return Verdict(Motion(activity, moved, look_before_s), enters)


class _Camera:
    """The state of one camera in one epoch. Times are `Frame.time_s`."""

    def __init__(self, epoch: int, now_s: float) -> None:
        self.epoch = epoch
        self.motion_s = now_s  # the last motion near a person, or anywhere without people; a start counts as motion
        self.unexplained_s = -math.inf  # the last motion elsewhere
        self.people_s = now_s  # the last time that a run of the detector found people
        self.entered_s = -math.inf  # the last frame that entered
        self.people = np.zeros((0, 4), np.float32)  # (N, 4), their boxes in the last run
        self.track_ids = np.zeros(0, np.int64)

    def near_people(self, moved: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which areas (M, 4) are near a person, bool (M,)."""
        sides = (self.people[:, 2:] - self.people[:, :2]).max(1, initial=0.0)[:, None] * _NEAR
        low, high = self.people[:, :2] - sides, self.people[:, 2:] + sides
        touches = (moved[:, None, 2:] >= low) & (moved[:, None, :2] <= high)
        near: NDArray[np.bool_] = touches.all(2).any(1)
        return near

    def has_changed(self, tracks: Tracks) -> bool:
        """Whether people came, went or moved since the last run of the detector."""
        if set(tracks.track_ids.tolist()) != set(self.track_ids.tolist()):
            return True
        before = self.people[[self.track_ids.tolist().index(each) for each in tracks.track_ids.tolist()]]
        shift = np.abs(tracks.xyxy - before).max(1, initial=0.0)
        sides = (before[:, 2:] - before[:, :2]).max(1, initial=0.0)
        return bool((shift > np.maximum(_MOVED * sides, _MOVED_PX)).any())
