# SPDX-License-Identifier: MIT
"""`/healthz`: whether all cameras and pipelines are well."""

from __future__ import annotations

from starlette.routing import BaseRoute

from realtime.dashboard.site import Site


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of this file.

    Args:
        site: the parts of the dashboard.
    """
    return []
