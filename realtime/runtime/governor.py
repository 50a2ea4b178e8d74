"""The governor: lowers the computing effort while latency exceeds `latency.target_ms`, and raises it again afterwards.

Called by realtime.pipeline about once a second; the effort that it chooses applies to the detect and
pose stages. It steps down while the p95 latency of the slowest live camera is over the target, and
up again when latency is low. A step up that had to be reverted is retried after a longer wait each
time, so the effort does not oscillate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from realtime.config import Lever

# A step up needs latency below this share of the target. A step down cuts latency by about a third,
# and this gain alone must not trigger a step up.
_ROOM = 0.6
# A step gets this long to take effect, because latency is measured over the last 5 s.
_SETTLE_S = 6.0
# Latency must stay low for this long before a step up. The wait doubles each time a step up has to
# be reverted, up to the longest. It is reset once the target has been met for `_HOLDS_AFTER` times
# the wait after a step up; less would not prove that the step holds, because latency may rise slowly.
_PATIENCE_S, _LONGEST_PATIENCE_S = 10.0, 600.0
_HOLDS_AFTER = 3
# The value of each setting after its first and second reduction; size as a share of the configured one.
_EVERY = 2, 3
_PEOPLE = 6, 3
_SIZE = 0.75, 0.5


@dataclass(frozen=True, slots=True)
class Effort:
    """How much the detector and the pose model compute.

    Attributes:
        every: the detector runs on every Nth frame.
        max_people: the pose model runs on at most this many people per frame; None: no limit.
        size: longer side of the detector's input in pixels.
    """

    every: int
    max_people: int | None
    size: int


def ladder(full: Effort, levers: Sequence[Lever]) -> list[Effort]:
    """Return the steps down from the configured effort: each setting is reduced a little, then each a little more.

    Args:
        full: the configured effort, which is the first step.
        levers: the settings that may be reduced, the least harmful first.

    Example:
        >>> [effort.every for effort in ladder(Effort(every=1, max_people=None, size=640), ["cadence"])]
        [1, 2, 3]
    """
    steps = [full]
    for level in range(2):
        for lever in levers:
            last = steps[-1]
            people = _PEOPLE[level] if last.max_people is None else min(last.max_people, _PEOPLE[level])
            step = Effort(
                max(last.every, _EVERY[level]) if lever == "cadence" else last.every,
                people if lever == "people" else last.max_people,
                max(32, round(full.size * _SIZE[level] / 32) * 32) if lever == "size" else last.size,
            )
            if step != last:
                steps.append(step)
    return steps


class Governor:
    """Chooses the step of the ladder that meets the latency target.

    Args:
        steps: the efforts to choose from, from the configured one down, as returned by `ladder`.
        target_ms: frames should be published within this time after their capture.

    Example:
        >>> governor = Governor([Effort(1, None, 640), Effort(2, None, 640)], target_ms=100)
        >>> governor.update(now_s=0, p95_ms=150)  # the first latency starts the settling time
        False
        >>> governor.update(now_s=6, p95_ms=150)
        True
        >>> governor.lowered
        ['detector.every=2']
    """

    def __init__(self, steps: Sequence[Effort], target_ms: float) -> None:
        self._steps, self._target_ms = list(steps), target_ms
        self._level = 0
        self._settled_s: float | None = None  # no decision before this; None until the first latency
        self._room_since_s: float | None = None
        self._patience_s = _PATIENCE_S
        self._went_up_s: float | None = None  # time of the last step up, until it is known to hold

    @property
    def effort(self) -> Effort:
        """The effort to use now."""
        return self._steps[self._level]

    @property
    def lowered(self) -> list[str]:
        """The reduced keys with their current values: "detector.every=2"."""
        full, now = self._steps[0], self.effort
        keys = {
            "detector.every": (full.every, now.every),
            "pose.max_people": (full.max_people, now.max_people),
            "detector.size": (full.size, now.size),
        }
        return [f"{key}={value}" for key, (configured, value) in keys.items() if value != configured]

    def update(self, now_s: float, p95_ms: float) -> bool:
        """Compare the latency with the target and take a step down or up if one is due.

        Args:
            now_s: monotonic seconds.
            p95_ms: p95 latency of the slowest active camera over the last 5 s; 0 if there is none, or it published no
                frame.

        Returns:
            Whether the effort has changed.
        """
        if p95_ms <= 0:
            self._room_since_s = None  # a machine without work is no proof that there is room
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
        """Record that the new effort is in use, and start the settling time: earlier latencies do not reflect it."""
        self._settled_s = now_s + _SETTLE_S

    def _move(self, now_s: float, by: int) -> bool:
        level = min(max(self._level + by, 0), len(self._steps) - 1)
        if level == self._level:
            return False
        self._level, self._settled_s, self._went_up_s = level, now_s + _SETTLE_S, now_s if by < 0 else None
        self._room_since_s = None
        return True
