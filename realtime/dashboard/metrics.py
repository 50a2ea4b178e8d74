# SPDX-License-Identifier: MIT
"""`/metrics`: the cameras, the pipelines and the dashboard itself in the format of Prometheus.

Counters are exported as the pipeline sends them. When it restarts they begin at 0 again, which Prometheus expects.
Gauges of a camera or pipeline that is silent are left out, because an old value would look like a current one.
docs/monitoring.md has a table of METRICS.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import realtime
from realtime import wire
from realtime.dashboard.camera import Camera, Pipeline
from realtime.dashboard.clock import Moment
from realtime.dashboard.observed import CAUSES, REASONS, STAGES, Durations, Observer, Words
from realtime.dashboard.site import Site
from realtime.printable import printable

# `gone`: no message of the camera arrived for 3 s, whatever its last state was.
STATES = ("starting", "live", "reconnecting", "ended", "failed", "gone")
ACTIVITIES = ("active", "still", "empty")
# A second scrape within this time (s) gets the same answer, so that scrapes can't take all of the CPU.
SAME_ANSWER_S = 1.0
LONGEST_LABEL = 200
LARGEST = float(2**63)

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Metric(NamedTuple):
    """One metric. The name of a counter ends in `_total`."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str


_C = ("camera", "pipeline")
_P = ("pipeline",)
_BUILD = ("version", "detector", "pose", "device", "smoothing")
METRICS = (
    Metric("camera_up", "gauge", _C, "1 if the camera is live and sends messages, else 0."),
    Metric("camera_state", "gauge", (*_C, "state"), "1 for the current state of the camera, 0 for all others."),
    Metric("camera_reason", "gauge", (*_C, "reason"), "1 for the reason why the camera is not live, if there is one."),
    Metric(
        "camera_activity", "gauge", (*_C, "activity"), "1 for the current activity of the camera, 0 for all others."
    ),
    Metric("frames_captured_total", "counter", _C, "Frames captured from the source."),
    Metric("frames_published_total", "counter", _C, "Frames whose poses were published."),
    Metric("frames_dropped_total", "counter", (*_C, "cause"), "Frames that were dropped instead of published."),
    Metric("reconnects_total", "counter", (*_C, "reason"), "How often the camera was lost."),
    Metric("tracks_started_total", "counter", _C, "New track ids since the dashboard started."),
    Metric("messages_missed_total", "counter", _C, "Poses that were published but did not reach the dashboard."),
    Metric("people", "gauge", _C, "People in the newest frame of a live camera."),
    Metric("fps", "gauge", _C, "Poses published per second, over the last 5 seconds."),
    Metric("lowered", "gauge", _C, "Configuration keys that are reduced to meet latency.target_ms."),
    Metric("newest_frame_age_seconds", "gauge", _C, "Age of the newest frame now. Absent if the camera has ended."),
    Metric("frame_age_seconds", "histogram", _C, "Time from capture to the arrival of the pose at the dashboard."),
    Metric("latency_seconds", "histogram", _C, "Time from capture to publishing."),
    Metric("wait_seconds", "histogram", _C, "Sum of the waits of a frame between the stages."),
    Metric("stage_seconds", "histogram", (*_P, "stage"), "Time that a frame spent in a stage, all cameras."),
    Metric("stage_call_p95_seconds", "gauge", (*_P, "stage"), "95th percentile of the time of one call of a stage."),
    Metric("stage_wait_p95_seconds", "gauge", (*_P, "stage"), "95th percentile of a frame's wait for a stage."),
    Metric("pipeline_up", "gauge", _P, "1 if a message of the pipeline arrived within the last 3 seconds, else 0."),
    Metric("pipeline_uptime_seconds", "gauge", _P, "Time since the pipeline started."),
    Metric("pipeline_clock_difference_seconds", "gauge", _P, "How far the clock here is ahead of the pipeline's."),
    Metric("pipeline_process_cpu_seconds_total", "counter", _P, "CPU time of the pipeline's process."),
    Metric("pipeline_process_resident_memory_bytes", "gauge", _P, "Resident memory of the pipeline's process."),
    Metric("pipeline_messages_refused_total", "counter", _P, "Messages of the pipeline that could not be read."),
    Metric("pipeline_build_info", "gauge", (*_P, *_BUILD), "1; version, models and device of the pipeline."),
    Metric("recording_lines_written_total", "counter", _P, "Lines written to the recording."),
    Metric("recording_lines_lost_total", "counter", _P, "Lines lost by the recording."),
    Metric("recording_failing", "gauge", _P, "1 while lines are being lost, else 0."),
    Metric("dashboard_viewers", "gauge", (), "Viewers (open pages) connected to this dashboard."),
    Metric("dashboard_frames_sent_total", "counter", ("width",), "Frames sent to pages; width none: skeletons only."),
    Metric(
        "dashboard_frames_skipped_total",
        "counter",
        ("width",),
        "Frames that were replaced by a newer one before they were sent.",
    ),
    Metric("dashboard_frames_sent_bytes_total", "counter", (), "Bytes of the frames that were sent to pages."),
    Metric("dashboard_build_info", "gauge", ("version",), "1; the version of this dashboard."),
)
PREFIX = "realtime_pose_"
_KINDS = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}


class _Families:
    """The samples of one scrape, by metric."""

    def __init__(self) -> None:
        self._by_name: dict[str, Family] = {
            metric.name: _KINDS[metric.kind](PREFIX + metric.name, metric.help, labels=metric.labels)
            for metric in METRICS
        }

    def add(self, name: str, labels: Sequence[str], value: float | None) -> None:
        """Add a sample of a gauge or a counter; None adds nothing."""
        family = self._by_name[name]
        if value is not None and not isinstance(family, HistogramMetricFamily):
            family.add_metric(labels, max(-LARGEST, min(value, LARGEST)))

    def add_durations(self, name: str, labels: Sequence[str], durations: Durations) -> None:
        """Add a histogram."""
        family = self._by_name[name]
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, durations.buckets(), durations.sum_s)

    def one_hot(self, name: str, labels: Sequence[str], values: Iterable[str], present: str) -> None:
        """Add a sample for each value: 1 for the present one, 0 for the others."""
        for value in values:
            self.add(name, (*labels, value), value == present)

    def counts(self, name: str, labels: Sequence[str], counts: Mapping[str, float], words: Words) -> None:
        """Add a sample for each word, with those that share `other` summed."""
        sums: dict[str, float] = {}
        for text, count in counts.items():
            word = words.word(text)
            sums[word] = sums.get(word, 0) + count
        for word, count in sums.items():
            self.add(name, (*labels, word), count)

    def filled(self) -> list[Family]:
        """Return the metrics that have samples."""
        return [family for family in self._by_name.values() if family.samples]


class PipelineCollector(Collector):
    """Reads the fleet at each scrape. It may run on any thread: it reads, and messages don't change.

    A camera that has left the fleet has no samples from then on.
    """

    def __init__(self, site: Site, observer: Observer) -> None:
        self._site = site
        self._observer = observer
        self._causes, self._reasons, self._stages = Words(CAUSES), Words(REASONS), Words(STAGES)

    def collect(self) -> list[Family]:
        """Return all samples of this moment."""
        families, now = _Families(), Moment.now()
        pipelines = self._site.fleet.pipelines
        for camera in [*self._site.fleet.cameras.values()]:
            self._camera(families, camera, (camera.own_name, camera.pipeline), now)
        for endpoint, pipeline in pipelines.items():
            self._pipeline(families, pipeline, (endpoint,))
        families.add("dashboard_viewers", (), self._site.viewers.count)
        traffic = self._site.viewers.traffic
        for name, frames in (("sent", traffic.sent), ("skipped", traffic.skipped)):
            for width in (*wire.WIDTHS, None):
                families.add(f"dashboard_frames_{name}_total", (width or "none",), frames[width])
        families.add("dashboard_frames_sent_bytes_total", (), traffic.size)
        families.add("dashboard_build_info", (realtime.__version__,), 1)
        return families.filled()

    def _camera(self, families: _Families, camera: Camera, labels: tuple[str, str], now: Moment) -> None:
        state = "gone" if camera.gone_since_unix_ms is not None else camera.state
        families.add("camera_up", labels, state == "live")
        families.one_hot("camera_state", labels, STATES, state)
        counts = self._observer.of(camera)
        families.add("tracks_started_total", labels, counts.tracks_started)
        families.add("messages_missed_total", labels, counts.missed)
        families.add_durations("frame_age_seconds", labels, counts.age)
        families.add_durations("latency_seconds", labels, counts.latency)
        families.add_durations("wait_seconds", labels, counts.wait)
        if camera.pose is not None and state != "ended":
            families.add("newest_frame_age_seconds", labels, camera.age_ms(camera.pose.captured_ns, now) / 1e3)
        if state == "live":
            families.add("people", labels, camera.people)
        if camera.status is not None:
            self._status(families, camera.status, labels, is_heard=state != "gone")

    def _status(
        self, families: _Families, status: wire.StatusMessage, labels: tuple[str, str], *, is_heard: bool
    ) -> None:
        families.add("frames_captured_total", labels, status.captured)
        families.add("frames_published_total", labels, status.published)
        # Older publishers send only the sum.
        drops = status.drops or ({"unknown": status.dropped} if status.dropped else {})
        families.counts("frames_dropped_total", labels, drops, self._causes)
        families.counts("reconnects_total", labels, status.reconnects, self._reasons)
        if not is_heard:
            return
        families.add("fps", labels, status.fps)
        families.add("lowered", labels, len(status.lowered))
        if status.reason is not None:
            families.add("camera_reason", (*labels, self._reasons.word(status.reason)), 1)
        if status.activity is not wire.UNSET:
            families.one_hot("camera_activity", labels, ACTIVITIES, status.activity)

    def _pipeline(self, families: _Families, pipeline: Pipeline, labels: tuple[str]) -> None:
        is_up = pipeline.was_heard and pipeline.gone_since_unix_ms is None
        families.add("pipeline_up", labels, is_up)
        families.add("pipeline_messages_refused_total", labels, pipeline.refused)
        for stage, durations in [*self._observer.stages[pipeline.endpoint].items()]:
            families.add_durations("stage_seconds", (*labels, stage), durations)
        status = self._observer.statuses.get(pipeline.endpoint)
        if status is None:
            return
        if status.recording is not None:
            families.add("recording_lines_written_total", labels, status.recording.written)
            families.add("recording_lines_lost_total", labels, status.recording.lost)
            families.add("recording_failing", labels, status.recording.error is not None)
        if status.process is not None:
            families.add("pipeline_process_cpu_seconds_total", labels, status.process.cpu_s)
        if is_up:
            self._running(families, pipeline, status, labels)

    def _running(self, families: _Families, pipeline: Pipeline, status: wire.StatusMessage, labels: tuple[str]) -> None:
        families.add("pipeline_uptime_seconds", labels, status.uptime_s)
        if status.process is not None:
            families.add("pipeline_process_resident_memory_bytes", labels, status.process.rss_mb * 2**20)
        for key, name in (("p95", "stage_call_p95_seconds"), ("wait_p95", "stage_wait_p95_seconds")):
            # Words that are not known share `other`; one of them is enough.
            seconds = {self._stages.word(stage): ms[key] / 1e3 for stage, ms in status.stages.items() if key in ms}
            for stage, value in seconds.items():
                families.add(name, (*labels, stage), value)
        camera = next(iter([*pipeline.cameras.values()]), None)
        if camera is not None:
            families.add("pipeline_clock_difference_seconds", labels, camera.clock.ms / 1e3)
        if camera is not None and (info := camera.info) is not None:
            build = (printable(getattr(info, key))[:LONGEST_LABEL] for key in _BUILD)
            families.add("pipeline_build_info", (*labels, *build), 1)


class Scrapes:
    """Answers scrapes, one at a time, on a thread: those of a thousand cameras take longer than a frame may wait."""

    def __init__(self, site: Site) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(PipelineCollector(site, Observer(site.fleet)))
        ProcessCollector(namespace="realtime_pose_dashboard", registry=self._registry)
        self._one = asyncio.Lock()
        self._made_s = -SAME_ANSWER_S
        self._text = b""

    async def answer(self, request: Request) -> Response:
        """Return all metrics as text in version 0.0.4, which every Prometheus reads, whatever else it accepts."""
        async with self._one:
            if time.monotonic() - self._made_s >= SAME_ANSWER_S:
                self._text = await asyncio.to_thread(generate_latest, self._registry)
                self._made_s = time.monotonic()
        headers = {
            "Content-Type": CONTENT_TYPE_PLAIN_0_0_4,
        }
        return Response(self._text, headers=headers)


def routes(site: Site) -> list[BaseRoute]:
    """Return the route of /metrics."""
    return [Route("/metrics", Scrapes(site).answer)]
