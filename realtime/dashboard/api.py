# SPDX-License-Identifier: MIT
"""`/api/cameras`: the cameras as JSON, and the newest picture of each as a JPEG, for scripts and home automation.

docs/monitoring.md describes both. Pictures are sent as the pipeline made them: drawing skeletons on them here would
need an image library, and the page draws them itself.
"""

from __future__ import annotations

from email.utils import formatdate

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from realtime import wire
from realtime.dashboard.camera import Camera
from realtime.dashboard.clock import Moment
from realtime.dashboard.records import Record, camera_record, details_record
from realtime.dashboard.site import Site

# A request waits this long (s) for the next picture. Pipelines send 5 per second or more.
WAIT_S = 2.0
# At most this many requests wait at a time.
MOST_WAITING = 64
DEFAULT_WIDTH: wire.Width = "1280"


def summary(camera: Camera, now: Moment) -> Record:
    """Return the entry of one camera in `/api/cameras`: CAMERA of web/1 without the skeleton, the age, and counts."""
    record, status, pose = camera_record(camera), camera.status, camera.pose
    for key in ("edges", "keypoint_names"):
        del record[key]
    return record | {
        "age_ms": None if pose is None else round(camera.age_ms(pose.captured_ns, now), 1),
        "heard_ms_ago": round((now.mono_s - camera.heard_mono_s) * 1e3, 1),
        "captured": None if status is None else status.captured,
        "published": None if status is None else status.published,
        "dropped": None if status is None else status.dropped,
        "drops": {} if status is None else status.drops,
        "reconnects": {} if status is None else status.reconnects,
    }


def details(camera: Camera, now: Moment) -> Record:
    """Return the content of `/api/cameras/NAME`: the summary, and the newest status and info messages."""
    return summary(camera, now) | details_record(camera)


def picture_response(camera: Camera, picture: wire.PictureMessage, now: Moment) -> Response:
    """Return the JPEG with its number and its age in the headers. All times are by the clock of this machine."""
    age_ms = camera.age_ms(picture.captured_ns, now)
    captured_ms = max(0.0, now.unix_ms - age_ms)
    headers = {
        "Last-Modified": formatdate(captured_ms / 1e3, usegmt=True),
        "X-Age-Ms": f"{age_ms:.0f}",
        "X-Captured-Ms": f"{captured_ms:.0f}",
        "X-Seq": str(picture.seq),
    }
    return Response(picture.jpeg, media_type="image/jpeg", headers=headers)


class Api:
    """The routes under /api/cameras."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._waiting = 0

    async def cameras(self, request: Request) -> Response:
        """All cameras, in the order in which they appeared."""
        now = Moment.now()
        return _json([summary(camera, now) for camera in self._site.fleet.in_order()])

    async def camera(self, request: Request) -> Response:
        """One camera."""
        camera = self._site.fleet.cameras.get(request.path_params["name"])
        return _unknown() if camera is None else _json(details(camera, Moment.now()))

    async def picture(self, request: Request) -> Response:
        """The newest picture of one camera."""
        camera = self._site.fleet.cameras.get(request.path_params["name"])
        if camera is None:
            return _unknown()
        width = request.query_params.get("width", DEFAULT_WIDTH)
        if width not in wire.WIDTHS:
            return _line(400, f"width: expected one of {', '.join(wire.WIDTHS)}")
        why = _why_none(camera, has_pictures=self._site.settings.has_pictures)
        if why is None and self._waiting >= MOST_WAITING:
            why = "too many requests are waiting for a picture"
        if why is not None:
            return _line(503, why)
        self._waiting += 1
        try:
            picture = await self._site.pictures.newest(camera.name, width, WAIT_S)
        finally:
            self._waiting -= 1
        if picture is None:
            return _line(503, f"no picture within {WAIT_S:.0f} s; the state of the camera is {camera.state}")
        return picture_response(camera, picture, Moment.now())


def _why_none(camera: Camera, *, has_pictures: bool) -> str | None:
    """Say why no picture can come, in words."""
    if not has_pictures:
        return "this dashboard shows no pictures"
    if camera.gone_since_unix_ms is not None:
        return "the camera is silent: its pipeline sends no messages"
    if not camera.has_pictures:
        return "the pipeline of this camera sends no pictures: start it with --publish.pictures"
    return None


def _json(value: Record | list[Record]) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _line(code: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=code)


def _unknown() -> Response:
    return _line(404, "no camera has this name; /api/cameras lists all cameras")


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of /api/cameras."""
    api = Api(site)
    return [
        Route("/api/cameras", api.cameras),
        Route("/api/cameras/{name}", api.camera),
        Route("/api/cameras/{name}/picture.jpg", api.picture),
    ]
