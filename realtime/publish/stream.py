"""The stream: its sockets, and the info and status messages of all cameras, which are sent when they are due.

Used by publish.stage, and by recordings.replay, which has messages instead of frames.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from realtime import wire
from realtime.observe import process
from realtime.observe.metrics import StageMeter
from realtime.observe.status import REMOVED, CameraStatus
from realtime.publish.audience import Audience, Presence, Swap, covers
from realtime.publish.socket import PublishSocket

_STATUS_EVERY_S = 1.0
_INFO_EVERY_S = 5.0


class Stream:
    """Sends messages to all sockets of the stream. One thread uses it.

    Info messages are sent when a subscriber joins, when they change, and every 5 s; status messages every second, and
    when the state of a camera or its tracks change.

    >>> from realtime.config import PublishConfig
    >>> socket = PublishSocket(PublishConfig(bind=["tcp://127.0.0.1:*"]))
    >>> status = {"cam0": CameraStatus("cam0")}
    >>> stream = Stream([socket], "msgpack", lambda: status, lambda camera: wire.InfoMessage(
    ...     session="s1", camera=camera, keypoint_names=[], edges=[], detector="yolo11n", pose="none", device="cpu",
    ...     smoothing="none", source_fps=status[camera].source_fps, size=status[camera].size, version="0.1.0",
    ... ))
    >>> stream.tick(), stream.readers()
    (None, 0)
    >>> stream.close()
    """

    def __init__(
        self,
        sockets: Sequence[PublishSocket],
        encoding: wire.Encoding,
        cameras: Callable[[], Mapping[str, CameraStatus]],
        describe: Callable[[str], wire.InfoMessage],
        meter: StageMeter | None = None,
        recording: Callable[[], wire.Recording | None] = lambda: None,
    ) -> None:
        """Take over the sockets.

        Args:
            sockets: bound sockets, each of which gets every message; `close` closes them.
            encoding: of all messages.
            cameras: returns the status of each camera by name; cameras may be added.
            describe: returns the info of a camera. It is sent again when the size or the frame rate of its status
                changes.
            meter: the times of all stages, for the status messages; None: there are no stages.
            recording: returns how far the recording is, for the status messages.
        """
        self._sockets = sockets
        self._encoding = encoding
        self._cameras, self._describe = cameras, describe
        self._meter, self._recording = meter or StageMeter(), recording
        self._stages, self._process = self._measured()
        self._started_s = time.monotonic()
        self._presence: defaultdict[str, Presence] = defaultdict(Presence)
        self._told_info: dict[str, wire.InfoMessage] = {}
        self._told_state: dict[str, tuple[str, str | None]] = {}
        self._told_activity: dict[str, str | None] = {}
        self._next_status_s = self._next_info_s = self._started_s
        self._audiences = [Audience(each, cameras) for each in sockets]

    def send(self, topic: bytes, message: wire.Message) -> bool:
        """Send a message to the subscribers of a topic. Return whether all sockets did."""
        payload = wire.encode(message, self._encoding)
        has_taken = [socket.send(topic, payload) for socket in self._sockets]
        return all(has_taken)

    def see(self, message: wire.PoseMessage, ended: Iterable[int] = (), swapped: Iterable[Swap] = ()) -> None:
        """Take the tracks of a pose message that was sent, for the next status message.

        Args:
            message: the message.
            ended: ids of the tracks that ended for good with it.
            swapped: the ids that were exchanged with it.
        """
        self._presence[message.camera].see(message.epoch, message.track_ids, ended, swapped)

    def readers(self) -> int:
        """Count the readers that `publish.wait_for_subscribers` waits for."""
        return sum(audience.size() for audience in self._audiences if not audience.is_private)

    def tick(self) -> None:
        """Handle new subscribers and send the info and status messages that are due."""
        now = time.monotonic()
        # Send nothing more for a removed camera after its final status.
        cameras = {
            camera: status
            for camera, status in self._cameras().items()
            if not status.is_removed or self._told_state.get(camera) != status.state
        }
        joined = set[bytes]().union(*(audience.listen() for audience in self._audiences))
        if now >= self._next_info_s:
            self._next_info_s = now + _INFO_EVERY_S
            self._send_info(cameras)
        else:
            self._send_info(
                camera
                for camera, status in cameras.items()
                if covers(joined, wire.info_topic(camera)) or self._is_changed(camera, status)
            )
        if now >= self._next_status_s:
            self._next_status_s = now + _STATUS_EVERY_S
            self._stages, self._process = self._measured()
            self._send_status(cameras)
        else:
            self._send_status(
                [
                    camera
                    for camera, status in cameras.items()
                    if self._told_state.get(camera) != status.state
                    or self._told_activity.get(camera) != status.activity
                    or self._presence[camera].has_news
                ]
            )

    def begin_again(self, camera: str) -> None:
        """Send the info and the status of a camera with the next `tick`, because its session is a new one."""
        self._told_info.pop(camera, None)
        self._told_state.pop(camera, None)
        self._presence.pop(camera, None)

    def close(self) -> None:
        """Send the final states and counts, then close the sockets."""
        self._stages, self._process = self._measured()
        for camera, status in self._cameras().items():
            status.finish()
            if not status.is_removed or self._told_state.get(camera) != status.state:
                self._send_status([camera])
        for socket in self._sockets:  # each delivers its last messages while the others do
            socket.end()
        for socket in self._sockets:
            socket.close()

    def _is_changed(self, camera: str, status: CameraStatus) -> bool:
        told = self._told_info.get(camera)
        return told is None or (told.size, told.source_fps) != (status.size, status.source_fps)

    def _send_info(self, cameras: Iterable[str]) -> None:
        for camera in cameras:
            self._told_info[camera] = message = self._describe(camera)
            self.send(wire.info_topic(camera), message)

    def _measured(self) -> tuple[dict[str, dict[str, float]], wire.Process]:
        """What the status messages of all cameras have in common, measured now."""
        usage = wire.Process(cpu_s=round(process.cpu_s(), 3), rss_mb=round(process.rss_mb(), 1))
        return self._meter.recent(), usage

    def _send_status(self, cameras: Iterable[str]) -> None:
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
            started, ended, swapped = presence.news()
            message = wire.StatusMessage(
                session=(self._told_info.get(camera) or self._describe(camera)).session,
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
                tracks_swapped=swapped,
                lowered=status.lowered,
                recording=self._recording(),
                since_ns=since_ns,
                drops=counts.drops,
                stages=self._stages,
                reconnects=dict(status.losses),
                process=self._process,
                activity=wire.UNSET if activity is None else activity,
            )
            self.send(wire.status_topic(camera), message)
