"""All cameras of a run: started together, replaced and removed while the others go on.

Used by realtime.pipeline, on its thread. Each camera has a thread of its own, which alone touches its source.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from realtime.capture.camera import Camera
from realtime.config import AppConfig, CameraConfig
from realtime.errors import SourceError, TruncatedError
from realtime.observe.status import CameraStatus
from realtime.runtime.channel import Closed
from realtime.runtime.crew import Crew
from realtime.runtime.door import Door

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Member:
    config: CameraConfig
    stop: threading.Event


class Fleet:
    """The cameras, by name.

    Args:
        config: what they are at first, and what holds for all of them.
        crew: runs their threads; an error of a camera that was there from the start ends the run.
        prepare: told of a size of picture, width and height, before the first one of it comes; by a camera's thread.

    Attributes:
        status: each camera's state and counters, also of those that were removed. A new mapping takes its place when a
            camera is added, so that any thread may go through one that it holds.
        truncated: the first file that ended before its end.
    """

    def __init__(
        self, config: AppConfig, crew: Crew, prepare: Callable[[tuple[int, int]], None] = lambda size: None
    ) -> None:
        self._config = config
        self._crew = crew
        self._prepare = prepare
        self._members: dict[str, _Member] = {}
        # Of each name the last one, and those before it that didn't end yet; also of names that were removed.
        self._threads: dict[str, list[threading.Thread]] = {}
        self._cameras: dict[str, Camera] = {}  # the last of each name that ran
        self.status: Mapping[str, CameraStatus] = {camera.name: CameraStatus(camera.name) for camera in config.cameras}
        self.truncated: TruncatedError | None = None

    def start(self, door: Door) -> None:
        """Start a thread for each. The door knows their names already."""
        self._door = door
        for config in self._config.cameras:
            self._start(config, may_end_run=True)

    def stop(self) -> None:
        """Ask all of them to end; `door.stop` frees those that wait there."""
        for member in self._members.values():
            member.stop.set()

    def reload(self, configs: Sequence[CameraConfig]) -> None:
        """Add, remove and replace cameras so that they are these; one that is the same goes on untouched.

        One that failed is tried again. What goes wrong with an added or replaced one doesn't end the run.
        """
        old, new = self._members, {config.name: config for config in configs}
        removed = [name for name in old if name not in new]
        added = [name for name in new if name not in old]
        changed = [
            name for name in new if name in old and (new[name] != old[name].config or self.status[name].has_failed)
        ]
        try:
            for name in added + changed:  # first: a run whose last camera has gone would end
                self._door.add(name)
        except Closed:
            log.warning("reload: the run is ending, nothing is changed")
            return
        for name in removed + changed:
            old[name].stop.set()
            self._door.evict(name)
        for name in removed:
            del self._members[name]
            self.status[name].remove()
        self.status = {**self.status, **{name: CameraStatus(name) for name in added if name not in self.status}}
        for name in added + changed:
            self._start(new[name], may_end_run=False)
        kinds = {"added": added, "removed": removed, "changed": changed}
        told = [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names]
        log.info("reload: %s", "; ".join([*told, f"{len(new) - len(added) - len(changed)} unchanged"]))

    def _start(self, config: CameraConfig, *, may_end_run: bool) -> None:
        stop = threading.Event()
        before = self._threads.get(config.name, [])
        self._members[config.name] = _Member(config, stop)
        new = self._crew.start(f"capture-{config.name}", partial(self._run, config, stop, before, may_end_run))
        self._threads[config.name] = [*(thread for thread in before if thread.is_alive()), new]

    def _run(
        self, config: CameraConfig, stop: threading.Event, before: Sequence[threading.Thread], may_end_run: bool
    ) -> None:
        """The body of a camera's thread. `before` are those that had the camera: a device can't be opened twice."""
        name, shared, status = config.name, self._config, self.status[config.name]
        for thread in before:
            while thread.is_alive():
                thread.join(0.05)
                if stop.is_set():
                    self._door.finish(name)
                    return
        if before:
            status.restart()
        camera = self._cameras[name] = Camera(
            config,
            realtime=shared.realtime,
            loop=shared.loop,
            max_frames=shared.max_frames,
            fail_fast=shared.fail_fast,
            door=self._door,
            status=status,
            stop=stop,
            prepare=self._prepare,
            after=self._cameras.get(name),
        )
        try:
            camera.run()
        except TruncatedError as error:  # the other cameras go on; said at the end
            log.error("%s", error)
            self.truncated = self.truncated or error
        except SourceError as error:
            if may_end_run and not stop.is_set():
                raise
            log.error("%s", error)
