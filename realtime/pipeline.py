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
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from realtime import __version__
from realtime.capture.fleet import Fleet
from realtime.capture.kind import check_pipes, is_live_source
from realtime.capture.open import check_source
from realtime.config import AppConfig, CameraConfig, changes, without_secrets
from realtime.loading import load_models, stages_of
from realtime.observe.metrics import StageMeter
from realtime.observe.report import build_report, log_summary
from realtime.observe.report_file import check_report, write_report
from realtime.observe.status import CameraStatus
from realtime.publish.branches import Branches
from realtime.publish.outlets import open_outlets
from realtime.publish.purpose import PrivateEndpoints
from realtime.publish.stage import PublishStage, StreamInfo
from realtime.reload import Reload
from realtime.runtime.activity import Activities
from realtime.runtime.channel import Channel
from realtime.runtime.crew import Crew
from realtime.runtime.door import Door
from realtime.runtime.loop import run_divided, run_stage
from realtime.runtime.pace import Pace
from realtime.runtime.pool import Pool
from realtime.tuning import Tuning

log = logging.getLogger(__name__)

# After a stop, frames past the door have this long to be published; the rest are dropped.
_DRAIN_S = 1.5
# Threads that are still alive after this long are abandoned (`stuck_threads`), so that a stop takes less than 3 s.
_JOIN_S = 0.8
# How often the publisher handles subscribers and states while no frames arrive, and the main loop checks the run.
_TICK_S = 0.05


class _Change(NamedTuple):
    """The changes in a configuration that was read again.

    Attributes:
        cameras: all its cameras.
        live: names of the live ones.
        other: other keys that changed.
    """

    cameras: list[CameraConfig]
    live: list[str]
    other: list[str]


class _Watch:
    """Passes on what the stages report: to the run report, to the pace and to the states of the cameras."""

    def __init__(self, meter: StageMeter, pace: Pace, fleet: Fleet) -> None:
        self._meter, self._pace, self._fleet = meter, pace, fleet

    def began(self, stage: str) -> None:
        self._pace.began(stage)

    def ended(self, stage: str, items: int, seconds: float) -> None:
        self._meter.measure(stage, items, seconds)
        self._pace.ended(stage, seconds)

    def waited(self, stage: str, seconds: float) -> None:
        self._meter.waited(stage, seconds)

    def failed(self) -> None:
        """Set all cameras to `failed` before anything closes, so that subscribers do not see an ordinary end."""
        for status in self._fleet.status.values():
            status.set_state("failed", "the run failed")


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

    def __init__(
        self,
        config: AppConfig,
        read_again: Callable[[], AppConfig] | None = None,
        private: PrivateEndpoints | None = None,
    ) -> None:
        """Check files and outputs, bind the port, load the models.

        Args:
            config: the configuration of the run.
            read_again: reads the current configuration, for `reload`; None if the run can't be reloaded.
            private: more endpoints to publish on, for the process of the live page (realtime.web.page); None: there are
                none.

        Raises:
            SourceError: a file can't be opened.
            ConfigError: an option is not available here.
            OutputError: a port can't be bound, or a file can't be written or must not be replaced.
            ModelError: a model can't be found or loaded.
        """
        self._config = config
        self._reload = Reload(partial(self._read_change, read_again)) if read_again else None
        self._crew = Crew()
        self._stopping = False  # no Event: a signal handler would deadlock if the main thread held its lock
        self._meter = StageMeter()
        self.stuck_threads: list[str] = []
        check_pipes(config.cameras, loop=config.loop)
        for camera in config.cameras:
            check_source(camera)
        if config.report is not None:
            check_report(config.report)
        with contextlib.ExitStack() as on_error:
            self._branches = Branches(config, self._is_live, self._outlives_its_recording)
            on_error.callback(self._branches.close)
            session = uuid.uuid4().hex
            outlets = open_outlets(config.publish, private, session, lambda: self._fleet.status)
            on_error.callback(outlets.close)
            self._activities = Activities(config.activity)
            self._models = models = load_models(config, is_tuned=True)
            models.track.looked = self._activities.looked
            on_error.pop_all()

        budgets = models.core_budgets() if models.pooled else []
        self._tuning = Tuning(config, models.detect, models.pose, budgets, self._is_ending)
        self._door = Door(
            [camera.name for camera in config.cameras],
            config.latency.frames_in_flight,
            config.latency.max_age_ms / 1e3,
            on_drop=lambda camera, cause: self.status[camera].count_dropped(cause),
            held=config.publish.wait_for_subscribers > 0,
            one_at_a_time=bool(models.pooled),
            target_s=None if config.latency.target_ms is None else config.latency.target_ms / 1e3,
            # File frames are read ahead, so their wait at the door is not a delay.
            waits=None if models.throughput else self._meter,
            send=models.send,
        )
        self._fleet = Fleet(config, self._crew, self._door, self._tuning.prepare, self._activities)
        info = StreamInfo(
            session=session,
            skeleton=models.pose.skeleton,
            detector=models.detector_name,
            pose=models.pose_name,
            device=str(models.device),
            smoothing=config.smoothing.method,
            version=__version__,
            pictures=outlets.pictures.endpoint if outlets.pictures else None,
        )
        self._branches.prepare(models.pose.skeleton, lambda: self.status, outlets.pictures)
        self._publisher = PublishStage(
            outlets.sockets[0],
            config.publish,
            info,
            lambda: self._fleet.status,
            self._branches.recorder,
            self._door,
            self._meter,
            self._branches.all,
            outlets.sockets[1:],
        )
        self._chain = [*stages_of(config, models), self._publisher]
        # The pace and the pool tell the door when a frame may enter: when the stages' own threads, or one of the pool's
        # threads, will be free for it.
        self._watch = _Watch(self._meter, Pace([stage.name for stage in self._chain], self._door), self._fleet)
        self._pool: Pool | None = None
        if models.pooled:
            self._pool = Pool(models.pooled, models.concurrency, self._door, self._watch, models.throughput)

    def run(self, beside: contextlib.AbstractContextManager[object] | None = None) -> None:
        """Run until the end. Afterwards no thread is alive (see `stuck_threads`) and the port can be bound again.

        Args:
            beside: entered while the cameras run and left before the summary is logged, such as a display of `status`.

        Raises:
            SourceError: a source could not be opened.
            TruncatedError: a file is truncated or damaged; its intact frames were published.
            RealtimeError: the report, or the recording of a file, could not be written.
            OutputError: the earlier recording could not be renamed.
            BaseException: any other exception from a thread, unchanged.
        """
        started = time.monotonic()
        with beside or contextlib.nullcontext():
            self._run_cameras()
        wall_s = time.monotonic() - started
        log_summary(list(self.status.values()), self._meter, wall_s)
        self._branches.log_losses()
        try:
            self._write_report(wall_s)
        finally:
            if self._crew.failure is not None:  # the first failure, which is the cause of the others
                raise self._crew.failure
        if self._fleet.truncated is not None:
            raise self._fleet.truncated
        self._branches.check()

    def _run_cameras(self) -> None:
        """Run the cameras until they end, `stop` is called or a thread fails. Then end every thread."""
        channels = self._start()
        try:
            while self._crew.alive() and not self._stopping and not self._crew.failed.is_set():
                self._wait()
                self._look_after_cameras()
                self._forget_removed()
                self._tuning.compile_next(self._start_beside)
                self._tuning.keep_target(self._live_cameras, self.status.values())
                if self._reload and (change := self._reload.poll()):
                    self._apply(change)
        except KeyboardInterrupt:  # in a program without our signal handlers
            self._stopping = True
            raise
        except BaseException:
            self._watch.failed()
            raise
        finally:
            self._end(channels)

    @property
    def status(self) -> Mapping[str, CameraStatus]:
        """The state and counters of each camera by name, including removed cameras."""
        return self._fleet.status

    def _wait(self) -> None:
        """Wait for the next look at the run. The window is drawn meanwhile, which ends the run if it is closed."""
        if (preview := self._branches.preview) is None:
            self._crew.failed.wait(_TICK_S)
            return
        preview.wait(_TICK_S)
        if preview.is_over:
            self.stop()

    def _look_after_cameras(self) -> None:
        for name, status in self.status.items():
            if status.check_silence():
                text = "%s: timed out: no frame arrives and the driver reports no error; still waiting"
                log.warning(text, name, extra={"camera": name, "state": "reconnecting", "reason": "timed out"})

    def _forget_removed(self) -> None:
        """Let the stages drop the state of each removed camera, once its last frame has left the pipeline."""
        for camera in [camera for camera in self._fleet.removed if self._door.is_empty(camera)]:
            for stage in self._chain:
                stage.forget(camera)
            self._activities.forget(camera)
            self._fleet.removed.remove(camera)

    def _is_live(self, camera: str) -> bool:
        return self._door.is_live(camera)

    def _live_cameras(self) -> list[CameraStatus]:
        return [status for camera, status in self.status.items() if self._door.is_live(camera)]

    def _outlives_its_recording(self) -> bool:
        """Whether the run has a live camera, so that it continues if its recording can't be written."""
        return not self._models.throughput or bool(self._live_cameras())

    def _is_ending(self) -> bool:
        return self._stopping or self._crew.failed.is_set()

    def stop(self) -> None:
        """End the run gracefully: frames past the door are still published. Safe in a signal handler."""
        self._stopping = True

    def reload(self) -> None:
        """Read the configuration again and apply its cameras. Safe in a signal handler.

        Raises:
            ValueError: the pipeline was built without `read_again`.
        """
        if self._reload is None:
            raise ValueError("Pipeline.reload: expected a pipeline with read_again, got None")
        self._reload.ask()

    def _read_change(self, read_again: Callable[[], AppConfig]) -> _Change:
        config = read_again()
        check_pipes(config.cameras, loop=self._config.loop)
        live = [camera.name for camera in config.cameras if is_live_source(camera.address)]
        return _Change(config.cameras, live, [key for key in changes(self._config, config) if key != "cameras"])

    def _apply(self, change: _Change) -> None:
        if self._models.throughput and change.live:
            log.warning(
                "reload: %s: live, but this run started with files and favours throughput over latency; "
                "restart the program",
                ", ".join(change.live),
            )
        if change.other:
            log.warning("reload: %s: also changed, but takes effect only after a restart", ", ".join(change.other))
        self._fleet.reload(change.cameras)

    def _start(self) -> list[Channel[Any]]:
        """Start all threads, the last stage first. Returns the channels between the stages."""
        # No channel fills up, unless cameras are added: all frames that the door lets in fit into any one of them.
        capacity = max(1, len(self.status) * self._config.latency.frames_in_flight)
        channels = [self._channel(stage.name, capacity) for stage in self._chain[1:]]
        self._branches.start(self._crew.start)
        for number in range(self._pool.threads if self._pool else 0):
            assert self._pool is not None
            self._crew.start(f"pool-{number}", self._pool.work)
        steps = zip(self._chain, [self._door, *channels], [*channels, None], strict=True)
        for stage, inbox, outbox in reversed(list(steps)):
            self._crew.start(stage.name, self._loop(stage, inbox, outbox))
        self._fleet.start()
        return channels

    def _start_beside(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Start an additional thread. Its failure ends the run, like that of a stage."""

        def body() -> None:
            try:
                work()
            except BaseException:
                self._watch.failed()
                raise

        return self._crew.start(name, body)

    def _channel(self, stage: str, capacity: int) -> Channel[Any]:
        """The channel to a stage. It measures how long items wait, unless the pool does that for the stage."""
        return Channel(capacity, stage, None if stage in self._models.pooled else self._meter)

    def _loop(self, stage: Any, inbox: Any, outbox: Any) -> Callable[[], None]:  # noqa: ANN401 - any stage's types
        """The body of the stage's thread."""
        if self._pool and stage.name in self._models.pooled:
            # Live frames wait for the first stage at the door, which measures that.
            at_door = inbox is self._door and not self._models.throughput
            return partial(run_divided, stage, inbox, outbox, self._pool, self._watch, waits_at_door=at_door)
        loop = partial(run_stage, stage, inbox, outbox, self._watch)
        if stage in (self._models.detect, self._models.pose):
            return partial(loop, prepare=stage.warm_up)  # a GPU's libraries initialise per thread
        if stage is self._publisher:
            return partial(loop, tick=stage.tick, tick_s=_TICK_S)
        return loop

    def _end(self, channels: list[Channel[Any]]) -> None:
        """Give the frames past the door _DRAIN_S to be published, then end every thread."""
        failed = self._crew.failed.is_set()
        if failed:
            self._watch.failed()
        elif self._stopping:
            for status in self.status.values():
                status.stop()
        self._stopping = True
        if self._branches.preview:
            self._branches.preview.close()
        self._fleet.stop()
        self._door.stop()
        if failed or self._crew.join(_DRAIN_S):
            for channel in channels:
                channel.abort()
            if self._pool:
                self._pool.stop()
            self._branches.give_up()
        self.stuck_threads = self._crew.join(_JOIN_S)

    def _write_report(self, wall_s: float) -> None:
        if self._config.report is None:
            return
        models = {"detector": self._models.detector_name, "pose": self._models.pose_name}
        engines = {"detector_engine": self._models.detect.engine_name, "pose_engine": self._models.pose.engine_name}
        models |= {key: name for key, name in engines.items() if name}
        report = build_report(
            list(self.status.values()),
            self._meter,
            wall_s,
            str(self._models.device),
            models,
            without_secrets(self._config),
        )
        write_report(self._config.report, report)
