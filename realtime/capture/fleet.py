"""All cameras of a run: started together, then added, replaced and removed while the others keep running.

Used by realtime.pipeline, on its thread. Each camera has its own thread, and only that thread touches its source.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from realtime.capture.camera import Camera
from realtime.capture.framer import Prepare
from realtime.config import AppConfig, CameraConfig
from realtime.errors import ConfigError, SourceError, SourceReason, TruncatedError, first_line
from realtime.observe.status import CameraStatus
from realtime.runtime.activity import Activities
from realtime.runtime.channel import Closed
from realtime.runtime.crew import Crew
from realtime.runtime.door import Door

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Member:
    config: CameraConfig
    stop: threading.Event


class Fleet:
    """The cameras of a run, by name.

    Args:
        config: the initial cameras, and the options that all cameras share.
        crew: runs the threads of the cameras. An error of an initial camera ends the run.
        door: where the cameras put their frames. It already knows the names of the initial cameras.
        prepare: called by each camera on its thread, with the size of its frames (capture.camera).
        activities: the activity of all cameras; None: no camera has a motion gate.

    Attributes:
        status: the state and counters of each camera, including removed ones. Adding a camera replaces the mapping
            instead of modifying it, so any thread may iterate over a mapping that it has read.
        removed: names of removed cameras. The pipeline takes a name out once the stages have forgotten the camera.
        truncated: the error of the first file that ended early or is damaged; None if all files were complete.
    """

    def __init__(
        self,
        config: AppConfig,
        crew: Crew,
        door: Door,
        prepare: Prepare = lambda camera, size, live: None,
        activities: Activities | None = None,
    ) -> None:
        self._config = config
        self._crew = crew
        self._door = door
        self._prepare = prepare
        self._activities = activities
        self._members: dict[str, _Member] = {}
        # Threads per camera name: the current one, and any predecessors that are still ending. Kept after removal.
        self._threads: dict[str, list[threading.Thread]] = {}
        self._cameras: dict[str, Camera] = {}  # the last camera that ran under each name
        self.status: Mapping[str, CameraStatus] = {camera.name: CameraStatus(camera.name) for camera in config.cameras}
        self.removed: set[str] = set()
        self.truncated: TruncatedError | None = None
        # Held while a camera is stopped and its state is set, so that its thread doesn't restart it in between.
        self._changing = threading.Lock()

    def start(self) -> None:
        """Start one thread per camera."""
        go = threading.Event()
        go.set()
        for config in self._config.cameras:
            self._members[config.name] = self._start(config, go, may_end_run=True)

    def stop(self) -> None:
        """Ask all cameras to end. The caller must also call `door.stop`, which releases threads that wait there."""
        for member in self._members.values():
            member.stop.set()

    def reload(self, configs: Sequence[CameraConfig]) -> None:
        """Add, remove and replace cameras to match `configs`. A camera whose configuration is the same keeps running.

        A camera that failed is started again. An error of an added or replaced camera doesn't end the run. If a thread
        can't be started, or the run is ending, nothing is changed.
        """
        old, new = self._members, {config.name: config for config in configs}
        removed = [name for name in old if name not in new]
        added = [name for name in new if name not in old]
        changed = [
            name for name in new if name in old and (new[name] != old[name].config or self.status[name].has_failed)
        ]
        go = threading.Event()  # the new threads wait for this, which is set once all of them could be started
        started = self._start_all([new[name] for name in added + changed], go)
        if started is None:
            return
        # First, so that readers hear of the added cameras before the last one of the others has ended.
        self.status = {**self.status, **{name: CameraStatus(name) for name in added if name not in self.status}}
        with self._changing:
            for name in removed + changed:
                old[name].stop.set()
                self._door.evict(name)
            for name in removed:
                del self._members[name]
                self.status[name].remove()
        self._members.update(started)
        self.removed = (self.removed | set(removed)) - set(added)
        go.set()
        kinds = {"added": added, "removed": removed, "changed": changed}
        told = [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names]
        log.info("reload: %s", "; ".join([*told, f"{len(new) - len(added) - len(changed)} unchanged"]))

    def _start_all(self, configs: Sequence[CameraConfig], go: threading.Event) -> dict[str, _Member] | None:
        """Start the threads of added and replaced cameras, which wait for `go`. None if they can't be started."""
        started: dict[str, _Member] = {}
        try:
            for config in configs:
                self._door.add(config.name)  # before any removal: a run without cameras would end
                try:
                    started[config.name] = self._start(config, go, may_end_run=False)
                except BaseException:
                    self._door.finish(config.name)
                    raise
        except Closed:
            log.warning("reload: the run is ending; no camera was changed")
        except Exception as error:
            log.error("reload: can't start the threads of the cameras (%s); nothing was changed", first_line(error))
        else:
            return started
        for member in started.values():
            member.stop.set()
        go.set()
        return None

    def _start(self, config: CameraConfig, go: threading.Event, *, may_end_run: bool) -> _Member:
        member = _Member(config, threading.Event())
        before = self._threads.get(config.name, [])
        run = partial(self._run, member, go, before, may_end_run)
        new = self._crew.start(f"capture-{config.name}", run)
        self._threads[config.name] = [*(thread for thread in before if thread.is_alive()), new]
        return member

    def _run(self, member: _Member, go: threading.Event, before: Sequence[threading.Thread], may_end_run: bool) -> None:
        """Run a camera after `go`, once the previous threads of the same camera (`before`) have ended.

        A device can't be opened twice.
        """
        config, stop, shared = member.config, member.stop, self._config
        name = config.name
        go.wait()
        for thread in before:
            while thread.is_alive() and not stop.is_set():
                thread.join(0.05)
        with self._changing:
            if stop.is_set():
                self._door.finish(name)
                return
            status = self.status[name]
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
            activities=self._activities,
            after=self._cameras.get(name),
        )
        try:
            camera.run()
        except TruncatedError as error:  # the other cameras keep running; the pipeline raises it at the end
            log.error("%s", error, extra=_failed(name, error))
            self.truncated = self.truncated or error
        except (SourceError, ConfigError) as error:
            if may_end_run and not stop.is_set():
                raise
            log.error("%s", error, extra=_failed(name, error))


def _failed(camera: str, error: SourceError | ConfigError) -> dict[str, str | None]:
    """The keys of the JSON log line that says that a camera failed."""
    known = error if isinstance(error, SourceError) else SourceError("", SourceReason.MODE)
    return {"camera": camera, "state": "failed", "reason": known.reason.value, "cause": known.cause}
