"""The stream: Poses -> ZeroMQ messages, together with status and info messages.

The last stage. It owns the stream's sockets, used from one thread. A slow subscriber loses messages and never
blocks it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from realtime import wire
from realtime.config import PublishConfig
from realtime.observe import process
from realtime.observe.metrics import StageMeter
from realtime.observe.status import REMOVED, CameraStatus
from realtime.publish.audience import Audience, Presence, covers
from realtime.publish.branches import Branch
from realtime.publish.message import to_message
from realtime.publish.record import Recorder
from realtime.publish.socket import PublishSocket
from realtime.runtime.gates import Exit
from realtime.skeleton import Skeleton
from realtime.types import Poses

log = logging.getLogger(__name__)

_STATUS_EVERY_S = 1.0
_INFO_EVERY_S = 5.0
# How long the last status waits for the recording, whose queue is usually written within milliseconds.
_RECORDED_S = 0.2


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """The fields of InfoMessage that hold for the whole run."""

    session: str
    skeleton: Skeleton
    detector: str
    pose: str
    device: str
    smoothing: str
    version: str
    pictures: str | None = None


class PublishStage:
    """Publishes pose, status and info messages, and hands every pose message to the recorder and the side branches.

    >>> import numpy as np
    >>> from realtime.runtime.door import Door
    >>> from realtime.skeleton import COCO17
    >>> from realtime.types import Frame
    >>> config = PublishConfig(bind=["tcp://127.0.0.1:*"])
    >>> status, info = {"cam0": CameraStatus("cam0")}, StreamInfo("s", COCO17, "yolov8n", "none", "cpu", "none", "0.1")
    >>> door = Door(["cam0"], frames_in_flight=2, max_age_s=1.0)
    >>> stage = PublishStage(PublishSocket(config), config, info, lambda: status, None, door, StageMeter())
    >>> door.put(Frame("cam0", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0))
    >>> published = stage.process([Poses.empty(frame, 17) for frame in door.take()])
    >>> status["cam0"].published
    1
    >>> stage.close()
    """

    name = "publish"

    def __init__(
        self,
        socket: PublishSocket,
        config: PublishConfig,
        info: StreamInfo,
        cameras: Callable[[], Mapping[str, CameraStatus]],
        recorder: Recorder | None,
        door: Exit,
        meter: StageMeter,
        branches: Sequence[Branch] = (),
        more_sockets: Sequence[PublishSocket] = (),
    ) -> None:
        """Take over the sockets.

        Args:
            socket: the bound socket; `close` closes it.
            config: the section `publish` of the configuration.
            info: the fields of InfoMessage that hold for the whole run.
            cameras: returns the status of each camera by name; cameras may be added during the run. The stage counts
                published frames there, and publishes the status every second and at each change of state or activity.
            recorder: receives every pose message; None records nothing.
            door: notified of each published frame, and opened once `publish.wait_for_subscribers` subscribers are
                connected. The recording of a camera that is live there may have gaps; that of a file waits for the
                disk.
            meter: the times of all stages, for the status messages.
            branches: receive every published frame, after its message was sent.
            more_sockets: further bound sockets that get every message, such as a private one.
        """
        self._sockets = [socket, *more_sockets]
        self._config = config
        self._waits = config.wait_for_subscribers > 0
        self._info = info
        self._cameras = cameras
        self._recorder = recorder
        self._door = door
        self._meter = meter
        self._stages, self._process = self._measured()
        self._branches = branches
        self._started_s = time.monotonic()
        self._seq: Counter[str] = Counter()
        self._presence: defaultdict[str, Presence] = defaultdict(Presence)
        self._told_state: dict[str, tuple[str, str | None]] = {}
        self._told_activity: dict[str, str | None] = {}
        self._told_source: dict[str, tuple[object, object]] = {}
        self._next_status_s = self._next_info_s = self._started_s
        self._audiences = [Audience(each, cameras) for each in self._sockets]

    def process(self, batch: list[Poses]) -> list[Poses]:
        """Publish the poses of each frame, in order."""
        for poses in batch:
            self._publish(poses)
        return batch

    def tick(self) -> None:
        """Handle new subscribers and send the info and status messages that are due.

        Called between batches and while no frames arrive.
        """
        now = time.monotonic()
        # Send nothing more for a removed camera after its final status.
        cameras = {
            camera: status
            for camera, status in self._cameras().items()
            if not status.is_removed or self._told_state.get(camera) != status.state
        }
        joined = set[bytes]().union(*(audience.listen() for audience in self._audiences))
        if self._waits and (size := self._readers()) >= self._config.wait_for_subscribers:
            log.info("subscribers connected: %d; starting", size)
            self._waits = False
            self._door.release_hold()
        source = {camera: (status.size, status.source_fps) for camera, status in cameras.items()}
        if now >= self._next_info_s:
            self._next_info_s = now + _INFO_EVERY_S
            self._send_info(list(cameras))
        else:
            self._send_info(
                [
                    camera
                    for camera in cameras
                    if covers(joined, wire.info_topic(camera)) or self._told_source.get(camera) != source[camera]
                ]
            )
        if now >= self._next_status_s:
            self._next_status_s = now + _STATUS_EVERY_S
            self._stages, self._process = self._measured()
            self._send_status(list(cameras))
        else:
            news = [
                camera
                for camera, status in cameras.items()
                if self._told_state.get(camera) != status.state
                or self._told_activity.get(camera) != status.activity
                or self._presence[camera].has_news
            ]
            self._send_status(news)

    def forget(self, camera: str) -> None:
        """Do nothing: this stage drops the state of a removed camera itself, with the camera's final status."""

    def close(self) -> None:
        """Send the final states and counts, then close the sockets."""
        if self._recorder:
            for camera, status in self._cameras().items():
                self._recorder.describe(self._describe(camera, status))
            self._recorder.finish(_RECORDED_S)
        self._stages, self._process = self._measured()
        for branch in self._branches:
            branch.finish()
        for camera, status in self._cameras().items():
            status.finish()
            if not status.is_removed or self._told_state.get(camera) != status.state:
                self._send_status([camera])
        for socket in self._sockets:  # each delivers its last messages while the others do
            socket.end()
        for socket in self._sockets:
            socket.close()

    def _readers(self) -> int:
        """Count the readers that `publish.wait_for_subscribers` waits for."""
        return sum(audience.size() for audience in self._audiences if not audience.is_private)

    def _publish(self, poses: Poses) -> None:
        frame = poses.frame
        age_ms = (time.monotonic_ns() - frame.captured_mono_ns) / 1e6
        seq, skeleton = self._seq[frame.camera], self._info.skeleton.name
        message = to_message(poses, self._info.session, seq, skeleton, self._config.raw_keypoints, age_ms)
        self._send(wire.pose_topic(frame.camera), message)
        self._seq[frame.camera] += 1
        self._presence[frame.camera].see(frame.epoch, message.track_ids, poses.ended)
        self._cameras()[frame.camera].count_published(age_ms)
        self._door.leave(frame.camera)
        if self._recorder:
            self._recorder.write(message, wait=not self._door.is_live(frame.camera))
        for branch in self._branches:
            branch.offer(poses, message.seq)

    def _send_info(self, cameras: list[str]) -> None:
        for camera in cameras:
            status = self._cameras()[camera]
            self._told_source[camera] = (status.size, status.source_fps)
            message = self._describe(camera, status)
            if self._recorder:
                self._recorder.describe(message)
            self._send(wire.info_topic(camera), message)

    def _describe(self, camera: str, status: CameraStatus) -> wire.InfoMessage:
        return wire.InfoMessage(
            session=self._info.session,
            camera=camera,
            keypoint_names=list(self._info.skeleton.keypoint_names),
            edges=list(self._info.skeleton.edges),
            detector=self._info.detector,
            pose=self._info.pose,
            device=self._info.device,
            smoothing=self._info.smoothing,
            source_fps=status.source_fps,
            size=status.size,
            version=self._info.version,
            pictures=self._info.pictures,
        )

    def _measured(self) -> tuple[dict[str, dict[str, float]], wire.Process]:
        """What the status messages of all cameras have in common, measured now."""
        usage = wire.Process(cpu_s=round(process.cpu_s(), 3), rss_mb=round(process.rss_mb(), 1))
        return self._meter.recent(), usage

    def _send_status(self, cameras: list[str]) -> None:
        for camera in cameras:
            status = self._cameras()[camera]
            state, reason, since_ns = status.phase()
            activity = status.activity
            self._told_state[camera], self._told_activity[camera] = (state, reason), activity
            counts = status.counts()
            fps, latency_ms = status.recent()
            presence = self._presence[camera]
            if (state, reason) == REMOVED:  # its last message, unless the camera is added again
                presence.end()
                del self._presence[camera]
            started, ended = presence.news()
            message = wire.StatusMessage(
                session=self._info.session,
                camera=camera,
                state=state,
                reason=reason,
                captured=counts.captured,
                dropped=counts.dropped,
                published=counts.published,
                fps=round(fps, 3),
                latency_ms={name: round(ms, 3) for name, ms in latency_ms.items()},
                uptime_s=round(time.monotonic() - self._started_s, 3),
                tracks_started=started,
                tracks_ended=ended,
                lowered=status.lowered,
                recording=self._recorder.status() if self._recorder else None,
                since_ns=since_ns,
                drops=counts.drops,
                stages=self._stages,
                reconnects=dict(status.losses),
                process=self._process,
                activity=wire.UNSET if activity is None else activity,
            )
            self._send(wire.status_topic(camera), message)

    def _send(self, topic: bytes, message: wire.Message) -> None:
        payload = wire.encode(message, self._config.encoding)
        for socket in self._sockets:
            socket.send(topic, payload)
