"""The run report that `--report` writes, and the summary that is logged at the end of a run.

Not part of the data path: realtime.pipeline builds both from the cameras' status and the stages' meter.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from realtime import __version__
from realtime.config import AppConfig
from realtime.errors import ConfigError, OutputError
from realtime.observe.metrics import StageMeter
from realtime.observe.status import CameraStatus


def check_report(path: Path, config: AppConfig) -> None:
    """Check that the report has a file of its own, and that it can be written.

    Raises:
        ConfigError: the file is also the recording or the source of a camera.
        OutputError: the file can't be written.
    """
    if path == config.record:
        raise ConfigError("report: got the same file as record, expected a different one")
    for camera in config.cameras:
        with contextlib.suppress(OSError):  # one of the two does not exist
            if path.samefile(camera.address):
                raise ConfigError(f"report: got {path}, the source of {camera.name}, expected a different file")
    try:
        path.open("a").close()
    except OSError as error:
        raise OutputError(f"report: can't write {path}: {error.strerror}") from None


def write_report(path: Path, report: Mapping[str, object]) -> None:
    """Write a report as JSON.

    Raises:
        OutputError: the file can't be written.
    """
    try:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"report: can't write {path}: {error.strerror}") from None


def build_report(
    cameras: Sequence[CameraStatus], meter: StageMeter, wall_s: float, device: str, models: Mapping[str, str]
) -> dict[str, object]:
    """Build the report as JSON-ready data.

    Args:
        cameras: the status of each camera.
        meter: the stages' calls and times.
        wall_s: duration of the run in seconds, without loading.
        device: the device on which the models ran.
        models: names of the models ("detector", "pose") and of their engines ("detector_engine", "pose_engine").
    """
    return {
        "version": __version__,
        "cameras": {
            camera.camera: {
                "captured": camera.captured,
                "dropped": camera.dropped,
                "published": camera.published,
                "fps": round(camera.fps(), 3),
                "reconnects": camera.reconnects,
                "latency_ms": camera.latency.summary() | {"max": round(camera.latency.max, 3)},
                "drops": dict(camera.drops),
            }
            for camera in cameras
        },
        "stages": meter.summary(),
        "wall_s": round(wall_s, 3),
        "peak_rss_mb": round(_peak_rss_mb(), 1),
        "device": device,
        "models": dict(models),
    }


def summary_lines(cameras: Sequence[CameraStatus], meter: StageMeter, wall_s: float) -> list[str]:
    """The most important numbers of the report as log lines: one per camera, and one for the run."""
    lines = [
        f"{c.camera}: {c.captured} frames captured, {c.dropped} dropped, {c.published} published, {c.fps():.1f} fps, "
        f"latency p50 {c.latency.percentile(50):.0f} ms, p95 {c.latency.percentile(95):.0f} ms"
        for c in cameras
        if c.captured
    ]
    stages = meter.summary()
    busy = ", ".join(f"{name} {stage['busy_s']} s" for name, stage in stages.items())
    return [*lines, f"{wall_s:.1f} s in total; busy: {busy or 'nothing'}"]


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024  # bytes on macOS, KiB on Linux
