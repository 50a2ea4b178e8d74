# SPDX-License-Identifier: MIT
"""Reading the stream: PoseSubscriber, and `python -m realtime.client` for the terminal and for pipes.

The other side of the data path, in the subscriber's own program. It imports pyzmq, msgspec and numpy alone (no torch),
and is under the MIT licence.

    from realtime.client import PoseSubscriber
    for pose in PoseSubscriber("tcp://127.0.0.1:5555"):
        print(pose.camera, pose.track_ids, pose.keypoints.shape)      # keypoints: float32 (N, K, 3)
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import math
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import zmq
from numpy.typing import NDArray

from realtime import wire
from realtime.keys import Key, load_public, load_secret

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5555"
# Messages that wait for a reader: two seconds of one camera. More would only make a slow reader's poses older.
RECEIVE_QUEUE = 64
# After a pause in which the queue filled, what comes is old until a message has to be waited for so long; after
# CATCH_UP_S in any case.
WAITED_S = 0.01
CATCH_UP_S = 0.2
# A publisher whose machine is gone is noticed after so many seconds, and connected to anew. By the system's keep-alive:
# with ZeroMQ's heartbeats a reader that pauses until its queue is full is aborted (libzmq issue 3937).
KEEPALIVE_S = 1
KEEPALIVE_PROBES = 3
# What --timeout takes at most.
LONGEST_S = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One processed frame of one camera: N people with K keypoints each.

    Attributes:
        session: the publisher's run; seq and track ids begin anew with it.
        camera: the camera's name.
        epoch: +1 whenever the source reopened or looped; tracks of an earlier epoch are over.
        seq: +1 per pose message of this camera.
        frame: index of the source frame.
        captured_ns: Unix time of the moment the frame was taken, by `clock`.
        clock: "arrival" or "rtcp" (the camera's own wall clock).
        published_ns: Unix time just before the message was sent.
        media_s: the source's own clock in seconds, None where it has none.
        size: width and height of the source frame in pixels.
        skeleton: "coco17", another name that `PoseSubscriber.info` spells out, or "none".
        track_ids: int64 (N,), >= 1.
        scores: float32 (N,), detection scores, 0..1.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels. Read-only, as are the keypoints.
        keypoints: float32 (N, K, 3), x, y in pixels and score 0..1. K is 0 where there is nobody.
        measured: bool (N,), False where the pose was predicted.
        raw_keypoints: float32 (N, K, 2), x and y before smoothing; None unless the publisher has `raw_keypoints` on.
        timing_ms: milliseconds that the frame spent in each stage.
        missed: messages of this camera between the Pose you were given before and this one, by `seq`: lost because
            the reader was slow, or skipped by `latest`.
    """

    session: str
    camera: str
    epoch: int
    seq: int
    frame: int
    captured_ns: int
    clock: str
    published_ns: int
    media_s: float | None
    size: tuple[int, int]
    skeleton: str
    track_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    measured: NDArray[np.bool_]
    raw_keypoints: NDArray[np.float32] | None
    timing_ms: dict[str, float]
    missed: int

    @classmethod
    def of(cls, message: wire.PoseMessage, missed: int = 0) -> Pose:
        """The message with arrays in the place of bytes and lists."""
        return cls(
            session=message.session,
            camera=message.camera,
            epoch=message.epoch,
            seq=message.seq,
            frame=message.frame,
            captured_ns=message.captured_ns,
            clock=message.clock,
            published_ns=message.published_ns,
            media_s=message.media_s,
            size=message.size,
            skeleton=message.skeleton,
            track_ids=np.array(message.track_ids, np.int64),
            scores=np.array(message.scores, np.float32),
            boxes=message.boxes_array(),
            keypoints=message.keypoints_array(),
            measured=np.array(message.measured, np.bool_),
            raw_keypoints=message.raw_array(),
            timing_ms=message.timing_ms,
            missed=missed,
        )

    def __len__(self) -> int:
        return len(self.track_ids)

    def age_s(self) -> float:
        """Seconds since the frame was taken, by this machine's clock."""
        return (time.time_ns() - self.captured_ns) / 1e9


class PoseSubscriber:
    """The poses of a publisher: iterate over it, or ask for the `latest`.

    To be used by one thread, since ZeroMQ sockets are. It may be made before the publisher is there, and it connects
    again by itself. Leave the `with` block or call `close` when done.
    """

    def __init__(
        self,
        connect: str | Sequence[str] = DEFAULT_ENDPOINT,
        *,
        cameras: Sequence[str] | None = None,
        timeout_s: float | None = None,
        curve_secret: str | Path | None = None,
        curve_server: str | Path | None = None,
    ) -> None:
        """Connect.

        Args:
            connect: endpoint, or several: tcp://HOST:PORT or ipc://PATH.
            cameras: their names; None: all.
            timeout_s: an iteration raises TimeoutError when nothing came for so long; None: never.
            curve_secret: file of this reader's secret key, for a publisher that wants keys (`realtime.keys`).
            curve_server: file of that publisher's public key.

        Raises:
            ValueError: an endpoint, the list of cameras or a key can't be right.
        """
        self._endpoints = [connect] if isinstance(connect, str) else list(connect)
        self._timeout_s = timeout_s
        self._pending: deque[wire.PoseMessage] = deque(maxlen=RECEIVE_QUEUE)
        self._infos: dict[str, wire.InfoMessage] = {}
        self._statuses: deque[wire.StatusMessage] = deque(maxlen=RECEIVE_QUEUE)
        self._last: dict[str, tuple[str, int]] = {}
        names = [cameras] if isinstance(cameras, str) else cameras
        if not self._endpoints or (names is not None and not names):
            raise ValueError("PoseSubscriber: got an empty list, expected at least one endpoint and one camera")
        # info first: it is there already when the first pose arrives.
        topics = [b"info/", b"status/", b"pose/"]
        if names is not None:
            topics = [topic(n) for topic in (wire.info_topic, wire.status_topic, wire.pose_topic) for n in names]
        keys = _keys(curve_secret, curve_server)
        self._context, self._socket = _open(self._endpoints, topics, keys)
        self._doubt = "is the publisher running" + (", and does it know this key?" if keys else "?")

    def __enter__(self) -> PoseSubscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Pose]:
        return self

    def __next__(self) -> Pose:
        return self._pose(self.next_message())

    def next_message(self) -> wire.PoseMessage:
        """The next pose message as it was sent; waits for it.

        Raises:
            TimeoutError: nothing came for `timeout_s`.
            realtime.wire.WireError: the publisher sends what this version can't read.
        """
        deadline_s = _deadline(self._timeout_s)
        while not self._pending:
            if not self._receive(deadline_s):
                raise TimeoutError(f"no poses from {self._named()} for {self._timeout_s:g} s: {self._doubt}")
        return self._pending.popleft()

    def latest(self, timeout_s: float | None = None) -> dict[str, Pose]:
        """The newest pose of each camera, so that a slow reader is never behind; all older ones are skipped.

        Args:
            timeout_s: how long to wait where nothing is there yet; None: the subscriber's own `timeout_s`.

        Returns:
            Camera to its newest Pose, of the cameras that sent something since the last call. Empty after a timeout.
        """
        deadline_s = _deadline(self._timeout_s if timeout_s is None else timeout_s)
        while not self._pending and self._receive(deadline_s):
            pass
        # Into a dict, not into the bounded queue: one busy camera must not push out the only message of another.
        newest = {message.camera: message for message in self._pending}
        self._pending.clear()
        received, waited_s, until_s = 0, 0.0, 0.0
        while waited_s < WAITED_S:
            asked_s = time.monotonic()
            if not self._receive(until_s):
                break
            newest |= {message.camera: message for message in self._pending}
            self._pending.clear()
            received, waited_s = received + 1, time.monotonic() - asked_s
            if until_s and time.monotonic() >= until_s:
                break
            if received == RECEIVE_QUEUE // 2:
                until_s = asked_s + CATCH_UP_S
        return {camera: self._pose(message) for camera, message in newest.items()}

    def info(self, camera: str, timeout_s: float | None = 10.0) -> wire.InfoMessage:
        """What is needed to draw this camera's people: names of the keypoints, edges, models.

        The publisher sends it when a subscriber joins and every 5 s; the newest that was received is kept. Poses that
        arrive while this waits are kept for the next iteration (as many as the socket's queue holds).

        Raises:
            TimeoutError: none came for `timeout_s` (None: wait for ever).
        """
        deadline_s = _deadline(timeout_s)
        while camera not in self._infos:
            if not self._receive(deadline_s):
                raise TimeoutError(
                    f"no info about camera {camera!r} from {self._named()} for {timeout_s:g} s: is the name right?"
                )
        return self._infos[camera]

    def statuses(self, timeout_s: float | None = 0.0) -> list[wire.StatusMessage]:
        """How the cameras are: what the publisher said of them since the last call, oldest first.

        A camera's state, its reason, counts and ages, once a second and at each change; and `tracks_ended`, the ids
        that won't come back. Iterating receives them too, so a program may ask between two poses.

        Args:
            timeout_s: how long to wait where nothing was said yet (None: for ever). Poses that arrive meanwhile are
                kept for the next iteration (as many as the socket's queue holds).
        """
        deadline_s = _deadline(timeout_s)
        while not self._statuses and self._receive(deadline_s):
            pass
        said = list(self._statuses)
        self._statuses.clear()
        return said

    def close(self) -> None:
        """Disconnect; returns at once. Safe to call twice."""
        self._context.destroy(linger=0)

    def _receive(self, deadline_s: float | None) -> bool:
        """Put the next message in its place. False where none came before the deadline (monotonic; 0: don't wait)."""
        if self._socket.closed:
            raise ValueError("PoseSubscriber: is closed")
        if not self._socket.poll(_wait_ms(deadline_s)):
            return False
        message = wire.decode(*_two_parts(self._socket.recv_multipart()))
        if isinstance(message, wire.PoseMessage):
            self._pending.append(message)
        elif isinstance(message, wire.InfoMessage):
            self._infos[message.camera] = message
        else:
            self._statuses.append(message)
        return True

    def _pose(self, message: wire.PoseMessage) -> Pose:
        session, seq = self._last.get(message.camera, (message.session, message.seq - 1))
        self._last[message.camera] = (message.session, message.seq)
        # A new session counts from its own 0: what was lost of it before can't be told from joining late.
        return Pose.of(message, missed=max(0, message.seq - seq - 1) if session == message.session else 0)

    def _named(self) -> str:
        return ", ".join(self._endpoints)


def _keys(curve_secret: str | Path | None, curve_server: str | Path | None) -> tuple[Key, Key] | None:
    """This reader's key pair and the publisher's public key; None without keys."""
    if curve_secret is None and curve_server is None:
        return None
    if curve_secret is None or curve_server is None:
        raise ValueError("PoseSubscriber: expected curve_secret and curve_server, or none of them")
    return load_secret(Path(curve_secret)), load_public(Path(curve_server))


def _open(
    endpoints: Sequence[str], topics: Sequence[bytes], keys: tuple[Key, Key] | None
) -> tuple[zmq.Context[zmq.Socket[bytes]], zmq.Socket[bytes]]:
    """A connected SUB socket and the context that owns it."""
    for endpoint in endpoints:
        _check_endpoint(endpoint)
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = RECEIVE_QUEUE
    socket.linger = 0
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = KEEPALIVE_S
    socket.tcp_keepalive_cnt = KEEPALIVE_PROBES
    if keys is not None:
        socket.curve_publickey, socket.curve_secretkey = keys[0].public, keys[0].secret
        socket.curve_serverkey = keys[1].public
    for topic in topics:
        socket.subscribe(topic)
    try:
        for endpoint in endpoints:
            # Not for all: "localhost" would become ::1, where a publisher on 127.0.0.1 can't be found.
            socket.ipv6 = endpoint.startswith("tcp://[")
            socket.connect(endpoint)
    except zmq.ZMQError as error:
        context.destroy(linger=0)
        raise ValueError(f"connect: got {endpoint!r}: {error.strerror}") from None
    return context, socket


def _check_endpoint(endpoint: str) -> None:
    """Raise ValueError unless ZeroMQ would connect to exactly what this says (it silently wraps ports beyond 65535)."""
    match = re.fullmatch(r"ipc://.+|tcp://(?:\[[^\]]+\]|[^:/\[\]]+):(\d+)", endpoint)
    if match is None or (match[1] is not None and not 1 <= int(match[1]) <= 65535):
        raise ValueError(f"connect: got {endpoint!r}, expected tcp://HOST:PORT (port 1..65535) or ipc://PATH")


def _two_parts(parts: list[bytes]) -> tuple[bytes, bytes]:
    if len(parts) != 2:
        raise wire.WireError(f"got a message of {len(parts)} parts, expected two: topic and payload")
    return parts[0], parts[1]


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _wait_ms(deadline_s: float | None) -> int | None:
    """What is left until the deadline, rounded up: a wait of 0 would spin through the last millisecond."""
    return None if deadline_s is None else max(0, math.ceil((deadline_s - time.monotonic()) * 1000))


# ---- python -m realtime.client


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stream.

    Returns:
        Exit code: 0 when stopped, 1 after a timeout or a message that can't be read, 2 for a bad command line.
    """
    options = _parser().parse_args(arguments)
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        lines = _topics(options) if options.topics else _messages(options)
        for line in itertools.islice(lines, options.count):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader of the pipe has seen enough. Python would flush, and fail, once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (TimeoutError, wire.WireError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"standard output can't be written: {error.strerror}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m realtime.client", description="Print the poses that a publisher streams, one line a message."
    )
    parser.add_argument(
        "--connect", metavar="ENDPOINT", action="append", help=f"repeatable; default {DEFAULT_ENDPOINT}"
    )
    parser.add_argument("--camera", metavar="NAME", action="append", help="this camera only; repeatable")
    parser.add_argument("--json", action="store_true", help="each message as one line of JSON (docs/wire.md)")
    parser.add_argument("--status", action="store_true", help="how the cameras are, instead of poses")
    parser.add_argument("--topics", action="store_true", help="print every topic that is sent, once, instead of poses")
    parser.add_argument("--curve-secret", metavar="FILE", help="this reader's secret key, where keys are wanted")
    parser.add_argument("--curve-server", metavar="FILE", help="the publisher's public key")
    parser.add_argument("--count", metavar="N", type=_positive, help="stop after N lines")
    parser.add_argument("--timeout", metavar="S", type=_seconds, help="exit with 1 when nothing came for S seconds")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: more than 0, at most {LONGEST_S:g}")


def _messages(options: argparse.Namespace) -> Iterator[bytes]:
    """Poses or, with --status, how the cameras are."""
    connect = options.connect or DEFAULT_ENDPOINT
    with PoseSubscriber(
        connect,
        cameras=options.camera,
        timeout_s=options.timeout,
        curve_secret=options.curve_secret,
        curve_server=options.curve_server,
    ) as subscriber:
        while options.status:
            said = subscriber.statuses(options.timeout)
            if not said:
                raise TimeoutError(f"no status for {options.timeout:g} s: is the publisher running?")
            for status in said:
                yield wire.encode(status, "json") if options.json else _told(status).encode()
        while True:
            message = subscriber.next_message()
            yield wire.encode(message, "json") if options.json else _human(message).encode()


def _told(status: wire.StatusMessage) -> str:
    why = f" ({status.reason})" if status.reason else ""
    counts = f"{status.captured} captured, {status.dropped} dropped, {status.published} published"
    return f"{status.camera} {status.state}{why}: {status.fps:.1f} fps, {counts}"


def _human(message: wire.PoseMessage) -> str:
    people = ", ".join(f"id {i} ({score:.2f})" for i, score in zip(message.track_ids, message.scores, strict=True))
    age_ms = (time.time_ns() - message.captured_ns) / 1e6
    return f"{message.camera} frame {message.frame}: {people or 'nobody'}, {age_ms:.0f} ms old"


def _topics(options: argparse.Namespace) -> Iterator[bytes]:
    """Each topic when it is first seen, info and status too."""
    endpoints = options.connect or [DEFAULT_ENDPOINT]
    wanted = [t(c) for c in options.camera or [] for t in (wire.info_topic, wire.pose_topic, wire.status_topic)]
    context, socket = _open(endpoints, wanted or [b""], _keys(options.curve_secret, options.curve_server))
    seen: set[bytes] = set()
    try:
        while socket.poll(_wait_ms(_deadline(options.timeout))):
            topic, _ = _two_parts(socket.recv_multipart())
            if topic not in seen:
                seen.add(topic)
                yield topic
        raise TimeoutError(f"nothing from {', '.join(endpoints)} for {options.timeout:g} s: is the publisher running?")
    finally:
        context.destroy(linger=0)


if __name__ == "__main__":
    sys.exit(main())
