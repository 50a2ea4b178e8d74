"""How long to wait before a lost camera is tried again.

Used by capture.camera while a network camera or a webcam is away.
"""

from __future__ import annotations

import random

from realtime.errors import SourceReason

FIRST_S = 0.25
LONGEST_S = 5.0
# So that cameras which were lost together don't all come back in the same moment.
JITTER = 0.2
# A webcam is looked for on this machine, which costs nothing: it is there again soon after it was plugged in.
LONGEST_WEBCAM_S = 2.0
WEBCAM = frozenset({SourceReason.DEVICE, SourceReason.MISSING, SourceReason.PERMISSION})
# A wrong password or path doesn't become right by itself, and cameras lock an account after a few tries.
HOPELESS_S = 30.0
HOPELESS = frozenset({SourceReason.AUTH, SourceReason.NOT_FOUND, SourceReason.MODE})


class Backoff:
    """Waits that double from FIRST_S to LONGEST_S, each give or take JITTER."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def wait_s(self, reason: SourceReason, tried_s: float = 0.0) -> float:
        """Seconds to wait after this fault.

        Args:
            reason: what it was.
            tried_s: how long the attempt took, which counts as waiting: a silent host is asked again at once.
        """
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, hides nothing
        if reason in HOPELESS:
            return HOPELESS_S * jitter
        longest_s = LONGEST_WEBCAM_S if reason in WEBCAM else LONGEST_S
        wait_s, self._next_s = min(self._next_s, longest_s), min(2 * self._next_s, LONGEST_S)
        return max(FIRST_S, wait_s - tried_s) * jitter

    def reset(self) -> None:
        """The camera was well for a while: begin with the shortest wait."""
        self._next_s = FIRST_S
