# SPDX-License-Identifier: MIT
"""All cameras and pipelines that the dashboard watches: their newest messages, and the silent ones among them.

`feed` brings the messages and the time; viewers, metrics, health and the API read the state. All of them run on the
thread of the event loop, so nothing here is locked. Time is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from realtime import wire
from realtime.dashboard.camera import Camera, Pipeline
from realtime.dashboard.clock import ClockDifference, Moment
from realtime.dashboard.events import EventLog, Kind

# A publisher sends a status per camera every second, so one that is silent for this long (s) is gone.
GONE_S = 3.0
# A removed camera, and one that its pipeline no longer mentions, stays visible for this long (s).
LEAVES_S = 60.0
# If this program itself stood still for this long (s), for example because the machine slept, silence proves nothing.
ASLEEP_S = 2.0


class Fleet:
    """The state of everything that is watched.

    >>> fleet = Fleet(["tcp://127.0.0.1:5555"], Moment(mono_s=0.0, unix_ms=0.0))
    >>> fleet.cameras, fleet.pipelines["tcp://127.0.0.1:5555"].gone_since_unix_ms
    ({}, None)

    Args:
        pipelines: their names, which are their endpoints unless `Settings.pipelines` says otherwise.
        now: the current time.

    Attributes:
        cameras: by their unique names, in the order in which they appeared.
        pipelines: by name.
        log: the event log.
        on_pose: called with each pose message and its camera.
        on_picture: called with each picture message, its camera and the width class of its topic.
        on_status: called with each status message and its camera, and the status before it.
        on_camera: called when something that the page shows of a camera has changed; True if its state did.
        on_list: called when a camera was added or has left.
    """

    def __init__(self, pipelines: Iterable[str], now: Moment) -> None:
        self.cameras: dict[str, Camera] = {}
        self.pipelines = {name: Pipeline(name, now.mono_s, now.unix_ms) for name in pipelines}
        self.log = EventLog()
        self.on_pose: list[Callable[[Camera, wire.PoseMessage], None]] = []
        self.on_picture: list[Callable[[Camera, wire.PictureMessage, wire.Width], None]] = []
        self.on_status: list[Callable[[Camera, wire.StatusMessage, wire.StatusMessage | None], None]] = []
        self.on_camera: list[Callable[[Camera, bool], None]] = []
        self.on_list: list[Callable[[], None]] = []
        self._looked_mono_s = now.mono_s

    def in_order(self) -> list[Camera]:
        """Return the cameras of one pipeline after the other, each by name, with numbers in the order of their values.

        The order in which they appear differs from run to run.
        """
        places = {name: place for place, name in enumerate(self.pipelines)}
        return sorted(self.cameras.values(), key=lambda camera: (places[camera.pipeline], _natural(camera.name)))

    def waiting(self) -> list[str]:
        """Return the names of the pipelines that were never heard: they may still be loading their models."""
        return [name for name, pipeline in self.pipelines.items() if not pipeline.was_heard]

    # ---- messages

    def hear(self, endpoint: str, message: wire.Message, now: Moment) -> Camera:
        """Process one message, and return its camera.

        Args:
            endpoint: the pipeline that sent it.
            message: a pose, info or status message.
            now: when it was received.
        """
        pipeline = self.pipelines[endpoint]
        camera = pipeline.cameras.get(message.camera)
        self._heard(pipeline, message.session, now)
        if camera is None:
            camera = self._added(pipeline, message, now)
        self._heard_camera(camera, message.session, now)
        if isinstance(message, wire.PoseMessage):
            self._pose(camera, message, now)
        elif isinstance(message, wire.StatusMessage):
            self._status(pipeline, camera, message, now)
        elif isinstance(message, wire.InfoMessage) and message != camera.info:
            camera.info = message
            _call(self.on_camera, camera, False)
        return camera

    def hear_picture(self, endpoint: str, picture: wire.PictureMessage, width: wire.Width) -> None:
        """Process a picture. One of an unknown camera is ignored.

        Args:
            endpoint: the pipeline that sent it.
            picture: the message.
            width: the width class in its topic.
        """
        camera = self.pipelines[endpoint].cameras.get(picture.camera)
        if camera is not None:
            _call(self.on_picture, camera, picture, width)

    def _heard(self, pipeline: Pipeline, session: str, now: Moment) -> None:
        was_gone = pipeline.gone_since_unix_ms is not None
        is_new = pipeline.session not in (None, session)
        if is_new and all(camera.session != session for camera in pipeline.cameras.values()):
            self.log.add("back", "pipeline restarted: track ids start again", now, pipeline=pipeline.endpoint)
        elif was_gone and pipeline.was_heard:
            self.log.add("back", "pipeline is back", now, pipeline=pipeline.endpoint)
        if was_gone:
            pipeline.back_mono_s = now.mono_s
        pipeline.heard_mono_s, pipeline.heard_unix_ms = now
        pipeline.was_heard, pipeline.gone_since_unix_ms, pipeline.session = True, None, session

    def _added(self, pipeline: Pipeline, message: wire.Message, now: Moment) -> Camera:
        own, name, number = message.camera, message.camera, 2
        while name in self.cameras:
            name, number = f"{own}@{number}", number + 1
        session = message.session
        camera = Camera(name, own, pipeline.endpoint, session, now.mono_s, now.unix_ms, now.mono_s)
        camera.clock = _clock(pipeline, session)
        self.cameras[name] = pipeline.cameras[own] = camera
        self.log.add("added", "camera added", now, pipeline=pipeline.endpoint, camera=name)
        _call(self.on_list)
        return camera

    def _heard_camera(self, camera: Camera, session: str, now: Moment) -> None:
        was_gone = camera.gone_since_unix_ms is not None
        if camera.session != session:
            camera.clock, camera.session = _clock(self.pipelines[camera.pipeline], session), session
            camera.pose = camera.status = camera.info = None
            camera.last_people_mono_s = now.mono_s
        camera.heard_mono_s, camera.gone_since_unix_ms = now.mono_s, None
        if was_gone:
            _call(self.on_camera, camera, True)

    def _pose(self, camera: Camera, pose: wire.PoseMessage, now: Moment) -> None:
        camera.clock.note(pose.published_ns / 1e6, now)
        people = camera.people
        camera.pose = pose
        self.pipelines[camera.pipeline].recent.add(pose, now.mono_s)
        if pose.track_ids:
            camera.last_people_mono_s = now.mono_s
        _call(self.on_pose, camera, pose)
        if camera.people != people:
            _call(self.on_camera, camera, False)

    def _status(self, pipeline: Pipeline, camera: Camera, status: wire.StatusMessage, now: Moment) -> None:
        before, camera.status = camera.status, status
        is_change = before is None or (before.state, before.reason) != (status.state, status.reason)
        if status.since_ns is not None:
            camera.since_unix_ms = status.since_ns / 1e6 + camera.clock.ms
        elif is_change:
            camera.since_unix_ms = now.unix_ms
        if is_change:
            self._state_changed(camera, before, status, now)
        if (before is None or before.lowered != status.lowered) and pipeline.lowered != status.lowered:
            pipeline.lowered = list(status.lowered)
            keys = ", ".join(status.lowered)
            text = f"reduced to keep the latency low: {keys}" if keys else "nothing is reduced any more"
            self.log.add("lowered", text, now, pipeline=pipeline.endpoint)
        _call(self.on_status, camera, status, before)
        _call(self.on_camera, camera, is_change)

    def _state_changed(
        self, camera: Camera, before: wire.StatusMessage | None, status: wire.StatusMessage, now: Moment
    ) -> None:
        is_removed = status.state == "ended" and status.reason == "removed"
        if not is_removed:
            camera.removed_mono_s = None
        elif camera.removed_mono_s is None:
            camera.removed_mono_s = now.mono_s
        kind: Kind = "state"
        text = f"{status.state}: {status.reason}" if status.reason else status.state
        if is_removed:
            kind, text = "removed", "camera removed"
        elif (status.state, status.reason) == ("ended", "stopped"):
            text = "ended: the run was stopped"
        elif before is not None and before.state == "reconnecting" and status.state == "live":
            kind, text = "reconnected", f"live again (was: {before.reason})" if before.reason else "live again"
        self.log.add(kind, text, now, pipeline=camera.pipeline, camera=camera.name)

    # ---- time

    def look(self, now: Moment) -> None:
        """Find silent pipelines and cameras. Call it several times per second."""
        asleep_s = now.mono_s - self._looked_mono_s
        self._looked_mono_s = now.mono_s
        if asleep_s > ASLEEP_S:
            for each in self.pipelines.values():
                each.heard_mono_s += asleep_s
            for camera in self.cameras.values():
                camera.heard_mono_s += asleep_s
        for pipeline in self.pipelines.values():
            if pipeline.gone_since_unix_ms is None and now.mono_s - pipeline.heard_mono_s > GONE_S:
                pipeline.gone_since_unix_ms = pipeline.heard_unix_ms
                text = "pipeline is silent" if pipeline.was_heard else "nothing received from this pipeline yet"
                self.log.add("gone", text, now, pipeline=pipeline.endpoint)
        for camera in [*self.cameras.values()]:
            self._look_at(camera, self.pipelines[camera.pipeline], now)

    def _look_at(self, camera: Camera, pipeline: Pipeline, now: Moment) -> None:
        is_pipeline_gone = pipeline.gone_since_unix_ms is not None
        silent_s = now.mono_s - camera.heard_mono_s
        if camera.removed_mono_s is not None and now.mono_s - camera.removed_mono_s > LEAVES_S:
            self._leaves(camera, pipeline)
        elif min(silent_s, now.mono_s - pipeline.back_mono_s) > LEAVES_S and not is_pipeline_gone:
            text = "camera is no longer sent by its pipeline"
            self.log.add("removed", text, now, pipeline=camera.pipeline, camera=camera.name)
            self._leaves(camera, pipeline)
        elif silent_s > GONE_S and camera.gone_since_unix_ms is None and camera.removed_mono_s is None:
            camera.gone_since_unix_ms = now.unix_ms - silent_s * 1000
            if not is_pipeline_gone and camera.state not in ("ended", "failed"):
                self.log.add("gone", "camera is silent", now, pipeline=camera.pipeline, camera=camera.name)
            _call(self.on_camera, camera, True)

    def _leaves(self, camera: Camera, pipeline: Pipeline) -> None:
        del self.cameras[camera.name], pipeline.cameras[camera.own_name]
        _call(self.on_list)


def _clock(pipeline: Pipeline, session: str) -> ClockDifference:
    """The clock of a session, which all its cameras share: one without frames has no other way to learn it."""
    return next((one.clock for one in pipeline.cameras.values() if one.session == session), ClockDifference())


def _call(listeners: Sequence[Callable[..., None]], *arguments: object) -> None:
    for listener in listeners:
        listener(*arguments)


def _natural(name: str) -> list[tuple[int, str]]:
    """Split a name into texts and numbers, so that cam2 comes before cam10. A longer number is a larger one.

    >>> sorted(["cam10", "cam2", "door"], key=_natural)
    ['cam2', 'cam10', 'door']
    """
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name.casefold())
    return [(len(number.lstrip("0")), number.lstrip("0")) if number else (0, text) for number, text in parts]
