"""The state and the counters of one camera.

Not part of the data path. The capture thread, the door and the publisher write it; the publisher (StatusMessage), the
run report, the summary and the progress read it. At the end of every run captured = dropped + published.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Literal, NamedTuple

import numpy as np

from realtime.errors import SourceReason
from realtime.observe.metrics import Histogram
from realtime.types import Activity

State = Literal["starting", "live", "reconnecting", "ended", "failed"]

REMOVED: tuple[State, str] = ("ended", "removed")
STOPPED: tuple[State, str] = ("ended", "stopped")

# A StatusMessage reports the latencies and the frame rate of this many last seconds.
RECENT_S = 5.0


class Counts(NamedTuple):
    """The frames of one camera, counted at the same moment.

    Attributes:
        captured: frames that the source delivered, good or not.
        published: frames whose poses were published.
        drops: frames that will never be published, by cause.
    """

    captured: int
    published: int
    drops: dict[str, int]

    @property
    def dropped(self) -> int:
        """Number of captured frames that will never be published."""
        return sum(self.drops.values())


class CameraStatus:
    """The state and counters of one camera. All methods may be called from any thread.

    >>> status = CameraStatus("cam0")
    >>> status.set_state("live")
    >>> status.set_state("reconnecting", "timed out")
    >>> status.state, dict(status.losses)
    (('reconnecting', 'timed out'), {'timed out': 1})

    Attributes:
        camera: the camera's name.
        captured: frames that the source delivered so far, good or not.
        published: frames whose poses were published so far.
        losses: how many times the camera was lost while it was live, by reason.
        source_fps: frames per second of the source; None if unknown.
        size: width and height of its frames in pixels; None before the first one.
        activity: how much happens in front of the camera; None without a motion gate.
        people: number of people in the newest published frame; None before the first one.
        ends: whether the source ends by itself, as a file does; None until it is opened.
        length: number of frames that the source declares, or `max_frames` if that is less; None if unknown.
        is_down: whether it was lost, or could not be opened, and has not been live since.
        lowered: configuration keys that were changed to compute less, as "key=value".
        latency: the latencies of the whole run.
    """

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self._lock = threading.Lock()
        self._state: tuple[State, str | None] = ("starting", None)
        self.is_down = False
        self._since_ns = time.time_ns()
        self._end: tuple[State, str | None] | None = None  # the state in which the camera will end, or has ended
        self._heard_s = 0.0
        self._silence_limit_s: float | None = None
        self.source_fps: float | None = None
        self.size: tuple[int, int] | None = None
        self.activity: Activity | None = None
        self.people: int | None = None
        self.ends: bool | None = None
        self.length: int | None = None
        self._before = 0  # frames captured before this source was opened: the camera had another one
        self.lowered: list[str] = []
        self.captured = 0
        self.published = 0
        self.losses: Counter[str] = Counter()
        self._finished = False
        self._stopping_before: int | None = None  # frames dropped as "stopping" before the run was stopped
        self._drops: Counter[str] = Counter()
        self.latency = Histogram()
        self._recent: deque[tuple[float, float]] = deque()  # (monotonic s, latency ms) of the last RECENT_S
        self._first_published_s: float | None = None
        self._last_published_s = 0.0
        self._newest_s: float | None = None  # when the newest published frame was captured, monotonic

    @property
    def state(self) -> tuple[State, str | None]:
        """The state and its reason.

        A camera that ends or fails keeps its state until its last frame is published or dropped.
        """
        return self._state

    def phase(self) -> tuple[State, str | None, int]:
        """The state, its reason, and the Unix time (ns) at which the state began, whatever its reason was then."""
        with self._lock:
            return *self._state, self._since_ns

    @property
    def has_failed(self) -> bool:
        """Whether the camera failed, even if its frames are still in the pipeline."""
        return self._end is not None and self._end[0] == "failed"

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
            if self._end is None and self._state[0] in ("starting", "reconnecting"):
                self._become(self._state[0], reason)

    def restart(self) -> None:
        """Start again, with other options or after a removal. The counters continue."""
        with self._lock:
            self._end = None
            self._since_ns = time.time_ns()
            self._become("starting", None)

    def remove(self) -> None:
        """Mark the camera as removed, whatever its state. Only `restart` changes this state again."""
        with self._lock:
            self._end = REMOVED
            self._settle()

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
            is_expected = self._end is None and self._state[0] in ("starting", "live")
            if limit_s is None or silent_s < limit_s or not is_expected:
                return False
            self._change("reconnecting", SourceReason.TIMEOUT.value)
            return True

    def _change(self, state: State, reason: str | None) -> None:
        if self._end is not None:
            return
        if state in ("ended", "failed"):
            self._end = (state, reason)
            self._settle()
            return
        if state == "reconnecting" and self._state[0] == "live":
            self.losses[reason or SourceReason.LOST.value] += 1
        self._become(state, reason)

    def _become(self, state: State, reason: str | None) -> None:
        if state != self._state[0]:
            self._since_ns = time.time_ns()
        self.is_down = state in ("reconnecting", "failed") or (self.is_down and state == "starting")
        self._state = (state, reason)

    def _settle(self) -> None:
        """Enter the last state if no frame is left in the pipeline.

        A source that ended is `stopped` too if the stop of the run cost it frames that it had delivered.
        """
        if self._end is None or self._state == self._end or self.unfinished() > 0:
            return
        if self._end == ("ended", None) and self._stopping_before is not None:
            self._end = STOPPED if self._counts().drops.get("stopping", 0) > self._stopping_before else self._end
        self._become(*self._end)

    def describe(self, size: tuple[int, int], fps: float | None) -> None:
        """Set what the source reports: width and height in pixels, and the nominal frames per second or None."""
        self.size, self.source_fps = size, fps

    def begin(self, *, ends: bool, length: int | None) -> None:
        """Set whether the source that was opened ends by itself, and its number of frames; None if unknown."""
        with self._lock:
            self.ends, self.length, self._before = ends, length, self.captured

    def done(self) -> int:
        """Number of frames of this source that were published or dropped, since it was opened first."""
        with self._lock:
            return max(0, self.published + self._drops.total() - self._before)

    def age_s(self) -> float | None:
        """How long ago the newest published frame was captured, in seconds; None before the first one."""
        return None if self._newest_s is None else time.monotonic() - self._newest_s

    def count_captured(self) -> None:
        """Count a frame that the source delivered, good or not."""
        with self._lock:
            self.captured += 1

    def count_dropped(self, cause: str) -> None:
        """Count a captured frame that will not be published."""
        with self._lock:
            self._drops[cause] += 1
            self._settle()

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
            self._newest_s = now - latency_ms / 1e3
            self._settle()

    def stop(self) -> None:
        """Give `finish` the reason `stopped`: the run was stopped, by a signal or because its window was closed."""
        with self._lock:
            self._stopping_before = self._drops["stopping"]

    def finish(self) -> None:
        """Set the state `ended`, unless the camera has ended or failed: the run is over.

        From now on, frames that are still unfinished count as dropped: `stopping`.
        """
        with self._lock:
            self._finished = True
            self._change(*(("ended", None) if self._stopping_before is None else STOPPED))
            self._settle()

    def unfinished(self) -> int:
        """Number of captured frames that are neither published nor dropped yet."""
        return 0 if self._finished else self.captured - self.published - self._drops.total()

    def counts(self) -> Counts:
        """The frames so far, counted at the same moment."""
        with self._lock:
            return self._counts()

    def _counts(self) -> Counts:
        drops = Counter(self._drops)
        if self._finished and (rest := self.captured - self.published - drops.total()) > 0:
            drops["stopping"] += rest
        return Counts(self.captured, self.published, dict(drops))

    @property
    def drops(self) -> Counter[str]:
        """Number of captured frames that will never be published, by cause."""
        return Counter(self.counts().drops)

    @property
    def dropped(self) -> int:
        """Number of captured frames that will never be published."""
        return self.counts().dropped

    @property
    def reconnects(self) -> int:
        """How many times the camera was lost while it was live."""
        return self.losses.total()

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
