"""The run report that `--report` writes, and the summary that is logged at the end of a run.

Not part of the data path: realtime.pipeline builds both from the cameras' status and the stages' meter, and
`report_file` writes the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from realtime import __version__
from realtime.observe.metrics import StageMeter
from realtime.observe.process import peak_rss_mb
from realtime.observe.status import CameraStatus


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
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "device": device,
        "models": dict(models),
    }


def summary_lines(cameras: Sequence[CameraStatus], meter: StageMeter, wall_s: float) -> list[str]:
    """The most important numbers of the report as log lines: one per camera, and one for the run."""
    lines = [
        f"{c.camera}: {c.captured} frames captured, {_dropped(c)}, {c.published} published, {c.fps():.1f} fps, "
        f"latency p50 {c.latency.percentile(50):.0f} ms, p95 {c.latency.percentile(95):.0f} ms"
        for c in cameras
        if c.captured
    ]
    stages = meter.summary()
    busy = ", ".join(f"{name} {stage['busy_s']} s" for name, stage in stages.items())
    return [*lines, f"{wall_s:.1f} s in total; busy: {busy or 'nothing'}"]


def _dropped(camera: CameraStatus) -> str:
    """The number of dropped frames. Those of an empty camera are no loss, so they are counted apart."""
    drops = camera.drops
    idle = drops["idle"]
    return f"{drops.total() - idle} dropped" + (f" and {idle} left out while empty" if idle else "")
