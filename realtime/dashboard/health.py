# SPDX-License-Identifier: MIT
"""`/healthz`: 200 while all cameras and pipelines are healthy, 503 with the reasons otherwise.

A camera is unhealthy if it has been lost (`reconnecting`, `failed` or silent) for longer than `web_lost_s`, a pipeline
if it has been silent for 3 s. A camera that has ended is healthy, because every file ends.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from realtime import wire
from realtime.dashboard.camera import Camera, Pipeline
from realtime.dashboard.clock import Moment
from realtime.dashboard.fleet import Fleet
from realtime.dashboard.site import Site

LOST = ("reconnecting", "failed")
# A pipeline that has never been heard counts as starting for this long (s) after the start of the dashboard: it loads
# its models, and may download and convert them first. A probe that restarts a program after a 503 would restart it for
# ever.
STARTING_S = 300.0


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    Attributes:
        pipeline: endpoint of the pipeline, as configured.
        camera: name of the camera; None if it is the pipeline itself.
        state: `reconnecting`, `failed` or `silent`.
        reason: the pipeline's words; None if it gave none.
        since_ms: Unix time (ms) at which it began.
        for_s: how long it has lasted (s).
    """

    pipeline: str
    camera: str | None
    state: str
    reason: str | None
    since_ms: float
    for_s: float


class Report(Struct, frozen=True, kw_only=True):
    """The body of a reply.

    Attributes:
        status: `ok` or `not ok`.
        problems: everything that is wrong; may be empty.
        starting: pipelines that have not been heard yet, for no longer than STARTING_S.
        cameras: number of cameras.
        live: number of cameras that are live.
    """

    status: str
    problems: list[Problem]
    starting: list[str]
    cameras: int
    live: int


class Health:
    """Knows since when each camera has been lost.

    `since_ns` of a status begins again when the state changes from reconnecting to failed, and is by another clock. It
    is used only for a camera that was lost before the dashboard started.

    >>> started = Moment(mono_s=0.0, unix_ms=0.0)
    >>> health = Health(Fleet(["tcp://127.0.0.1:5555"], started), lost_s=30.0)
    >>> health.report(started).status, health.report(started).starting
    ('ok', ['tcp://127.0.0.1:5555'])

    Args:
        fleet: its listeners are added.
        lost_s: how long (s) a camera may be lost.
        now: the current time; another one in tests.
    """

    def __init__(self, fleet: Fleet, lost_s: float, now: Callable[[], Moment] = Moment.now) -> None:
        self._fleet = fleet
        self._limit_s = lost_s
        self._now = now
        self._lost_mono_s: dict[Camera, float] = {}
        fleet.on_status.append(self._status)
        fleet.on_list.append(self._forget)

    def report(self, now: Moment, *, with_cameras: bool = True) -> Report:
        """Return everything that is wrong now.

        Args:
            now: the current time.
            with_cameras: whether to look at cameras too. A restart of the pipeline doesn't repair a camera.
        """
        cameras, pipelines = [*self._fleet.cameras.values()], self._fleet.pipelines
        starting = [
            pipeline.endpoint
            for pipeline in pipelines.values()
            if not pipeline.was_heard and now.mono_s - pipeline.heard_mono_s <= STARTING_S
        ]
        found = [self._silent(pipeline, now) for pipeline in pipelines.values() if pipeline.endpoint not in starting]
        if with_cameras:
            found += [
                self._lost(camera, now)
                for camera in cameras
                if pipelines[camera.pipeline].gone_since_unix_ms is None and camera.removed_mono_s is None
            ]
        problems = [problem for problem in found if problem is not None]
        live = sum(camera.state == "live" and camera.gone_since_unix_ms is None for camera in cameras)
        status = "not ok" if problems else "ok"
        return Report(status=status, problems=problems, starting=starting, cameras=len(cameras), live=live)

    def _silent(self, pipeline: Pipeline, now: Moment) -> Problem | None:
        if pipeline.gone_since_unix_ms is None:
            return None
        reason = None if pipeline.was_heard else "never heard"
        return _problem(pipeline.endpoint, None, "silent", reason, now.mono_s - pipeline.heard_mono_s, now)

    def _lost(self, camera: Camera, now: Moment) -> Problem | None:
        lost_mono_s = self._lost_mono_s.get(camera)
        state, reason = camera.state, None if camera.status is None else camera.status.reason
        if lost_mono_s is None and camera.gone_since_unix_ms is not None and state != "ended":
            lost_mono_s, state, reason = camera.heard_mono_s, "silent", None
        if lost_mono_s is None or now.mono_s - lost_mono_s <= self._limit_s:
            return None
        return _problem(camera.pipeline, camera.name, state, reason, now.mono_s - lost_mono_s, now)

    def _status(self, camera: Camera, status: wire.StatusMessage, before: wire.StatusMessage | None) -> None:
        if status.state not in LOST:
            self._lost_mono_s.pop(camera, None)
        elif camera not in self._lost_mono_s:
            now = self._now()
            # A change that we have seen began now. If the camera was lost before the dashboard started, its status says
            # when.
            earlier_ms = max(0.0, now.unix_ms - camera.since_unix_ms) if before is None else 0.0
            self._lost_mono_s[camera] = now.mono_s - earlier_ms / 1e3

    def _forget(self) -> None:
        """Forget the cameras that have left."""
        here = {*self._fleet.cameras.values()}
        self._lost_mono_s = {camera: mono_s for camera, mono_s in self._lost_mono_s.items() if camera in here}


def _problem(pipeline: str, camera: str | None, state: str, reason: str | None, for_s: float, now: Moment) -> Problem:
    since_ms = round(now.unix_ms - for_s * 1e3, 1)
    return Problem(
        pipeline=pipeline, camera=camera, state=state, reason=reason, since_ms=since_ms, for_s=round(for_s, 1)
    )


def routes(site: Site) -> list[BaseRoute]:
    """Return the route of /healthz. Without the token, a reply contains only `ok` or `not ok`."""
    health = Health(site.fleet, site.settings.lost_s)

    async def answer(request: Request) -> Response:
        report = health.report(Moment.now(), with_cameras=request.query_params.get("cameras") != "0")
        body = report if site.gate.knows(request.scope) else {"status": report.status}
        return Response(
            msgspec.json.encode(body),
            status_code=200 if report.status == "ok" else 503,
            media_type="application/json",
        )

    return [Route("/healthz", answer)]
