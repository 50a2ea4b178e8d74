"""When to try again after writing has failed. Time is an argument.

Used by publish.record for a run that continues without its recording.
"""

from __future__ import annotations

# A full disk rarely has room again within a second, and is tried less and less often while it stays full.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 10.0


class Outage:
    """The time from a first failure until writing works again, with waits that double between the attempts.

    >>> outage = Outage()
    >>> outage.may_try(now_s=5.0), outage.fail(now_s=5.0), outage.may_try(now_s=5.5), outage.may_try(now_s=6.0)
    (True, True, False, True)
    >>> outage.fail(now_s=6.0), outage.may_try(now_s=7.5), outage.may_try(now_s=8.0)
    (False, False, True)
    >>> outage.succeed(now_s=8.0), outage.succeed(now_s=8.1)
    (True, False)

    Attributes:
        is_on: whether the last attempt failed.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._wait_s = FIRST_WAIT_S
        self._next_s = 0.0
        self._worked_since_s = 0.0

    def may_try(self, now_s: float) -> bool:
        """Whether to try to write at this monotonic time (s)."""
        return not self.is_on or now_s >= self._next_s

    def fail(self, now_s: float) -> bool:
        """Record an attempt that failed. Return whether an outage begins with it."""
        begins = not self.is_on
        # Otherwise the wait stays long, so that a disk that fails again and again doesn't fill the log.
        if begins and now_s - self._worked_since_s >= LONGEST_WAIT_S:
            self._wait_s = FIRST_WAIT_S
        self._next_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        self.is_on = True
        return begins

    def succeed(self, now_s: float) -> bool:
        """Record an attempt that worked. Return whether an outage ends with it."""
        ends, self.is_on = self.is_on, False
        if ends:
            self._worked_since_s = now_s
        return ends
