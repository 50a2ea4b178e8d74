"""How long to wait before a lost camera is tried again.

Used by capture.camera while a network camera or a webcam can't be reached.
"""

from __future__ import annotations

import random

from realtime.errors import SourceReason

FIRST_S = 0.25
LONGEST_S = 5.0
# Random variation of each wait, as a fraction, so that cameras lost together don't all reconnect at the same moment.
JITTER = 0.2
# Looking for a webcam on this machine costs nothing, so a short wait finds it soon after it is plugged in again.
LONGEST_WEBCAM_S = 2.0
WEBCAM = frozenset({SourceReason.DEVICE, SourceReason.MISSING, SourceReason.PERMISSION})
# A wrong password or path, and the like, stay wrong, and cameras lock an account after a few failed logins. Pictures
# that are too large or make a library fail will most likely come again.
HOPELESS_S = 30.0
HOPELESS = frozenset(
    {
        SourceReason.AUTH,
        SourceReason.NOT_FOUND,
        SourceReason.MODE,
        SourceReason.TRANSPORT,
        SourceReason.CERTIFICATE,
        SourceReason.REDIRECT,
        SourceReason.TOO_LARGE,
        SourceReason.INTERNAL,
    }
)


class Backoff:
    """Waits that double from FIRST_S to LONGEST_S, each varied at random by up to JITTER.

    >>> backoff = Backoff()
    >>> waits_s = [backoff.wait_s(SourceReason.REFUSED) for _ in range(6)]  # about 0.25, 0.5, 1, 2, 4 and 5 s
    >>> 0.2 <= waits_s[0] <= 0.3 and 4.0 <= waits_s[5] <= 6.0
    True
    >>> backoff.reset()
    >>> 0.2 <= backoff.wait_s(SourceReason.LOST) <= 0.3
    True
    """

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def wait_s(self, reason: SourceReason, tried_s: float = 0.0) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            reason: why the camera could not be opened, or why it was lost.
            tried_s: how long (s) the attempt took or the source stayed open. It counts as waiting, so a host whose
                attempt timed out is tried again after FIRST_S. Ignored for the reasons in HOPELESS.
        """
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, hides nothing
        if reason in HOPELESS:
            return HOPELESS_S * jitter
        longest_s = LONGEST_WEBCAM_S if reason in WEBCAM else LONGEST_S
        wait_s, self._next_s = min(self._next_s, longest_s), min(2 * self._next_s, LONGEST_S)
        return max(FIRST_S, wait_s - tried_s) * jitter

    def reset(self) -> None:
        """Start again with the shortest wait, because the camera was reachable for a while."""
        self._next_s = FIRST_S
