"""The pictures: a JPEG of a frame whose pose was published, while a reader subscribes to it.

A side branch of the publisher with a thread and sockets of its own. It loses pictures, and never delays poses: the
publisher only leaves the newest frame of a camera here, and only if a picture of it is due.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable

import zmq

from realtime import wire
from realtime.config import PublishConfig
from realtime.publish.audience import Audience
from realtime.publish.demand import Demand
from realtime.publish.jpeg import size_for, to_jpeg
from realtime.publish.purpose import MOST_PICTURE_BYTES, PICTURES, PRIVATE_PICTURES
from realtime.publish.reader_keys import ReaderKeys
from realtime.publish.socket import PublishSocket
from realtime.runtime.priority import lower_priority
from realtime.types import Frame, Poses

log = logging.getLogger(__name__)

# How much lower the priority of the thread is than that of the program (Linux): it then gets a tenth of the time of a
# thread that competes with it.
_NICE = 10
# While readers are connected, their subscriptions are compared with the cameras this often (s): cameras may be added.
_LOOK_S = 1.0
_MOST_WAKES = 4096  # bytes: more than the publisher writes before the thread wakes
# A JPEG in JSON is a third longer than its file. The rest of the message has less than 1 kB.
_MOST_JPEG_BYTES = MOST_PICTURE_BYTES * 3 // 4 - 1024


class Pictures:
    """Sends the pictures that readers subscribe to.

    >>> import numpy as np
    >>> config = PublishConfig(pictures="tcp://127.0.0.1:*")
    >>> pictures = Pictures(config, None, "session", lambda: ["cam0"])
    >>> frame = Frame("cam0", 0, 0, np.zeros((480, 640, 3), np.uint8), 0.0, captured_mono_ns=0, captured_unix_ns=0)
    >>> pictures.offer(Poses.empty(frame, 0), seq=0)  # no reader wants it
    >>> pictures.finish()
    >>> pictures.run()  # in the pipeline, this runs on its own thread from the start

    Attributes:
        endpoint: where other programs read the pictures, with the port that was chosen for *; None if they can't, or
            only over ipc. InfoMessage announces it.
    """

    def __init__(
        self,
        config: PublishConfig,
        private: str | None,
        session: str,
        cameras: Callable[[], Iterable[str]],
        keys: ReaderKeys | None = None,
    ) -> None:
        """Bind `publish.pictures` and the private endpoint, if there are any.

        Args:
            config: the section `publish` of the configuration.
            private: the endpoint of a program that the pipeline starts; None: there is none.
            session: id of the run.
            cameras: returns the names of all current cameras. Called on the thread that runs `run`.
            keys: those of the stream, if its sockets have them already; None: they are loaded if it is encrypted.

        Raises:
            OutputError: an endpoint can't be bound, or a key can't be read.
        """
        self._encoding, self._session, self._cameras = config.encoding, session, cameras
        self._demand = Demand(config.pictures_fps)
        self._shows_motion = config.pictures_motion
        self._offers: dict[str, tuple[Frame, int, float]] = {}  # camera: frame, seq, monotonic time (s)
        self._lock = threading.Lock()
        self._is_over = self._has_peers = False
        self._explained: set[str] = set()  # cameras whose pictures can't be encoded
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._sockets: list[PublishSocket] = []
        try:
            if config.pictures is not None:
                self._sockets.append(PublishSocket(config, [config.pictures], PICTURES, keys))
            if private is not None:
                self._sockets.append(PublishSocket(config, [private], PRIVATE_PICTURES))
        except BaseException:
            self.close()
            raise
        self._audiences = [Audience(publisher, cameras) for publisher in self._sockets]
        public = [e for s in self._sockets if not s.purpose.is_private for e in s.endpoints if e.startswith("tcp:")]
        self.endpoint = public[0] if public else None

    def offer(self, poses: Poses, seq: int) -> None:
        """Leave a frame for a picture, if one is due. It replaces an earlier frame of its camera. Never waits for long.

        Args:
            poses: the people, with their frame, whose image must not be written any more.
            seq: number of its pose message.
        """
        frame = poses.frame
        now_s = time.monotonic()
        if not self._demand.is_due(frame.camera, now_s):
            return
        with self._lock:
            is_first = not self._offers
            self._offers[frame.camera] = frame, seq, now_s  # a camera that waits keeps its turn
        if is_first:
            self._notify()

    def run(self) -> None:
        """Send pictures until `finish`, then close the sockets. The body of the thread."""
        lower_priority(_NICE)
        poller = zmq.Poller()
        poller.register(self._woken, zmq.POLLIN)
        for publisher in self._sockets:
            publisher.register(poller)
        look_s = 0.0
        try:
            while not self._is_over:
                news = [who for who, _ in poller.poll(self._wait_ms())]
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(_MOST_WAKES)
                if set(news) - {self._woken.fileno()} or time.monotonic() >= look_s:
                    self._look()
                    look_s = time.monotonic() + _LOOK_S
                self._send_next()
        finally:
            self.close()

    def finish(self) -> None:
        """End `run`, after the picture that is being encoded. Safe to call from any thread."""
        self._is_over = True
        self._notify()

    def close(self) -> None:
        """Close the sockets. Needed only if `run` was never called."""
        for publisher in self._sockets:
            publisher.close()
        self._wake.close()
        self._woken.close()

    def _notify(self) -> None:
        """Wake the thread, unless it has ended."""
        with contextlib.suppress(OSError):  # it has ended, or will wake up anyway
            self._wake.send(b"x")

    def _wait_ms(self) -> int | None:
        """How long to wait for subscriptions or offers; None: for ever."""
        if self._offers:
            return 0
        return round(_LOOK_S * 1000) if self._has_peers else None

    def _look(self) -> None:
        """Handle subscriptions: find out which pictures are wanted."""
        for audience in self._audiences:
            audience.listen()
        subscribed = set[bytes]().union(*(audience.topics() for audience in self._audiences))
        self._has_peers = any(publisher.peers.connected() for publisher in self._sockets)
        pictures = ((camera, width) for camera in self._cameras() for width in wire.WIDTHS) if subscribed else ()
        self._demand.update({each for each in pictures if wire.picture_topic(*each) in subscribed}, time.monotonic())

    def _send_next(self) -> None:
        """Send the pictures that are due of the camera that has waited longest, if any."""
        with self._lock:
            if not self._offers:
                return
            frame, seq, offered_s = self._offers.pop(next(iter(self._offers)))
        motion = frame.motion if self._shows_motion else None
        jpegs: dict[tuple[int, int], bytes] = {}  # by size: a narrow frame gives the same picture for several widths
        for width in self._demand.take(frame.camera, offered_s):
            size = size_for(frame.size, width)
            try:
                jpegs[size] = jpegs.get(size) or to_jpeg(frame.image, size, motion)
                self._send(frame, seq, width, size, jpegs[size])
            except ValueError as error:
                if frame.camera not in self._explained:
                    self._explained.add(frame.camera)
                    text, extra = "%s: no picture of width %s is sent: %s", {"camera": frame.camera}
                    log.warning(text, frame.camera, width, error, extra=extra)

    def _send(self, frame: Frame, seq: int, width: wire.Width, size: tuple[int, int], jpeg: bytes) -> None:
        if len(jpeg) > _MOST_JPEG_BYTES:
            raise ValueError(f"the JPEG has {len(jpeg) / 1e6:.1f} MB, expected at most {_MOST_JPEG_BYTES / 1e6:.1f}")
        message = wire.PictureMessage(
            session=self._session,
            camera=frame.camera,
            epoch=frame.epoch,
            seq=seq,
            frame=frame.index,
            captured_ns=frame.captured_unix_ns,
            size=frame.size,
            width=size[0],
            height=size[1],
            jpeg=jpeg,
        )
        payload = wire.encode(message, self._encoding)
        for publisher in self._sockets:
            publisher.send(wire.picture_topic(frame.camera, width), payload)
