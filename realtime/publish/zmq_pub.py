"""The stream: Poses -> ZeroMQ messages, together with status and info messages.

The last stage. It owns one XPUB socket, used from one thread. A slow subscriber loses messages and never blocks it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from realtime import wire
from realtime.config import PublishConfig
from realtime.errors import OutputError
from realtime.observe.status import CameraStatus
from realtime.publish.message import to_message
from realtime.publish.record import Recorder
from realtime.skeleton import Skeleton
from realtime.types import Poses
from realtime.wire.keys import load_public, load_secret

log = logging.getLogger(__name__)

_STATUS_EVERY_S = 1.0
_INFO_EVERY_S = 5.0
# Length of the queue of each subscriber, in messages. ZeroMQ drops what doesn't fit; older poses would be of no use.
_SEND_HIGH_WATER = 64
# How long closing waits for the last messages to be sent. 0 loses them; ZeroMQ's default may wait forever.
_LINGER_MS = 200
# Limit for a message from a subscriber, which only sends subscriptions of a few bytes.
_MAX_INCOMING_BYTES = 4096

_WHY_NOT_BOUND = {
    errno.EADDRINUSE: "already in use by another program: choose another port",
    errno.EACCES: "permission denied: choose a port above 1023",
    errno.EADDRNOTAVAIL: "no network interface of this machine has this address",
    errno.ENODEV: "no such network interface",
    errno.ENOENT: "the socket's folder does not exist",
}


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


class _Context(zmq.Context[zmq.Socket[bytes]]):
    """A ZeroMQ context with the thread that checks the keys of subscribers."""

    authenticator: ThreadAuthenticator | None = None


def open_socket(config: PublishConfig) -> zmq.Socket[bytes]:
    """Bind the XPUB socket. It may be handed to another thread once, before its first use there.

    Raises:
        OutputError: an endpoint can't be bound, or a key can't be read.
    """
    context = _Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_VERBOSER, 1)  # reports every subscription, including repeated ones
    socket.setsockopt(zmq.SNDHWM, _SEND_HIGH_WATER)
    socket.setsockopt(zmq.LINGER, _LINGER_MS)
    socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INCOMING_BYTES)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 1000)
    # The operating system detects dead peers. ZeroMQ's heartbeats would disconnect a subscriber that pauses until its
    # queue is full, and libzmq then aborts that program when it reads again (libzmq issue 3937).
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    socket.setsockopt(zmq.IPV6, int(any("[" in endpoint for endpoint in config.bind)))
    try:
        _use_keys(context, socket, config)
    except ValueError as error:
        socket.close()
        context.term()
        raise OutputError(f"publish.curve_secret: {error}") from None
    # The monitor starts before the first bind, so that subscribers that connect while models load are counted.
    socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
    for endpoint in config.bind:
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            close_socket(socket)
            why = _WHY_NOT_BOUND.get(error.errno or 0, str(error))
            raise OutputError(f"publish.bind: can't bind {endpoint}: {why}") from None
        log.info("publishing on %s", socket.get_string(zmq.LAST_ENDPOINT))
    return socket


def _use_keys(context: _Context, socket: zmq.Socket[bytes], config: PublishConfig) -> None:
    """Encrypt the stream, and accept only readers whose public key is in the folder.

    Raises:
        ValueError: a key can't be read, or the folder contains no reader's key.
    """
    if config.curve_secret is None or config.clients is None:
        return
    key = load_secret(config.curve_secret)
    readers = sorted(config.clients.glob("*.key"))
    if not readers:
        raise ValueError(f"no reader's public key (*.key) in {config.clients}: add one, or the stream can't be read")
    for reader in readers:
        load_public(reader)
    context.authenticator = ThreadAuthenticator(context)
    context.authenticator.start()
    context.authenticator.configure_curve(domain="*", location=config.clients)
    socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
    socket.curve_server = True
    log.info("the stream is encrypted, accepted reader keys: %d", len(readers))


def close_socket(socket: zmq.Socket[bytes]) -> None:
    """Close the socket and its context, after at most _LINGER_MS for the last messages."""
    context = socket.context
    monitor = socket.get_monitor_socket()
    socket.disable_monitor()
    monitor.close(linger=0)  # pyzmq leaves it open, and context.term() would wait for it forever
    socket.close(linger=_LINGER_MS)
    if isinstance(context, _Context) and context.authenticator is not None:
        context.authenticator.stop()
    context.term()


class PublishStage:
    """Publishes pose, status and info messages, and hands every pose message to the recorder.

    >>> import numpy as np
    >>> from realtime.skeleton import COCO17
    >>> from realtime.types import Frame
    >>> config = PublishConfig(bind=["tcp://127.0.0.1:*"])
    >>> status, info = {"cam0": CameraStatus("cam0")}, StreamInfo("s", COCO17, "yolov8n", "none", "cpu", "none", "0.1")
    >>> stage = PublishStage(
    ...     open_socket(config), config, info, lambda: status, None,
    ...     is_live=lambda camera: True, on_published=print, on_ready=lambda: None,
    ... )
    >>> frame = Frame("cam0", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0)
    >>> published = stage.process([Poses.empty(frame, 17)])
    cam0
    >>> stage.close()
    """

    name = "publish"

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        config: PublishConfig,
        info: StreamInfo,
        cameras: Callable[[], Mapping[str, CameraStatus]],
        recorder: Recorder | None,
        *,
        is_live: Callable[[str], bool],
        on_published: Callable[[str], None],
        on_ready: Callable[[], None],
    ) -> None:
        """Take over the socket.

        Args:
            socket: the socket from `open_socket`; `close` closes it.
            config: the section `publish` of the configuration.
            info: the fields of InfoMessage that hold for the whole run.
            cameras: returns the status of each camera by name; cameras may be added during the run. The stage counts
                published frames there, and publishes the status every second and at each change of state.
            recorder: receives every pose message; None records nothing.
            is_live: returns whether a camera is live. The recording of a live camera may have gaps; that of a file
                waits for the disk.
            on_published: called with the camera's name after each published frame.
            on_ready: called once, when `publish.wait_for_subscribers` subscribers are connected; never if that is 0.
        """
        self._socket = socket
        self._config = config
        self._waits = config.wait_for_subscribers > 0
        self._info = info
        self._cameras = cameras
        self._recorder = recorder
        self._is_live = is_live
        self._on_published = on_published
        self._on_ready = on_ready
        self._started_s = time.monotonic()
        self._seq: Counter[str] = Counter()
        self._presence: defaultdict[str, _Presence] = defaultdict(_Presence)
        self._told_state: dict[str, tuple[str, str | None]] = {}
        self._told_source: dict[str, tuple[object, object]] = {}
        self._next_status_s = self._next_info_s = self._started_s
        self._audience = _Audience(socket, [wire.pose_topic(camera) for camera in cameras()])

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
        for prefix in self._audience.listen():
            self._send_info([camera for camera in cameras if wire.info_topic(camera).startswith(prefix)])
        if self._waits and self._audience.size() >= self._config.wait_for_subscribers:
            log.info("%d subscribers are connected, starting", self._audience.size())
            self._waits = False
            self._on_ready()
        source = {camera: (status.size, status.source_fps) for camera, status in cameras.items()}
        if now >= self._next_info_s:
            self._next_info_s = now + _INFO_EVERY_S
            self._send_info(list(cameras))
        else:
            self._send_info([camera for camera in source if self._told_source.get(camera) != source[camera]])
        if now >= self._next_status_s:
            self._next_status_s = now + _STATUS_EVERY_S
            self._send_status(list(cameras))
        else:
            news = [
                camera
                for camera, status in cameras.items()
                if self._told_state.get(camera) != status.state or self._presence[camera].has_news
            ]
            self._send_status(news)

    def close(self) -> None:
        """Send the final states and counts, then close the socket."""
        for camera, status in self._cameras().items():
            status.finish()
            if not status.is_removed or self._told_state.get(camera) != status.state:
                self._send_status([camera])
        if self._recorder:
            self._recorder.finish()
        close_socket(self._socket)

    def _publish(self, poses: Poses) -> None:
        frame = poses.frame
        age_ms = (time.monotonic_ns() - frame.captured_mono_ns) / 1e6
        seq, skeleton = self._seq[frame.camera], self._info.skeleton.name
        message = to_message(poses, self._info.session, seq, skeleton, self._config.raw_keypoints)
        self._send(wire.pose_topic(frame.camera), message)
        self._seq[frame.camera] += 1
        self._presence[frame.camera].see(frame.epoch, message.track_ids, poses.ended)
        self._cameras()[frame.camera].count_published(age_ms)
        self._on_published(frame.camera)
        if self._recorder:
            self._recorder.write(message, wait=not self._is_live(frame.camera))

    def _send_info(self, cameras: list[str]) -> None:
        for camera in cameras:
            status = self._cameras()[camera]
            self._told_source[camera] = (status.size, status.source_fps)
            message = wire.InfoMessage(
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
            )
            self._send(wire.info_topic(camera), message)

    def _send_status(self, cameras: list[str]) -> None:
        for camera in cameras:
            status = self._cameras()[camera]
            state, reason = self._told_state[camera] = status.state
            fps, latency_ms = status.recent()
            started, ended = self._presence[camera].news()
            message = wire.StatusMessage(
                session=self._info.session,
                camera=camera,
                state=state,
                reason=reason,
                captured=status.captured,
                dropped=status.dropped,
                published=status.published,
                fps=round(fps, 3),
                latency_ms={name: round(ms, 3) for name, ms in latency_ms.items()},
                uptime_s=round(time.monotonic() - self._started_s, 3),
                tracks_started=started,
                tracks_ended=ended,
                lowered=status.lowered,
            )
            self._send(wire.status_topic(camera), message)

    def _send(self, topic: bytes, message: wire.Message) -> None:
        self._socket.send_multipart((topic, wire.encode(message, self._config.encoding)))


class _Presence:
    """The current tracks of one camera, and those that started or ended since the last status message."""

    def __init__(self) -> None:
        self._epoch = 0
        self._there: set[int] = set()
        self._started: list[int] = []
        self._ended: list[int] = []

    @property
    def has_news(self) -> bool:
        """Whether a track started or ended since the last status message."""
        return bool(self._started or self._ended)

    def see(self, epoch: int, track_ids: Iterable[int], ended: Iterable[int]) -> None:
        """Update with a frame's tracks and those that ended with it. A new epoch ends all earlier tracks."""
        if epoch != self._epoch:
            self._ended += sorted(self._there)
            self._epoch, self._there = epoch, set()
        self._started += [track_id for track_id in track_ids if track_id not in self._there]
        self._there.update(track_ids)
        self._ended += [track_id for track_id in ended if track_id in self._there]
        self._there.difference_update(ended)

    def news(self) -> tuple[list[int], list[int]]:
        """The tracks that started and those that ended since the last call."""
        told = self._started, self._ended
        self._started, self._ended = [], []
        return told


class _Audience:
    """Estimates the number of subscribers from the connected peers and their subscriptions to pose messages."""

    def __init__(self, socket: zmq.Socket[bytes], pose_topics: list[bytes]) -> None:
        self._socket = socket
        self._pose_topics = pose_topics
        self._subscriptions: Counter[bytes] = Counter()
        self._peers: set[int] = set()
        self._monitor = socket.get_monitor_socket()

    def listen(self) -> list[bytes]:
        """Read all pending events and subscriptions. Returns the topic prefixes of the new subscriptions."""
        new: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            while True:
                event = recv_monitor_message(self._monitor, zmq.NOBLOCK)
                change = self._peers.add if event["event"] == zmq.EVENT_ACCEPTED else self._peers.discard
                change(event["value"])
        with contextlib.suppress(zmq.Again):
            while True:
                word = self._socket.recv(zmq.NOBLOCK)
                prefix = word[1:]
                if word[:1] == b"\x01":
                    new.append(prefix)
                # Only prefixes of pose topics are kept, so that a flood of other subscriptions costs no memory.
                if any(topic.startswith(prefix) for topic in self._pose_topics):
                    self._subscriptions[prefix] += 1 if word[:1] == b"\x01" else -1
        return new

    def size(self) -> int:
        """Estimate the number of subscribers: min(connected peers, subscriptions to poses).

        ZeroMQ does not report which peer a subscription belongs to. A peer with two subscriptions and a peer without
        any therefore count as two subscribers.
        """
        return min(len(self._peers), sum(self._subscriptions.values()))
