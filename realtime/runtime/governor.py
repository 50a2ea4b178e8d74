"""The latency promise: less is computed while frames are published later than `latency.target_ms`, then more again.

Run by realtime.pipeline about once a second; it sets what the stages look at between two frames. It goes down the steps
one by one while the slowest camera's p95 is over the target, and up again when there is room. A step up that had to be
taken back is tried again later, and later each time: it doesn't swing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realtime.config import Means

# There is room below this part of the target: a step down gains a third or so, and what it gained must not be "room".
_ROOM = 0.6
# So long a step is given until its effect is looked at: the ages are those of the last 5 s.
_SETTLE_S = 6.0
# So long there must be room before a step up is tried; doubled when it had to be taken back, up to the longest. It
# holds when the target was kept for three times as long: ages may rise slowly.
_PATIENCE_S, _LONGEST_PATIENCE_S = 10.0, 600.0
_HOLDS_AFTER = 3
_EVERY = 2, 3
_PEOPLE = 6, 3
_SIZE = 0.75, 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """What is computed.

    Attributes:
        every: the detector looks at each n-th frame.
        max_people: most people of a frame whose pose is measured; None: everybody.
        size: longer side of the detector's input in pixels.
    """

    every: int
    max_people: int | None
    size: int


def ladder(full: Effort, means: Sequence[Means]) -> list[Effort]:
    """The steps down from what the configuration asks for: each of the means a little, then each a little more.

    Args:
        full: the configuration's.
        means: what may be lowered, the one that hurts least first.
    """
    steps = [full]
    for level in range(2):
        for mean in means:
            last = steps[-1]
            people = _PEOPLE[level] if last.max_people is None else min(last.max_people, _PEOPLE[level])
            step = Effort(
                max(last.every, _EVERY[level]) if mean == "cadence" else last.every,
                people if mean == "people" else last.max_people,
                max(32, round(full.size * _SIZE[level] / 32) * 32) if mean == "size" else last.size,
            )
            if step != last:
                steps.append(step)
    return steps


class Governor:
    """Where on the ladder the run is.

    Args:
        steps: see `ladder`.
        target_ms: no frame should be published later than this after its capture.
    """

    def __init__(self, steps: Sequence[Effort], target_ms: float) -> None:
        self._steps, self._target_ms = list(steps), target_ms
        self._level = 0
        self._settled_s: float | None = None  # nothing is decided before; None until the first age
        self._room_since_s: float | None = None
        self._patience_s = _PATIENCE_S
        self._went_up_s: float | None = None  # when a step up was tried that isn't known to hold

    @property
    def effort(self) -> Effort:
        """What is to be computed now."""
        return self._steps[self._level]

    @property
    def lowered(self) -> list[str]:
        """The keys that are lower than configured, with their values: "detector.every=2"."""
        full, now = self._steps[0], self.effort
        keys = {
            "detector.every": (full.every, now.every),
            "pose.max_people": (full.max_people, now.max_people),
            "detector.size": (full.size, now.size),
        }
        return [f"{key}={value}" for key, (configured, value) in keys.items() if value != configured]

    def update(self, now_s: float, p95_ms: float) -> bool:
        """Look at the ages, and go a step down or up where that is due.

        Args:
            now_s: monotonic seconds.
            p95_ms: of the last 5 seconds, of the slowest live camera; 0 where nothing was published.

        Returns:
            Whether the effort is another one now.
        """
        if p95_ms <= 0:
            return False
        if self._settled_s is None:
            self._settled_s = now_s + _SETTLE_S
        if now_s < self._settled_s:
            return False
        if p95_ms > self._target_ms:
            self._room_since_s = None
            if self._went_up_s is not None:
                self._patience_s = min(2 * self._patience_s, _LONGEST_PATIENCE_S)
            return self._move(now_s, 1)
        if self._went_up_s is not None and now_s - self._went_up_s >= _HOLDS_AFTER * self._patience_s:
            self._went_up_s, self._patience_s = None, _PATIENCE_S
        if p95_ms > _ROOM * self._target_ms or self._level == 0:
            self._room_since_s = None
            return False
        if self._room_since_s is None:
            self._room_since_s = now_s
        return now_s - self._room_since_s >= self._patience_s and self._move(now_s, -1)

    def in_force(self, now_s: float) -> None:
        """What was asked for is computed from now on: only from here on do the ages tell what it is good for."""
        self._settled_s = now_s + _SETTLE_S

    def _move(self, now_s: float, by: int) -> bool:
        level = min(max(self._level + by, 0), len(self._steps) - 1)
        if level == self._level:
            return False
        self._level, self._settled_s, self._went_up_s = level, now_s + _SETTLE_S, now_s if by < 0 else None
        self._room_since_s = None
        return True
