"""How long a recording is active, still and empty, and what wakes it up.

Used by `command`. Times are positions in the recording (s).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from realtime.types import Activity, Motion

# Why a camera woke up: an area moved; the detector looked and found a person, though nothing moved; or the whole
# picture changed (a light, the night mode), so the gate could not tell.
Cause = Literal["motion", "look", "light"]
Box = tuple[int, int, int, int]


@dataclass
class WakeUp:
    """A moment at which an empty camera became active.

    Attributes:
        at_s: when.
        cause: why.
        xyxy: the largest area that moved, in pixels of the frame; None if none did.
        people_after_s: time until people were published (s); None if that didn't happen.
        is_over: whether the camera became empty again.
        picture: name of the file that shows it; None without one.
    """

    at_s: float
    cause: Cause
    xyxy: Box | None
    people_after_s: float | None = None
    is_over: bool = False
    picture: str | None = None

    @property
    def is_false_alarm(self) -> bool:
        """Whether the camera became empty again without any people."""
        return self.is_over and self.people_after_s is None


class WakeUps:
    """Follows the states of one recording.

    >>> from realtime.types import Motion
    >>> import numpy as np
    >>> wake_ups, moves = WakeUps(), np.float32([[10, 20, 60, 90]])
    >>> wake_ups.add(0.0, 0, Motion("empty", moves[:0], 0.0), people=0, has_found=False)
    >>> wake_ups.add(1.0, 0, Motion("active", moves, 0.0), people=0, has_found=False).xyxy
    (10, 20, 60, 90)
    >>> wake_ups.add(1.5, 0, Motion("active", moves, 0.0), people=1, has_found=True)
    >>> wake_ups.all[0].people_after_s, dict(wake_ups.seconds)
    (0.5, {'empty': 1.0, 'active': 0.5})

    Attributes:
        seconds: how long each state lasted.
        all: the wake-ups, in order.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[Activity, float] = defaultdict(float)
        self.all: list[WakeUp] = []
        self._last: tuple[float, int, Activity] | None = None  # position, epoch and state of the last picture
        self._had_found = False

    def add(self, at_s: float, epoch: int, motion: Motion, people: int, has_found: bool) -> WakeUp | None:
        """Take in the next picture.

        Args:
            at_s: its position.
            epoch: as in Frame. A new one begins as active, which is no wake-up.
            motion: the gate's verdict.
            people: number of published people.
            has_found: whether the detector ran and found a person good enough to start a track.

        Returns:
            The wake-up that this picture began, if it did.
        """
        before, self._last = self._last, (at_s, epoch, motion.activity)
        new = None
        if before is not None:
            self.seconds[before[2]] += at_s - before[0]
            is_same = before[1] == epoch
            if is_same and before[2] == "empty" and motion.activity != "empty":
                new = WakeUp(at_s, self._cause(motion), _largest(motion))
                self.all.append(new)
            elif self.all and (motion.activity == "empty" or not is_same):
                self.all[-1].is_over = True
        current = self.all[-1] if self.all else None
        if people and current is not None and not current.is_over and current.people_after_s is None:
            current.people_after_s = at_s - current.at_s
        self._had_found = has_found
        return new

    @property
    def false_alarms(self) -> int:
        """Number of wake-ups that no people followed."""
        return sum(wake_up.is_false_alarm for wake_up in self.all)

    def _cause(self, motion: Motion) -> Cause:
        if len(motion.xyxy):
            return "motion"
        return "look" if self._had_found else "light"


def _largest(motion: Motion) -> Box | None:
    if not len(motion.xyxy):
        return None
    sides = motion.xyxy[:, 2:] - motion.xyxy[:, :2]
    x1, y1, x2, y2 = motion.xyxy[int(sides.prod(axis=1).argmax())].round().astype(int).tolist()
    return x1, y1, x2, y2
