"""Publishes: Poses -> ZeroMQ messages, the recording and the side branches.

The last stage. publish.stream sends its messages, together with those of info and status. A slow subscriber loses
messages and never blocks it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from realtime import wire
from realtime.config import PublishConfig
from realtime.observe.metrics import StageMeter
from realtime.observe.status import CameraStatus
from realtime.publish.audience import Swap
from realtime.publish.branches import Branch
from realtime.publish.message import to_message
from realtime.publish.record import Recorder
from realtime.publish.socket import PublishSocket
from realtime.publish.stream import Stream
from realtime.runtime.gates import Exit
from realtime.skeleton import Skeleton
from realtime.types import Poses

log = logging.getLogger(__name__)

# How long the last status waits for the recording, whose queue is usually written within milliseconds.
_RECORDED_S = 0.2
# The info beside a recording names this many swaps of a camera at most, the latest ones: memory stays bounded.
_SWAPS_KEPT = 10_000


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
        self._config = config
        self._waits = config.wait_for_subscribers > 0
        self._info = info
        self._cameras = cameras
        self._recorder = recorder
        self._door = door
        self._branches = branches
        self._seq: Counter[str] = Counter()
        self._swaps: defaultdict[str, deque[Swap]] = defaultdict(lambda: deque(maxlen=_SWAPS_KEPT))
        self._stream = Stream(
            [socket, *more_sockets],
            config.encoding,
            cameras,
            self._describe,
            meter,
            recorder.status if recorder else lambda: None,
        )

    def process(self, batch: list[Poses]) -> list[Poses]:
        """Publish the poses of each frame, in order."""
        for poses in batch:
            self._publish(poses)
        return batch

    def tick(self) -> None:
        """Handle new subscribers and send the info and status messages that are due.

        Called between batches and while no frames arrive.
        """
        self._stream.tick()
        if self._waits and (size := self._stream.readers()) >= self._config.wait_for_subscribers:
            log.info("subscribers connected: %d; starting", size)
            self._waits = False
            self._door.release_hold()

    def forget(self, camera: str) -> None:
        """Do nothing: this stage drops the state of a removed camera itself, with the camera's final status."""

    def close(self) -> None:
        """Send the final states and counts, then close the sockets."""
        if self._recorder:
            for camera in self._cameras():
                self._describe(camera)
            self._recorder.finish(_RECORDED_S)
        for branch in self._branches:
            branch.finish()
        self._stream.close()

    def _publish(self, poses: Poses) -> None:
        frame = poses.frame
        age_ms = (time.monotonic_ns() - frame.captured_mono_ns) / 1e6
        seq, skeleton = self._seq[frame.camera], self._info.skeleton.name
        message = to_message(poses, self._info.session, seq, skeleton, self._config.raw_keypoints, age_ms)
        self._stream.send(wire.pose_topic(frame.camera), message)
        self._seq[frame.camera] += 1
        swaps = [(one, other, seq) for one, other in poses.swapped]
        self._stream.see(message, poses.ended, swaps)
        if swaps:
            self._swaps[frame.camera].extend(swaps)
            self._describe(frame.camera)
        status = self._cameras()[frame.camera]
        status.people = len(poses.track_ids)
        status.count_published(age_ms)
        self._door.leave(frame.camera)
        if self._recorder:
            self._recorder.write(message, wait=not self._door.is_live(frame.camera))
        for branch in self._branches:
            branch.offer(poses, message.seq)

    def _describe(self, camera: str) -> wire.InfoMessage:
        """Build the info of a camera. It is also written beside the recording, with the camera's swaps."""
        info = self._info_of(camera)
        if self._recorder:
            swaps = self._swaps.get(camera)
            self._recorder.describe(self._info_of(camera, list(swaps)) if swaps else info)
        return info

    def _info_of(self, camera: str, swaps: list[Swap] | None = None) -> wire.InfoMessage:
        status = self._cameras()[camera]
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
            live=None if status.size is None else self._door.is_live(camera),
            swaps=wire.UNSET if swaps is None else swaps,
        )
