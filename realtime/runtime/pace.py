"""When the next live frame should enter, so that it doesn't grow old in front of a slow stage.

The loop of each stage tells it when a call begins and when it ends, the pool only the latter; it tells the door.
A frame that waits at the door is replaced by a newer one, a frame that waits inside is not: it enters when the slow
stage will be free by the time it gets there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

# How much a call's time counts for the estimate of the next one's.
WEIGHT = 0.2
# Part of its estimated time that a stage is busy for sure: better that a frame waits a little than that a stage idles.
SURE = 0.95


class Pace:
    """Estimates of how long the stages take, and what follows for the door.

    Args:
        stages: names in the order in which a frame passes them.
        not_before: told, in monotonic seconds, when the next frame may enter; a time that has passed is "now".
    """

    def __init__(self, stages: Sequence[str], not_before: Callable[[float], None]) -> None:
        self._stages = list(stages)
        self._not_before = not_before
        self._usual_s = dict.fromkeys(stages, 0.0)
        self._entry_s = dict.fromkeys(stages, 0.0)  # for a stage that is busy: when a frame for its next call enters
        self._lock = threading.Lock()

    def began(self, stage: str) -> None:
        """A call of this stage begins now."""
        with self._lock:
            before = self._stages[: self._stages.index(stage)]
            way_s = sum(self._usual_s[name] for name in before)
            self._entry_s[stage] = time.monotonic() + SURE * self._usual_s[stage] - way_s
            self._not_before(max(self._entry_s.values()))

    def ended(self, stage: str, seconds: float) -> None:
        """The call has ended, after so many seconds."""
        with self._lock:
            usual_s = self._usual_s[stage] or seconds
            self._usual_s[stage] = usual_s + WEIGHT * (seconds - usual_s)
            self._entry_s[stage] = 0.0
            self._not_before(max(self._entry_s.values()))
