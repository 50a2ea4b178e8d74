"""A limit on usage over time. Used by publish.peers for the bytes that peers send."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Allowance:
    """A limit on usage: how much may be used at once, and how much more per second.

    Attributes:
        burst: how much may be used at once.
        per_s: how much more may be used per second.
        since_s: when it was last used; monotonic seconds.
        left: how much may be used now; negative if too much was used.

    >>> allowance = Allowance(burst=1000, per_s=10, since_s=100.0)
    >>> allowance.use(800, now_s=100.0), allowance.use(300, now_s=101.0), allowance.use(0, now_s=120.0)
    (True, False, True)
    """

    burst: int
    per_s: int
    since_s: float
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.burst

    def use(self, count: int, now_s: float) -> bool:
        """Use some of it. Return False if more was used than was left."""
        self.left = min(self.burst, self.left + self.per_s * (now_s - self.since_s)) - count
        self.since_s = now_s
        return self.left >= 0
