# SPDX-License-Identifier: MIT
"""What the routes of the page need: one object for all of them.

A file with routes has one function `routes(site: Site) -> list[BaseRoute]`, which `app` calls.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.dashboard.fleet import Fleet
from realtime.dashboard.gate import Gate
from realtime.dashboard.pictures import Pictures
from realtime.dashboard.settings import Settings
from realtime.dashboard.viewers import Viewers


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of one dashboard.

    Attributes:
        settings: what the flags say.
        fleet: state of all cameras and pipelines.
        gate: who may see it. `gate.knows(request.scope)`: whether this request has the cookie or the token. Requests
            without are refused before a route runs, except those to /healthz, /login and /static/.
        pictures: the subscriptions. `await pictures.newest(camera, width, timeout_s)` returns a PictureMessage, or
            None.
        viewers: the connected pages.
    """

    settings: Settings
    fleet: Fleet
    gate: Gate
    pictures: Pictures
    viewers: Viewers
