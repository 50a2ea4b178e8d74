"""Whether each camera is active, still (people, but no motion near them) or empty.

Fed from two sides: capture.watcher reports what moves in each frame, and track.stage whom the detector found. The
result travels with the frame (`Frame.motion`), so that every later stage acts on the same one.
"""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtime.config import ActivityConfig
from realtime.types import Activity, Motion, Tracks

# A camera stays active for this long (s) after the last reason to be: motion near a person, or in a picture without
# people, or a person about whom the tracker isn't certain.
HOLD_S = 1.0
# The detector runs on a still camera, and frames of an empty one enter, at least this often (s).
SIGN_S = 1.0
# Both happen this much earlier (s), because the next frame may come late. Below 10 fps: one frame earlier.
_EARLY_S = 0.1
# Frames of a steady camera are not exactly equally far apart (s).
_ROUNDING_S = 1e-3
# A gap between two frames counts as motion if it is longer than this many times the interval before it, and than this
# (s): anything may have happened. Not on an empty camera, of which not all frames may be decoded (`idle_decode`).
_GAP, _GAP_S = 3.0, 2.0
# Motion is near a person if it touches their box, widened by this share of its longer side on each side.
_NEAR = 0.15
# A person isn't still, whatever the motion gate sees, if a side of their box has moved by more than this share of the
# longer side, and by this many pixels, since it last did.
_MOVED, _MOVED_PX = 0.1, 4.0


class Verdict(NamedTuple):
    """What `Activities.see` decides about a frame.

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
        mode: which cameras have a motion gate, unless their own configuration says otherwise.
    """

    def __init__(self, config: ActivityConfig) -> None:
        self._config = config
        self.mode = config.mode
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}

    def see(self, camera: str, epoch: int, time_s: float, moved: NDArray[np.float32], is_sure: bool) -> Verdict:
        """Note what moves in the next frame of a camera, and decide about this frame.

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
            state.see(time_s, moved, is_sure)
            return state.decide(self._config, moved)

    def looked(self, tracks: Tracks, is_settled: bool) -> None:
        """Note the people whom a run of the detector found. Newer frames may have been seen before this call.

        Args:
            tracks: its tracks.
            is_settled: False if the tracker knows further people: new ones that it has not confirmed yet, or lost ones.
                The camera is active until a run settles that.
        """
        frame = tracks.frame
        with self._lock:
            state = self._cameras.get(frame.camera)
            if state is not None and state.epoch == frame.epoch:
                state.looked(tracks, is_settled)

    def has_people(self, camera: str) -> bool:
        """Return whether the last run of the detector found people, or the tracker is not certain about someone."""
        with self._lock:
            state = self._cameras.get(camera)
            return state is not None and state.has_people

    def forget(self, camera: str) -> None:
        """Drop the state of a camera."""
        with self._lock:
            self._cameras.pop(camera, None)


class _Camera:
    """The state of one camera in one epoch. Times are `Frame.time_s`."""

    def __init__(self, epoch: int, now_s: float) -> None:
        self.epoch = epoch
        self._activity: Activity = "active"
        self._seen_s = -math.inf  # the last frame
        self._interval_s = math.inf  # between the last two frames
        self._awake_s = now_s  # the last reason to be active; a start counts as one
        self._woke_s = now_s  # when the camera last became active
        self._motion_s = now_s  # the last motion anywhere
        self._unexplained_s = -math.inf  # the last motion away from people
        self._unexplained_from_s = -math.inf  # when that motion began
        self._people_s = now_s  # the last time that a run of the detector found people
        self._entered_s = -math.inf  # the last frame that entered
        self._people: dict[int, NDArray[np.float32]] = {}  # boxes (4,) by track id, of the last run
        self._rest: dict[int, NDArray[np.float32]] = {}  # where each of them was when they last moved
        self._is_settled = True

    def see(self, time_s: float, moved: NDArray[np.float32], is_sure: bool) -> None:
        """Note what moves in the next frame."""
        before_s, interval_s = self._seen_s, time_s - self._seen_s
        is_gap = self._activity != "empty" and interval_s > max(_GAP_S, _GAP * self._interval_s)
        self._seen_s, self._interval_s = time_s, interval_s
        wakes = self._wakes(moved) or not is_sure or is_gap
        if wakes or len(moved):
            self._motion_s = time_s
        if wakes or not self._is_settled:
            self._awake_s = time_s
        if not wakes and len(moved):
            if self._unexplained_s < before_s:
                self._unexplained_from_s = time_s
            self._unexplained_s = time_s

    def looked(self, tracks: Tracks, is_settled: bool) -> None:
        """Note a run of the detector."""
        self._is_settled = is_settled
        self._people = dict(zip(tracks.track_ids.tolist(), tracks.xyxy, strict=True))
        if self._people:
            self._people_s = tracks.frame.time_s
        if self._rest.keys() != self._people.keys() or any(map(_has_moved, self._rest.values(), self._now_at_rest())):
            self._awake_s = max(self._awake_s, tracks.frame.time_s)
            self._rest = self._people

    @property
    def has_people(self) -> bool:
        """Whether there are people, or may be."""
        return bool(self._people) or not self._is_settled

    def decide(self, config: ActivityConfig, moved: NDArray[np.float32]) -> Verdict:
        """Decide about the frame that was seen last."""
        time_s = self._seen_s
        is_awake = time_s - self._awake_s < HOLD_S
        is_quiet = time_s - max(self._motion_s, self._people_s) >= config.empty_s
        before, self._activity = self._activity, "active"
        if not is_awake and self._people:
            self._activity = "still"
        elif not is_awake and is_quiet:
            self._activity = "empty"
        if self._activity == "active" and before != "active":
            self._woke_s = time_s
        enters = self._activity != "empty" or self._entered_s < self._due_before(min(SIGN_S, config.look_s))
        if enters:
            self._entered_s = time_s
        has_unexplained = self._activity == "still" and self._unexplained_s == time_s
        motion = Motion(self._activity, moved, self._look_before_s(config), has_unexplained=has_unexplained)
        return Verdict(motion, enters)

    def _look_before_s(self, config: ActivityConfig) -> float:
        match self._activity:
            case "active":
                return self._woke_s
            case "still":
                return max(self._due_before(SIGN_S), self._unexplained_from_s)
            case "empty":
                # Looks need a frame that enters, and the next one may come after this time.
                step_s = max(self._interval_s, min(SIGN_S, config.look_s))
                return self._seen_s - max(0.0, config.look_s - step_s) - _ROUNDING_S

    def _due_before(self, limit_s: float) -> float:
        """What is due every `limit_s` seconds is due now if it last happened before the returned time."""
        return self._seen_s - max(0.0, limit_s - max(_EARLY_S, self._interval_s)) - _ROUNDING_S

    def _now_at_rest(self) -> list[NDArray[np.float32]]:
        return [self._people[track_id] for track_id in self._rest]

    def _wakes(self, moved: NDArray[np.float32]) -> bool:
        """Whether one of these areas (M, 4) is near a person; without people, whether there are any."""
        if not self._people or not len(moved):
            return bool(len(moved))
        people = np.stack(list(self._people.values()))
        sides = (people[:, 2:] - people[:, :2]).max(1)[:, None] * _NEAR
        low, high = people[:, :2] - sides, people[:, 2:] + sides
        touches = (moved[:, None, 2:] >= low) & (moved[:, None, :2] <= high)
        return bool(touches.all(2).any())


def _has_moved(before: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
    """Whether a person's box (4,) has moved by more than the box of a still person jitters."""
    longer = (before[2:] - before[:2]).max()
    return bool(np.abs(now - before).max() > max(_MOVED * longer, _MOVED_PX))
