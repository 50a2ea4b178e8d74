# SPDX-License-Identifier: MIT
"""Slows down guesses of the token. Used by `gate`. Time is an argument."""

from __future__ import annotations

from collections import deque

from realtime.wire.reading import remember

# After this many wrong tokens within WITHIN_S seconds, each further one of the same address takes SLOW_S seconds.
FREE = 5
WITHIN_S = 60.0
SLOW_S = 1.0
# Attempts of one address that may wait at the same time, and addresses that are remembered.
MOST_WAITING = 4
MOST_ADDRESSES = 1000


class Throttle:
    """Counts wrong tokens by address, so that one stranger can't lock all others out.

    >>> throttle = Throttle()
    >>> for _ in range(5):
    ...     throttle.failed("10.0.0.9", now_s=0.0)
    >>> throttle.delay_s("10.0.0.9", now_s=1.0), throttle.delay_s("10.0.0.5", now_s=1.0)
    (1.0, 0.0)
    """

    def __init__(self) -> None:
        self._failed_s: dict[str, deque[float]] = {}
        self._waiting: dict[str, int] = {}

    def delay_s(self, address: str, now_s: float) -> float:
        """Return how long (s) the next attempt of an address has to wait before it is checked."""
        failed_s = self._failed_s.get(address)
        is_slow = failed_s is not None and len(failed_s) == FREE and now_s - failed_s[0] < WITHIN_S
        return SLOW_S if is_slow else 0.0

    def failed(self, address: str, now_s: float) -> None:
        """Count a wrong token."""
        failed_s = self._failed_s.get(address) or deque(maxlen=FREE)
        failed_s.append(now_s)
        remember(self._failed_s, address, failed_s, MOST_ADDRESSES)

    def may_wait(self, address: str) -> bool:
        """Whether one more attempt of an address may wait. If it may, it is counted until `waited`."""
        if self._waiting.get(address, 0) >= MOST_WAITING:
            return False
        self._waiting[address] = self._waiting.get(address, 0) + 1
        return True

    def waited(self, address: str) -> None:
        """Count an attempt that no longer waits."""
        self._waiting[address] -= 1
        if not self._waiting[address]:
            del self._waiting[address]
