# SPDX-License-Identifier: MIT
"""Cameras and their details as the page and `/api/cameras` show them: plain dictionaries for JSON.

docs/wire.md describes them (web/1, CAMERA and `details`).
"""

from __future__ import annotations

from typing import Any

from realtime.dashboard.camera import Camera

# Any: the values are of many types.
Record = dict[str, Any]


def camera_record(camera: Camera) -> Record:
    """Return CAMERA of web/1.

    >>> record = camera_record(Camera("cam0", "cam0", "tcp://127.0.0.1:5555", "s1", 0.0, 1000.0, 0.0))
    >>> record["name"], record["state"], record["people"], record["since_ms"]
    ('cam0', 'starting', 0, 1000.0)
    """
    status, info, pose = camera.status, camera.info, camera.pose
    size = pose.size if pose is not None else info.size if info is not None else None
    return {
        "name": camera.name,
        "pipeline": camera.pipeline,
        "state": camera.state,
        "reason": None if status is None else status.reason,
        "since_ms": camera.since_unix_ms,
        "gone_since_ms": camera.gone_since_unix_ms,
        "activity": camera.activity,
        "people": camera.people,
        "fps": 0.0 if status is None else status.fps,
        "size": size,
        "source_fps": None if info is None else info.source_fps,
        "latency_ms": {} if status is None else status.latency_ms,
        "lowered": [] if status is None else status.lowered,
        "pictures": camera.has_pictures,
        "skeleton": "none" if pose is None else pose.skeleton,
        "edges": [] if info is None else info.edges,
        "keypoint_names": [] if info is None else info.keypoint_names,
    }


def details_record(camera: Camera) -> Record:
    """Return everything that is known of a camera: `details` of web/1 without its type."""
    return {
        "camera": camera.name,
        "status": camera.status,
        "info": camera.info,
        "clock": camera.pose.clock if camera.pose else None,
        "clock_difference_ms": camera.clock.ms,
    }
