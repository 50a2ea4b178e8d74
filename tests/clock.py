"""A clock that a test sets by hand, in place of the `time` module of the code under test."""


class Clock:
    """Shows `now_s` as the monotonic and as the Unix time.

    Put it in with `monkeypatch.setattr(pace, "time", clock)`, and let time pass with `clock.now_s += 0.05`.
    """

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    time, time_ns = monotonic, monotonic_ns
