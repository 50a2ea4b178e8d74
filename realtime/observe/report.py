"""The run report that `--report` writes, and the summary that is logged at the end of a run.

Not part of the data path: realtime.pipeline builds both from the cameras' status and the stages' meter, and
`report_file` writes the report.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from realtime import __version__
from realtime.observe.metrics import StageMeter
from realtime.observe.process import peak_rss_mb
from realtime.observe.status import CameraStatus

log = logging.getLogger(__name__)


def build_report(
    cameras: Sequence[CameraStatus],
    meter: StageMeter,
    wall_s: float,
    device: str,
    models: Mapping[str, str],
    configuration: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Build the report as JSON-ready data.

    Args:
        cameras: the status of each camera.
        meter: the stages' calls and times.
        wall_s: duration of the run in seconds, without loading.
        device: the device on which the models ran.
        models: names of the models ("detector", "pose") and of their engines ("detector_engine", "pose_engine").
        configuration: all keys, without secrets, as `--print-config` shows them.
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
        "configuration": dict(configuration or {}),
    }


def log_summary(cameras: Sequence[CameraStatus], meter: StageMeter, wall_s: float) -> None:
    """Log the most important numbers of the report: a line for each camera that had frames, and one for the run."""
    for camera in cameras:
        if camera.captured:
            _log_camera(camera)
    busy = ", ".join(f"{name} {stage['busy_s']} s" for name, stage in meter.summary().items())
    log.info("%.1f s in total; busy: %s", wall_s, busy or "nothing")


def _log_camera(camera: CameraStatus) -> None:
    """Log the frames of a camera. Those left out while it was empty are no loss, so they are counted apart."""
    drops = camera.drops
    idle = drops.pop("idle", 0)
    causes = drops.most_common()
    state, reason = camera.state
    log.info(
        "%s: %d frames captured, %d dropped%s%s, %d published, %.1f fps, latency p50 %.0f ms, p95 %.0f ms",
        camera.camera,
        camera.captured,
        drops.total(),
        f" ({', '.join(f'{cause} {count}' for cause, count in causes)})" if causes else "",
        f" and {idle} left out while empty" if idle else "",
        camera.published,
        camera.fps(),
        camera.latency.percentile(50),
        camera.latency.percentile(95),
        extra={"camera": camera.camera, "state": state, "reason": reason, "cause": causes[0][0] if causes else None},
    )
