"""The graph: builds cameras, door, stages and channels, starts them, stops them, and waits for their threads.

The only file that knows all parts of the data path:

    Camera threads -> Door -> detect -> track -> pose -> relink -> smooth -> publish
                       ^                                                        |
                       +------------ published: the next frame may enter -------+

Mistakes are reported in the first second: configuration, files, outputs and ports are checked before models are loaded,
and models are loaded before cameras are opened.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from realtime import __version__
from realtime.capture.fleet import Fleet
from realtime.capture.open import kind_of, open_source
from realtime.config import AppConfig, CameraConfig, changes
from realtime.errors import ConfigError, OutputError, SourceError
from realtime.loading import load_models
from realtime.observe.metrics import StageMeter
from realtime.observe.report import build_report, summary_lines
from realtime.observe.status import CameraStatus
from realtime.pose.stage import PoseStage
from realtime.publish.record import Recorder
from realtime.publish.zmq_pub import PublishStage, StreamInfo, close_socket, open_socket
from realtime.runtime.channel import Channel
from realtime.runtime.crew import Crew
from realtime.runtime.door import Door
from realtime.runtime.governor import Effort, Governor, ladder
from realtime.runtime.pace import Pace
from realtime.runtime.pool import Pool, run_divided
from realtime.runtime.stage import run_stage
from realtime.smooth.stage import SmoothStage
from realtime.track.relink import RelinkStage
from realtime.types import Detections, Poses, Tracks

log = logging.getLogger(__name__)

# The stages in the order in which a frame passes them, by their names in timings and reports.
STAGES = ("detect", "track", "pose", "relink", "smooth", "publish")
# After a stop, frames past the door have this long to be published; the rest are dropped.
_DRAIN_S = 1.5
# Threads that are still alive after this long are abandoned (`stuck_threads`), so that a stop takes less than 3 s.
_JOIN_S = 1.0
# How often the publisher handles subscribers and states while no frames arrive, and the main loop checks the run.
_TICK_S = 0.05
# How often the latency is compared with latency.target_ms.
_GOVERN_EVERY_S = 1.0


def _check_file(camera: CameraConfig) -> None:
    """Open a file or images once, so that a source that can't be opened ends the run before models load."""
    if kind_of(camera.address) not in ("file", "images"):
        return
    with contextlib.suppress(OSError):
        if Path(camera.address).is_fifo():  # a named pipe can be read only once
            return
    try:
        open_source(camera).close()
    except SourceError as error:
        raise type(error)(f"{camera.name}: {error}", error.reason) from None


def _check_report(config: AppConfig) -> None:
    """Check that the report has a file of its own, and that it can be written.

    Raises:
        ConfigError: the file is also the recording or the source of a camera.
        OutputError: the file can't be written.
    """
    if config.report is None:
        return
    if config.report == config.record:
        raise ConfigError("report: got the same file as record, expected a different one")
    for camera in config.cameras:
        with contextlib.suppress(OSError):  # one of the two does not exist
            if config.report.samefile(camera.address):
                raise ConfigError(
                    f"report: got {config.report}, the source of {camera.name}, expected a different file"
                )
    try:
        config.report.open("a").close()
    except OSError as error:
        raise OutputError(f"report: can't write {config.report}: {error.strerror}") from None


def _governor(config: AppConfig) -> Governor | None:
    if config.latency.target_ms is None:
        return None
    full = Effort(config.detector.every, config.pose.max_people, config.detector.size)
    return Governor(ladder(full, config.latency.levers), config.latency.target_ms)


class Pipeline:
    """One run: the constructor prepares it, `run` processes the cameras until they end or `stop` is called.

    A video file, processed completely and recorded (tests/pipeline/test_running.py runs this)::

        config = load(flags={"cameras": [{"name": "clip", "source": "clip.mp4"}], "record": "poses.jsonl"})
        pipeline = Pipeline(config)
        pipeline.run()
        print(pipeline.status["clip"].published, "frames")

    Attributes:
        stuck_threads: names of the threads that did not end with `run`, because a C library holds them; normally
            empty.
    """

    def __init__(self, config: AppConfig, read_again: Callable[[], AppConfig] | None = None) -> None:
        """Check files and outputs, bind the port, load the models.

        Args:
            config: the configuration of the run.
            read_again: reads the current configuration, for `reload`; None if the run can't be reloaded.

        Raises:
            SourceError: a file can't be opened.
            ConfigError: the report's file is also an input or the recording, or an option is not available here.
            OutputError: a port can't be bound, or a file can't be written.
            ModelError: a model can't be found or loaded.
        """
        self._config = config
        self._read_again = read_again
        self._reload_asked = False  # no Event: a signal handler would deadlock if the main thread held its lock
        self._crew = Crew()
        self._stopping = False  # no Event, for the same reason
        self._meter = StageMeter()
        self.stuck_threads: list[str] = []
        self._fleet = Fleet(config, self._crew, self._prepare)
        self._prepared: set[tuple[int, int]] = set()
        for camera in config.cameras:
            _check_file(camera)
        _check_report(config)
        with contextlib.ExitStack() as on_error:
            self._recorder = Recorder(config.record) if config.record else None
            if self._recorder:
                on_error.callback(self._recorder.close)
            socket = open_socket(config.publish)
            on_error.callback(close_socket, socket)
            self._models = load_models(config)
            on_error.pop_all()
        self._governor, self._govern_s = _governor(config), 0.0
        publish = config.publish
        self._door = Door(
            list(self.status),
            config.latency.frames_in_flight,
            config.latency.max_age_ms / 1e3,
            on_drop=lambda camera, cause: self.status[camera].count_dropped(cause),
            held=publish.wait_for_subscribers > 0,
            one_at_a_time=bool(self._models.pooled),
            target_s=None if config.latency.target_ms is None else config.latency.target_ms / 1e3,
            # File frames are read ahead, so their wait at the door is not a delay.
            waited=partial(self._meter.waited, "detect") if not self._models.unhurried else lambda seconds: None,
        )
        # Both tell the door when a frame may enter: the pace when the stages' own threads will be free for it, the pool
        # when one of its threads will be.
        self._pace = Pace(STAGES, self._door.not_before)
        self._pool: Pool | None = None
        if self._models.pooled:
            self._pool = Pool(self._models.pooled, self._models.calls, self._door.let_in, self._models.unhurried)
        self._publisher = PublishStage(
            socket,
            publish,
            StreamInfo(
                session=uuid.uuid4().hex,
                skeleton=self._models.pose.skeleton,
                detector=self._models.detector_name,
                pose=self._models.pose_name,
                device=str(self._models.device),
                smoothing=config.smoothing.method,
                version=__version__,
            ),
            lambda: self._fleet.status,
            self._recorder,
            is_live=self._door.is_live,
            on_published=self._door.leave,
            on_ready=self._door.release_hold,
        )

    def run(self) -> None:
        """Run until the end. Afterwards no thread is alive (see `stuck_threads`) and the port can be bound again.

        Raises:
            SourceError: a source could not be opened.
            TruncatedError: a file is truncated or damaged; its intact frames were published.
            OutputError: the recording or the report could not be written.
            BaseException: any other exception from a thread, unchanged.
        """
        started = time.monotonic()
        channels = self._start()
        try:
            while self._crew.alive() and not self._stopping and not self._crew.failed.is_set():
                self._crew.failed.wait(_TICK_S)
                self._look_after_cameras()
                self._keep_target()
                if self._reload_asked:
                    self._reload_asked = False
                    self._reload()
        finally:
            self._end(channels)
        wall_s = time.monotonic() - started
        for line in summary_lines(list(self.status.values()), self._meter, wall_s):
            log.info(line)
        try:
            self._write_report(wall_s)
        finally:
            if self._crew.failure is not None:  # the first failure, which is the cause of the others
                raise self._crew.failure
        if self._fleet.truncated is not None:
            raise self._fleet.truncated

    @property
    def status(self) -> Mapping[str, CameraStatus]:
        """The state and counters of each camera by name, including removed cameras."""
        return self._fleet.status

    def _prepare(self, size: tuple[int, int]) -> None:
        """Warm up the detector for frames of this size (width, height), before the first one. Needed on a CPU only."""
        if size in self._prepared or not all(size) or not self._pool:
            return
        for _ in self._models.shares():
            self._models.detect.warm_up(size)
        self._prepared.add(size)

    def _look_at(self, side: int) -> None:
        """Set the longer side of the detector's input, once the detector is warmed up for it."""
        for size in list(self._prepared) if side != self._models.detect.size else []:
            for _ in self._models.shares():
                if self._stopping or self._crew.failed.is_set():
                    return
                self._models.detect.warm_up(size, side)
        self._models.detect.size = side

    def _look_after_cameras(self) -> None:
        for name, status in self.status.items():
            if status.check_silence():
                log.warning("%s: timed out: no frame arrives and the driver reports no error; still waiting", name)

    def _keep_target(self) -> None:
        """Reduce or restore the work of the models to meet `latency.target_ms`."""
        if self._governor is None or time.monotonic() < self._govern_s:
            return
        self._govern_s = time.monotonic() + _GOVERN_EVERY_S
        live = [status for camera, status in self.status.items() if self._door.is_live(camera)]
        p95_ms = max((status.recent()[1]["p95"] for status in live), default=0.0)
        if not self._governor.update(time.monotonic(), p95_ms):
            return
        effort = self._governor.effort
        self._models.detect.cadence.every = effort.every
        self._look_at(effort.size)
        self._governor.in_force(time.monotonic())
        if isinstance(self._models.pose, PoseStage):
            self._models.pose.budget.max_people = effort.max_people
        for status in self.status.values():
            status.lowered = self._governor.lowered
        now = ", ".join(self._governor.lowered) or "everything is as configured again"
        log.info("latency: p95 %.0f ms, target %.0f ms: %s", p95_ms, self._config.latency.target_ms, now)

    def stop(self) -> None:
        """End the run gracefully: frames past the door are still published. Safe in a signal handler."""
        self._stopping = True

    def reload(self) -> None:
        """Read the configuration again and apply its cameras. Safe in a signal handler.

        Raises:
            ValueError: the pipeline was built without `read_again`.
        """
        if self._read_again is None:
            raise ValueError("Pipeline.reload: expected a pipeline with read_again, got None")
        self._reload_asked = True

    def _reload(self) -> None:
        assert self._read_again is not None
        try:
            config = self._read_again()
        except ConfigError as error:
            log.error("reload: %s; nothing was changed", error)
            return
        except Exception:  # our bug; the running cameras matter more than the reload
            log.exception("reload: failed; nothing was changed")
            return
        new_live = [camera.name for camera in config.cameras if kind_of(camera.address) in ("webcam", "network")]
        if self._models.unhurried and new_live:
            log.warning(
                "reload: %s: live, but this run started with files and favours throughput over latency; "
                "restart the program",
                ", ".join(new_live),
            )
        other = [key for key in changes(self._config, config) if key != "cameras"]
        if other:
            log.warning("reload: %s: also changed, but takes effect only after a restart", ", ".join(other))
        self._fleet.reload(config.cameras)

    def _start(self) -> list[Channel[Detections] | Channel[Tracks] | Channel[Poses]]:
        """Start all threads, the last stage first. Returns the channels between the stages."""
        config = self._config
        # No channel fills up, unless cameras are added: all frames that the door lets in fit into any one of them.
        capacity = max(1, len(self.status) * config.latency.frames_in_flight)
        relinks = config.tracker.relink_s > 0
        detections: Channel[Detections] = self._channel("track", capacity)
        tracks: Channel[Tracks] = self._channel("pose", capacity)
        poses: Channel[Poses] = self._channel("relink" if relinks else "smooth", capacity)
        relinked: Channel[Poses] = self._channel("smooth", capacity) if relinks else poses
        smoothed: Channel[Poses] = self._channel("publish", capacity)
        start = self._crew.start
        if self._recorder:
            start("record", self._recorder.run)
        publisher = self._publisher
        start("publish", self._loop(publisher, smoothed, None, tick=publisher.tick, tick_s=_TICK_S))
        if relinks:
            relink = RelinkStage(config.tracker.relink_s, self._models.pose.skeleton.sigmas)
            start("relink", self._loop(relink, poses, relinked))
        start("smooth", self._loop(SmoothStage(config.smoothing), relinked, smoothed))
        if self._pool:
            for number in range(self._pool.threads):
                start(f"pool-{number}", partial(self._pool.work, self._mark_failed))
        start("pose", self._loop(self._models.pose, tracks, poses))
        start("track", self._loop(self._models.track, detections, tracks))
        start("detect", self._loop(self._models.detect, self._door, detections))
        self._fleet.start(self._door)
        return [detections, tracks, poses, relinked, smoothed]

    def _channel(self, stage: str, capacity: int) -> Channel[Any]:
        """The channel to a stage. It measures how long items wait, unless the pool does that for the stage."""
        pooled = self._pool is not None and stage in self._models.pooled
        return Channel(capacity) if pooled else Channel(capacity, partial(self._meter.waited, stage))

    def _loop(self, stage: Any, inbox: Any, outbox: Any, **more: Any) -> Callable[[], None]:  # noqa: ANN401 - any stage's types
        """The body of the stage's thread."""
        if self._pool and stage.name in self._models.pooled:
            # Live frames wait for the first stage at the door, which measures that.
            at_door = inbox is self._door and not self._models.unhurried
            waits = {} if at_door else {"waited": partial(self._meter.waited, stage.name)}
            return partial(run_divided, stage, inbox, outbox, self._pool, self._measure, self._mark_failed, **waits)
        if stage in (self._models.detect, self._models.pose):
            more["prepare"] = stage.warm_up  # a GPU's libraries initialise per thread
        return partial(run_stage, stage, inbox, outbox, self._measure, self._mark_failed, self._pace.began, **more)

    def _end(self, channels: list[Channel[Detections] | Channel[Tracks] | Channel[Poses]]) -> None:
        """Give the frames past the door _DRAIN_S to be published, then end every thread."""
        failed = self._crew.failed.is_set()
        self._stopping = True
        self._fleet.stop()
        self._door.stop()
        if failed or self._crew.join(_DRAIN_S):
            for channel in channels:
                channel.abort()
            if self._pool:
                self._pool.stop()
        self.stuck_threads = self._crew.join(_JOIN_S)

    def _measure(self, stage: str, items: int, seconds: float) -> None:
        self._meter.measure(stage, items, seconds)
        self._pace.ended(stage, seconds)

    def _mark_failed(self) -> None:
        """Set all cameras to `failed` before anything closes, so that subscribers do not see an ordinary end."""
        for status in self.status.values():
            status.set_state("failed", "the run failed")

    def _write_report(self, wall_s: float) -> None:
        path = self._config.report
        if path is None:
            return
        models = {"detector": self._models.detector_name, "pose": self._models.pose_name}
        engines = {"detector_engine": self._models.detect.engine_name, "pose_engine": self._models.pose.engine_name}
        models |= {key: name for key, name in engines.items() if name}
        report = build_report(list(self.status.values()), self._meter, wall_s, str(self._models.device), models)
        try:
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"report: can't write {path}: {error.strerror}") from None
