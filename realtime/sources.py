"""Cameras whose frames the caller's thread takes one by one: capture without a pipeline.

Used by realtime.tracker for `track`. Files are lossless; of a live camera, the newest frame is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Generator

from realtime.capture.fleet import Fleet
from realtime.capture.kind import check_pipes
from realtime.capture.open import check_source
from realtime.config import AppConfig
from realtime.runtime.activity import Activities
from realtime.runtime.channel import Closed
from realtime.runtime.crew import Crew
from realtime.runtime.door import Door
from realtime.types import Frame

log = logging.getLogger(__name__)

# How often a wait for a frame is interrupted to look for errors and for cameras that are silent.
_TICK_S = 0.5
# Threads that are still alive after this long are abandoned, because a driver holds them.
_JOIN_S = 2.0


def check_sources(config: AppConfig) -> None:
    """Check the sources of a run before models are loaded.

    Raises:
        ConfigError: two cameras read the same pipe.
        SourceError: a file can't be opened.
    """
    check_pipes(config.cameras, loop=config.loop)
    for camera in config.cameras:
        check_source(camera)


class Sources:
    """The cameras of one run.

    Args:
        config: the cameras, and the keys that apply to all of them.

    Attributes:
        activities: decides which frames of a live camera enter (`activity.mode`).
    """

    def __init__(self, config: AppConfig) -> None:
        self.names = [camera.name for camera in config.cameras]
        self.activities = Activities(config.activity)
        self._crew = Crew()
        self._door = Door(
            self.names,
            frames_in_flight=1,
            max_age_s=config.latency.max_age_ms / 1e3,
            on_drop=lambda camera, cause: self._fleet.status[camera].count_dropped(cause),
            one_at_a_time=True,
        )
        self._fleet = Fleet(config, self._crew, self._door, activities=self.activities)

    def frames(self) -> Generator[Frame, None, None]:
        """Start the cameras and yield their frames until the end, in turns. Afterwards no thread is left.

        Raises:
            SourceError: a source can't be opened, or (TruncatedError) a file ended early or is damaged.
            ConfigError: an option of a camera is not possible.
        """
        try:
            self._fleet.start()
            while not self._crew.failed.is_set():
                for frame in self._door.take(_TICK_S):
                    yield frame
                    self._door.leave(frame.camera)
                self._look_after()
        except Closed:  # all cameras have ended, or `stop` was called
            pass
        finally:
            self.stop()
        if self._crew.failure is not None:
            raise self._crew.failure
        if self._fleet.truncated is not None:
            raise self._fleet.truncated

    def stop(self) -> None:
        """End the cameras and join their threads. May be called from any thread, and again."""
        self._fleet.stop()
        self._door.stop()
        if stuck := self._crew.join(_JOIN_S):
            log.warning("threads that did not stop: %s", ", ".join(stuck))

    def _look_after(self) -> None:
        for name, status in self._fleet.status.items():
            if status.check_silence():
                text = "%s: timed out: no frame arrives and the driver reports no error; still waiting"
                log.warning(text, name, extra={"camera": name, "state": "reconnecting", "reason": "timed out"})
