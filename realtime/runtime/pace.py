"""The pace: decides when the next live frame should enter, so that it does not age in front of a slow stage.

The loop of each stage reports the start and the end of every call; the pool reports only the end.
The door receives the resulting entry time. A frame that waits at the door can be replaced by a
newer one, but a frame that waits inside cannot. Therefore a frame enters late enough to find the
slow stage free when it gets there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from realtime.runtime.gates import Gate

# Weight of the latest call in the running estimate of a stage's time.
WEIGHT = 0.2
# A stage is assumed to be busy for this share of its estimated time: a short wait inside is better
# than an idle stage.
SURE = 0.95


class Pace:
    """Estimates how long each stage takes, and derives when the next frame may enter.

    Args:
        stages: names of the stages in the order in which a frame passes them.
        gate: receives the moment (monotonic seconds) from which the next frame may enter; a moment
            in the past means now.
    """

    def __init__(self, stages: Sequence[str], gate: Gate) -> None:
        self._stages = list(stages)
        self._gate = gate
        self._usual_s = dict.fromkeys(stages, 0.0)
        self._entry_s = dict.fromkeys(stages, 0.0)  # for a busy stage: when a frame for its next call may enter
        self._lock = threading.Lock()

    def began(self, stage: str) -> None:
        """Record that a call of this stage starts now."""
        with self._lock:
            before = self._stages[: self._stages.index(stage)]
            way_s = sum(self._usual_s[name] for name in before)
            self._entry_s[stage] = time.monotonic() + SURE * self._usual_s[stage] - way_s
            self._gate.not_before(max(self._entry_s.values()))

    def ended(self, stage: str, seconds: float) -> None:
        """Record that a call of this stage has ended after `seconds`."""
        with self._lock:
            usual_s = self._usual_s[stage] or seconds
            self._usual_s[stage] = usual_s + WEIGHT * (seconds - usual_s)
            self._entry_s[stage] = 0.0
            self._gate.not_before(max(self._entry_s.values()))
