# SPDX-License-Identifier: MIT
"""The state of one camera and of one pipeline. `fleet` keeps both up to date."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime import wire
from realtime.dashboard.clock import ClockDifference, Moment
from realtime.dashboard.recent import RecentPoses

# A camera without people for this long (s) is idle, if its status has no `activity`.
IDLE_S = 10.0


@dataclass(slots=True, eq=False)
class Camera:
    """One camera of one pipeline.

    Attributes:
        name: unique name, shown on the page: the camera's own, or NAME@2 if another pipeline has that.
        own_name: name on the wire, for topics.
        pipeline: endpoint of its pipeline, as configured.
        session: session of its last message.
        heard_mono_s: monotonic time (s) of its last message.
        since_unix_ms: Unix time (ms), by our clock, at which its state began.
        last_people_mono_s: monotonic time (s) at which people were last seen, or the camera was first heard.
        info: its newest info message.
        status: its newest status message.
        pose: its newest pose message.
        gone_since_unix_ms: Unix time (ms) of its last message, if it is silent; None while it is heard.
        removed_mono_s: monotonic time (s) at which it was removed from its pipeline.
        has_pictures: whether pictures of it can be had.
        clock: the difference between the publisher's clock and ours, shared by the cameras of a session.
    """

    name: str
    own_name: str
    pipeline: str
    session: str
    heard_mono_s: float
    since_unix_ms: float
    last_people_mono_s: float
    info: wire.InfoMessage | None = None
    status: wire.StatusMessage | None = None
    pose: wire.PoseMessage | None = None
    gone_since_unix_ms: float | None = None
    removed_mono_s: float | None = None
    has_pictures: bool = False
    clock: ClockDifference = field(default_factory=ClockDifference)

    @property
    def people(self) -> int:
        """Number of people in the newest frame."""
        return 0 if self.pose is None else len(self.pose.track_ids)

    @property
    def state(self) -> str:
        """State by the newest status; `starting` before the first."""
        return "starting" if self.status is None else self.status.state

    @property
    def activity(self) -> str | None:
        """Activity by the newest status; None if the pipeline doesn't report it."""
        return None if self.status is None or self.status.activity is wire.UNSET else self.status.activity

    def is_idle(self, now: Moment) -> bool:
        """Whether nothing happens before the camera, so that a still is enough."""
        if self.activity is not None:
            return self.activity == "empty"
        return now.mono_s - self.last_people_mono_s > IDLE_S

    def age_ms(self, captured_ns: int, now: Moment) -> float:
        """Return how old a frame is (ms), by the publisher's clock; never below 0.

        Args:
            captured_ns: `captured_ns` of one of its messages.
            now: the current time.
        """
        return max(0.0, now.unix_ms - captured_ns / 1e6 - self.clock.ms)


@dataclass(slots=True, eq=False)
class Pipeline:
    """One pipeline: one endpoint that was given with --connect.

    Attributes:
        endpoint: as given, or the name `local` (`Settings.pipelines`).
        heard_mono_s: monotonic time (s) of its last message; of the start of this program if there was none.
        heard_unix_ms: the same moment as Unix time (ms).
        back_mono_s: monotonic time (s) of its first message since it was last silent.
        was_heard: whether it has ever sent a message.
        gone_since_unix_ms: `heard_unix_ms` if nothing was heard for 3 s since; None otherwise.
        session: session of its last run.
        lowered: what its latency controller has lowered, by the last status.
        refused: number of messages that could not be read or were too large.
        cameras: its cameras by their own names.
        recent: its poses of the last seconds.
    """

    endpoint: str
    heard_mono_s: float
    heard_unix_ms: float
    back_mono_s: float = 0.0
    was_heard: bool = False
    gone_since_unix_ms: float | None = None
    session: str | None = None
    lowered: list[str] = field(default_factory=list)
    refused: int = 0
    cameras: dict[str, Camera] = field(default_factory=dict)
    recent: RecentPoses = field(default_factory=RecentPoses)
