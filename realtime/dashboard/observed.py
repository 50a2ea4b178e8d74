# SPDX-License-Identifier: MIT
"""What the dashboard measures of each pose and status: durations as histograms, missed messages, new tracks.

`metrics` exports it. A publisher may be hostile: the number of different words and the size of numbers are bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from realtime import wire
from realtime.dashboard.camera import Camera
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet

# Upper bounds of the buckets (s). Ages and latencies: fine around 0.1 to 0.5 s, where a user begins to see the delay.
AGE_BOUNDS_S = (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
# One stage, from a tracker (under 1 ms) to a large pose model on a CPU (1 s).
STAGE_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0)
# A longer duration is an error of a clock. Without a limit, one such frame would spoil the sum for good.
LONGEST_S = 3600.0
# Words of docs/wire.md and the stages' names. Each further word gets a time series of its own, up to MOST_NEW_WORDS.
CAUSES = (
    "newer frame", "too old", "behind", "stored before the start", "corrupt", "undecodable", "no time stamp",
    "waiting for a key frame", "target_fps", "crop_xyxy", "mask", "stopping", "idle", "too large",
)  # fmt: skip
REASONS = (
    "missing", "not a video or an image", "no video track", "permission denied", "webcam not available",
    "connection refused", "login failed", "not found", "timed out", "host name not found", "connection lost",
    "can't be decoded", "mode not possible", "the file is truncated", "falls behind", "damaged",
    "waiting for a key frame", "server error", "redirect refused", "transport not possible", "certificate not trusted",
    "too large", "internal error", "removed", "stopped", "no capacity", "the run failed",
)  # fmt: skip
STAGES = ("detect", "track", "pose", "relink", "smooth", "publish")
MOST_NEW_WORDS = 16
LONGEST_WORD = 64
OTHER = "other"


class Words:
    """The values that a label may have: known words, and a few that are new. All others share one, `other`.

    >>> causes = Words(["corrupt"], most_new=1)
    >>> causes.word("corrupt"), causes.word("rain"), causes.word("snow"), causes.word("rain")
    ('corrupt', 'rain', 'other', 'rain')

    Args:
        known: words that are always used as they are.
        most_new: how many other words are accepted, whichever come first.
    """

    def __init__(self, known: Iterable[str], most_new: int = MOST_NEW_WORDS) -> None:
        self._words = {*known}
        self._room = most_new

    def word(self, text: str) -> str:
        """Return the text if it is one of the words, or becomes one; `other` if not."""
        if text in self._words:
            return text
        if self._room <= 0 or len(text) > LONGEST_WORD or not text.isprintable():
            return OTHER
        self._room -= 1
        self._words.add(text)
        return text


class Durations:
    """A histogram of durations with fixed buckets.

    >>> durations = Durations((0.1, 1.0))
    >>> for seconds in (0.05, 0.1, 0.5, 7.0):
    ...     durations.add(seconds)
    >>> durations.buckets(), durations.sum_s
    ([('0.1', 2.0), ('1.0', 3.0), ('+Inf', 4.0)], 7.65)

    Args:
        bounds_s: upper bounds of the buckets (s), inclusive, rising.

    Attributes:
        sum_s: sum of all durations (s).
    """

    __slots__ = ("_bounds_s", "_counts", "sum_s")

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration. A negative one, from clocks that differ, counts as 0."""
        seconds = min(max(seconds, 0.0), LONGEST_S)
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return the upper bound of each bucket and the number of durations up to it."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds_s), "+Inf"), [*self._counts], strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


@dataclass(slots=True)
class CameraCounts:
    """The measures of one camera.

    Attributes:
        age: from capture to the arrival of the pose at the dashboard, by the publisher's clock.
        latency: from capture to publishing.
        wait: sum of a frame's waits between the stages.
        missed: pose messages that were published but did not arrive.
        tracks_started: people who got a new track id.
    """

    age: Durations = field(default_factory=lambda: Durations(AGE_BOUNDS_S))
    latency: Durations = field(default_factory=lambda: Durations(AGE_BOUNDS_S))
    wait: Durations = field(default_factory=lambda: Durations(AGE_BOUNDS_S))
    missed: int = 0
    tracks_started: int = 0
    last: tuple[str, int] | None = None  # session and seq of the newest pose


class Observer:
    """Measures every pose and status of a fleet.

    Args:
        fleet: its listeners are added.
        now: the current time; another one in tests.

    Attributes:
        stages: time in each stage by the endpoint of the pipeline and the name of the stage.
        statuses: the newest status of each pipeline by its endpoint, whichever camera it is about. It holds what
            concerns the whole run.
    """

    def __init__(self, fleet: Fleet, now: Callable[[], Moment] = Moment.now) -> None:
        self._fleet = fleet
        self._now = now
        self._cameras: dict[Camera, CameraCounts] = {}
        self._stage_words = Words(STAGES)
        self.stages: dict[str, dict[str, Durations]] = {endpoint: {} for endpoint in fleet.pipelines}
        self.statuses: dict[str, wire.StatusMessage] = {}
        fleet.on_pose.append(self._pose)
        fleet.on_status.append(self._status)
        fleet.on_list.append(self._forget)

    def of(self, camera: Camera) -> CameraCounts:
        """Return the measures of a camera."""
        counts = self._cameras.get(camera)
        return CameraCounts() if counts is None else counts

    def _pose(self, camera: Camera, pose: wire.PoseMessage) -> None:
        counts = self._counts(camera)
        if counts.last is not None and counts.last[0] == pose.session:
            counts.missed += max(0, pose.seq - counts.last[1] - 1)
        counts.last = (pose.session, pose.seq)
        counts.age.add(camera.age_ms(pose.captured_ns, self._now()) / 1e3)
        counts.latency.add((pose.published_ns - pose.captured_ns) / 1e9)
        stages = self.stages[camera.pipeline]
        for stage, ms in pose.timing_ms.items():
            if stage == "wait":
                counts.wait.add(ms / 1e3)
                continue
            durations = stages.get(stage)
            if durations is None:
                durations = stages.setdefault(self._stage_words.word(stage), Durations(STAGE_BOUNDS_S))
            durations.add(ms / 1e3)

    def _status(self, camera: Camera, status: wire.StatusMessage, before: wire.StatusMessage | None) -> None:
        self._counts(camera).tracks_started += len(status.tracks_started)
        self.statuses[camera.pipeline] = status

    def _counts(self, camera: Camera) -> CameraCounts:
        counts = self._cameras.get(camera)
        if counts is None:
            counts = self._cameras[camera] = CameraCounts()
        return counts

    def _forget(self) -> None:
        """Forget the cameras that have left."""
        here = {*self._fleet.cameras.values()}
        self._cameras = {camera: counts for camera, counts in self._cameras.items() if camera in here}
