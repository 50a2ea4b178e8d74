"""The graph: builds sources, door, stages and channels, starts them, stops them, waits for them.

The one file that knows them all:

    Camera threads -> Door -> detect -> track -> pose -> relink -> smooth -> publish
                       ^                                                        |
                       +------------------- a place is free ---------------------+

What is wrong fails in the first second: configuration, files, outputs and ports are checked before models are loaded,
models before cameras are opened.
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

# In the order in which a frame passes them; the names that the stages have in timings and reports.
STAGES = ("detect", "track", "pose", "relink", "smooth", "publish")
# After a stop, frames past the door get this long to be finished; then the run ends without them.
_DRAIN_S = 1.5
# By then every thread has ended, or it is given up: a stop takes less than 3 s.
_JOIN_S = 1.0
# How often the publisher looks after its subscribers and states while no frame comes.
_TICK_S = 0.05
# How often the ages are looked at where latency.target_ms asks for it.
_GOVERN_EVERY_S = 1.0


def _check_file(camera: CameraConfig) -> None:
    """A source that is a file or images is opened once, so that one that can't be ends the run before models load."""
    if kind_of(camera.address) not in ("file", "images"):
        return
    with contextlib.suppress(OSError):
        if Path(camera.address).is_fifo():  # which can be read once
            return
    try:
        open_source(camera).close()
    except SourceError as error:
        raise type(error)(f"{camera.name}: {error}", error.reason) from None


def _check_report(config: AppConfig) -> None:
    """The report goes to a file of its own, which can be written.

    Raises:
        ConfigError: it is the recording, or read by a camera.
        OutputError: it can't be written.
    """
    if config.report is None:
        return
    if config.report == config.record:
        raise ConfigError("report: got the same file as record, expected another")
    for camera in config.cameras:
        with contextlib.suppress(OSError):  # one of them isn't there
            if config.report.samefile(camera.address):
                raise ConfigError(
                    f"report: got {config.report}, which {camera.name} is read from, expected another file"
                )
    try:
        config.report.open("a").close()
    except OSError as error:
        raise OutputError(f"report: can't write {config.report}: {error.strerror}") from None


def _governor(config: AppConfig) -> Governor | None:
    if config.latency.target_ms is None:
        return None
    full = Effort(config.detector.every, config.pose.max_people, config.detector.size)
    return Governor(ladder(full, config.latency.means), config.latency.target_ms)


class Pipeline:
    """One run: built ready, then `run` until the sources end or `stop` is called.

    Attributes:
        stuck_threads: after `run`, the threads that a C library still holds; normally none.
    """

    def __init__(self, config: AppConfig, read_again: Callable[[], AppConfig] | None = None) -> None:
        """Check everything cheap, bind the port, load the models.

        Args:
            config: what to do.
            read_again: gives the configuration as it is by now, for `reload`.

        Raises:
            SourceError: a file that isn't there.
            OutputError: a port or a file that can't be had.
            ModelError: see load_models.
        """
        self._config = config
        self._read_again = read_again
        self._reload_asked = False  # no Event: a signal may come while the main thread holds that one's lock
        self._crew = Crew()
        self._stopping = False  # likewise
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
            # Those of files are read ahead: that they wait here means nothing.
            waited=partial(self._meter.waited, "detect") if not self._models.unhurried else lambda seconds: None,
        )
        # Both say when a frame may enter: when a stage's own thread, or one of the pool's, will be free for it.
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
        """Run to the end. Afterwards no thread is alive and the port can be bound again.

        Raises:
            SourceError: a source that could not be opened, or (TruncatedError) a file that ended before its end.
            BaseException: whatever a stage raised, unchanged.
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
            if self._crew.failure is not None:  # what came first, and is the cause
                raise self._crew.failure
        if self._fleet.truncated is not None:
            raise self._fleet.truncated

    @property
    def status(self) -> Mapping[str, CameraStatus]:
        """Each camera's state and counters, by name; also of those that were removed."""
        return self._fleet.status

    def _prepare(self, size: tuple[int, int]) -> None:
        """Have the detector ready for pictures of this size, so that the first one doesn't wait for that."""
        if size in self._prepared or not all(size) or not self._pool:
            return
        for _ in self._models.shares():
            self._models.detect.warm_up(size)
        self._prepared.add(size)

    def _look_at(self, side: int) -> None:
        """Let the detector look at smaller or larger pictures, once it is ready for them."""
        for size in list(self._prepared) if side != self._models.detect.size else []:
            for _ in self._models.shares():
                if self._stopping or self._crew.failed.is_set():
                    return
                self._models.detect.warm_up(size, side)
        self._models.detect.size = side

    def _look_after_cameras(self) -> None:
        for name, status in self.status.items():
            if status.check_silence():
                log.warning("%s: timed out: nothing comes, and its driver doesn't say why; waiting for it", name)

    def _keep_target(self) -> None:
        """Compute less, or more again, where `latency.target_ms` asks for it."""
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
        now = ", ".join(self._governor.lowered) or "all is as configured again"
        log.info("latency: p95 %.0f ms, target %.0f ms: %s", p95_ms, self._config.latency.target_ms, now)

    def stop(self) -> None:
        """End the run in order: what is past the door is finished and published. Safe in a signal handler."""
        self._stopping = True

    def reload(self) -> None:
        """Read the configuration again and take its cameras. Safe in a signal handler.

        Raises:
            ValueError: the pipeline was built without `read_again`.
        """
        if self._read_again is None:
            raise ValueError("Pipeline.reload: expected read_again to be given to the pipeline, got None")
        self._reload_asked = True

    def _reload(self) -> None:
        assert self._read_again is not None
        try:
            config = self._read_again()
        except ConfigError as error:
            log.error("reload: %s; nothing is changed", error)
            return
        except Exception:  # ours; cameras that run are worth more than a file that can't be read
            log.exception("reload: failed; nothing is changed")
            return
        new_live = [camera.name for camera in config.cameras if kind_of(camera.address) in ("webcam", "network")]
        if self._models.unhurried and new_live:
            log.warning("reload: %s: live, but this run began with files, whose frames may be older: start anew for it",
                        ", ".join(new_live))  # fmt: skip
        other = [key for key in changes(self._config, config) if key != "cameras"]
        if other:
            log.warning("reload: %s: changed too, but only a new start takes that", ", ".join(other))
        self._fleet.reload(config.cameras)

    def _start(self) -> list[Channel[Detections] | Channel[Tracks] | Channel[Poses]]:
        """Start all threads, last stage first; the channels between them."""
        config = self._config
        # Never full, unless cameras are added: the door lets no more frames in than fit into any one of them.
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
        """What leads to a stage; its waits are measured here, those of a pooled stage in the pool."""
        pooled = self._pool is not None and stage in self._models.pooled
        return Channel(capacity) if pooled else Channel(capacity, partial(self._meter.waited, stage))

    def _loop(self, stage: Any, inbox: Any, outbox: Any, **more: Any) -> Callable[[], None]:  # noqa: ANN401 - Any: see run_stage
        """What the stage's thread runs."""
        if self._pool and stage.name in self._models.pooled:
            # Live frames wait for the first stage at the door.
            at_door = inbox is self._door and not self._models.unhurried
            waits = {} if at_door else {"waited": partial(self._meter.waited, stage.name)}
            return partial(run_divided, stage, inbox, outbox, self._pool, self._measure, self._mark_failed, **waits)
        if stage in (self._models.detect, self._models.pose):
            more["prepare"] = stage.warm_up  # what a GPU's libraries make ready is the calling thread's alone
        return partial(run_stage, stage, inbox, outbox, self._measure, self._mark_failed, self._pace.began, **more)

    def _end(self, channels: list[Channel[Detections] | Channel[Tracks] | Channel[Poses]]) -> None:
        """Finish what is past the door if that goes quickly, then end every thread."""
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
        """Before anything is closed, so that subscribers are told of no ordinary end."""
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
