"""The state and the counters of one camera.

Not part of the data path. The capture thread, the door and the publisher write it; the publisher (StatusMessage), the
run report and the summary read it. At the end of every run captured = dropped + published.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Literal

import numpy as np

from realtime.errors import SourceReason
from realtime.observe.metrics import Histogram

State = Literal["starting", "live", "reconnecting", "ended", "failed"]

REMOVED: tuple[State, str] = ("ended", "removed")

# A StatusMessage reports the latencies and the frame rate of this many last seconds.
RECENT_S = 5.0


class CameraStatus:
    """The state and counters of one camera. All methods may be called from any thread."""

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self._lock = threading.Lock()
        self._state: tuple[State, str | None] = ("starting", None)
        self._heard_s = 0.0
        self._silence_limit_s: float | None = None
        self.source_fps: float | None = None
        self.size: tuple[int, int] | None = None
        self.lowered: list[str] = []
        self.captured = 0
        self.published = 0
        self.reconnects = 0
        self._finished = False
        self.drops: Counter[str] = Counter()
        self.latency = Histogram()
        self._recent: deque[tuple[float, float]] = deque()  # (monotonic s, latency ms) of the last RECENT_S
        self._first_published_s: float | None = None
        self._last_published_s = 0.0

    @property
    def state(self) -> tuple[State, str | None]:
        """The state and its reason.

        A camera that has ended or failed stays `live` until its last frame is published or dropped.
        """
        if self._state[0] in ("ended", "failed") and self.unfinished() > 0:
            return "live", None
        return self._state

    @property
    def has_failed(self) -> bool:
        """Whether the camera failed, even if its frames are still in the pipeline."""
        return self._state[0] == "failed"

    @property
    def is_removed(self) -> bool:
        """Whether the camera was removed and none of its frames is left in the pipeline."""
        return self.state == REMOVED

    def set_state(self, state: State, reason: str | None = None) -> None:
        """Change the state, unless the camera has ended or failed.

        The state and the reason are published, so `reason` must not contain a secret.
        """
        with self._lock:
            self._change(state, reason)

    def explain(self, reason: str) -> None:
        """Give a camera that is not live yet another reason, without a change of state."""
        with self._lock:
            if self._state[0] in ("starting", "reconnecting"):
                self._state = (self._state[0], reason)

    def restart(self) -> None:
        """Start again, with other options or after a removal. The counters continue."""
        with self._lock:
            self._state = ("starting", None)

    def remove(self) -> None:
        """Mark the camera as removed, whatever its state. Only `restart` changes this state again."""
        with self._lock:
            self._state = REMOVED

    def expect(self, silence_limit_s: float | None) -> None:
        """Expect a frame at least every `silence_limit_s` seconds from now on; None: expect nothing."""
        with self._lock:
            self._heard_s, self._silence_limit_s = time.monotonic(), silence_limit_s

    def heard(self) -> None:
        """Record that the source delivered a frame, good or not, or its end."""
        self._heard_s = time.monotonic()

    def check_silence(self) -> bool:
        """Set the state `reconnecting` if a read hangs in a driver.

        The capture thread cannot do this while it hangs. If the read returns, the next frame makes the camera live.

        Returns:
            Whether the state changed.
        """
        with self._lock:
            limit_s, silent_s = self._silence_limit_s, time.monotonic() - self._heard_s
            if limit_s is None or silent_s < limit_s or self._state[0] not in ("starting", "live"):
                return False
            self._change("reconnecting", SourceReason.TIMEOUT.value)
            return True

    def _change(self, state: State, reason: str | None) -> None:
        if self._state[0] in ("ended", "failed"):
            return
        if state == "reconnecting" and self._state[0] == "live":
            self.reconnects += 1
        self._state = (state, reason)

    def describe(self, size: tuple[int, int], fps: float | None) -> None:
        """Set what the source reports: width and height in pixels, and the nominal frames per second or None."""
        self.size, self.source_fps = size, fps

    def count_captured(self) -> None:
        """Count a frame that the source delivered, good or not."""
        with self._lock:
            self.captured += 1

    def count_dropped(self, cause: str) -> None:
        """Count a captured frame that will not be published."""
        with self._lock:
            self.drops[cause] += 1

    def count_published(self, latency_ms: float) -> None:
        """Count a published frame, with the time since its capture."""
        now = time.monotonic()
        with self._lock:
            self.published += 1
            self.latency.add(latency_ms)
            self._recent.append((now, latency_ms))
            self._forget(now)
            if self._first_published_s is None:
                self._first_published_s = now
            self._last_published_s = now

    def finish(self) -> None:
        """Set the state `ended`. From now on, captured frames that were not published count as dropped."""
        self._finished = True
        self.set_state("ended")

    def unfinished(self) -> int:
        """Number of captured frames that are neither published nor dropped yet."""
        return self.captured - self.published - self.dropped

    @property
    def dropped(self) -> int:
        """Number of captured frames that will never be published."""
        return self.captured - self.published if self._finished else sum(self.drops.values())

    def fps(self) -> float:
        """Frames published per second over the whole run."""
        if self._first_published_s is None or self._last_published_s <= self._first_published_s:
            return 0.0
        return (self.published - 1) / (self._last_published_s - self._first_published_s)

    def recent(self) -> tuple[float, dict[str, float]]:
        """Frames per second and latency percentiles in ms (p50, p95, p99) of the last RECENT_S seconds."""
        with self._lock:
            self._forget(time.monotonic())
            latencies = [latency for _, latency in self._recent]
            span = self._recent[-1][0] - self._recent[0][0] if len(self._recent) > 1 else 0.0
        if not latencies:
            return 0.0, {"p50": 0.0, "p95": 0.0, "p99": 0.0}
        p50, p95, p99 = np.percentile(latencies, (50, 95, 99))
        fps = (len(latencies) - 1) / span if span > 0 else 0.0
        return fps, {"p50": float(p50), "p95": float(p95), "p99": float(p99)}

    def _forget(self, now: float) -> None:
        while self._recent and now - self._recent[0][0] > RECENT_S:
            self._recent.popleft()
