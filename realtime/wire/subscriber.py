# SPDX-License-Identifier: MIT
"""The client of the pose stream: PoseSubscriber, and `python -m realtime.client` for terminals and pipes.

It is the far end of the data path and runs in the subscriber's own program. It imports only pyzmq, msgspec and numpy,
not torch, and is under the MIT licence.

    from realtime.client import PoseSubscriber

    with PoseSubscriber("tcp://127.0.0.1:5555") as subscriber:
        for pose in subscriber:
            print(pose.camera, pose.track_ids, pose.keypoints.shape)  # keypoints: float32 (N, K, 3): x, y, score
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
import zmq
from numpy.typing import NDArray

from realtime import wire
from realtime.printable import Parser, printable, printable_json, say
from realtime.stdio import discard_stdout, is_stdout_closed
from realtime.wire.endpoints import parse_endpoint
from realtime.wire.keys import Key, load_public, load_secret

_K = TypeVar("_K")
_T = TypeVar("_T")
DEFAULT_ENDPOINT = "tcp://127.0.0.1:5555"
# Length of the receive queue in messages: two seconds of one camera. A longer queue only adds latency to a slow reader.
RECEIVE_QUEUE = 64
# If a pause filled the queue, old messages keep arriving from the buffers behind it. `latest` then keeps reading until
# it has to wait this long for a message, which means that it has caught up, or until CATCH_UP_S have passed.
WAITED_S = 0.01
CATCH_UP_S = 0.2
# TCP keep-alive detects that the publisher's machine is gone. The system probes a silent connection every KEEPALIVE_S
# seconds and drops it after KEEPALIVE_PROBES unanswered probes; then ZeroMQ reconnects. ZeroMQ's own heartbeats don't
# work here: with them, libzmq aborts a reader that pauses until its queue is full (libzmq issue 3937).
KEEPALIVE_S = 1
KEEPALIVE_PROBES = 3
# Limits on the memory that a publisher can make its readers use. The longest message of our publisher has about 2 MB:
# 300 people with 133 keypoints each, before and after smoothing, as JSON.
LONGEST_MESSAGE = 8 * 2**20
# Cameras per endpoint whose last messages are remembered: as many as our publisher accepts.
MOST_CAMERAS = 1000
# After a deadline, at most this many waiting messages are still read: as many as the receive queue and the system's
# buffers may hold. Without this, a timeout of 0 would read nothing.
MOST_LATE = 10_000
# Upper limit of --timeout in seconds.
LONGEST_S = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """The people of one processed frame: N people with K keypoints each.

    Attributes:
        session: random id of the publisher's run. `seq` and track ids start again in a new session.
        camera: name of the camera.
        epoch: increases when the source is reopened, loops or changes its frame size; this ends all earlier tracks.
        seq: number of this message, counted per camera from 0.
        frame: index of the source frame, from 0.
        captured_ns: Unix time in nanoseconds when the frame was captured, according to `clock`.
        clock: "arrival" (when the frame reached the publisher), "rtcp" (the camera's own wall clock) or "playlist" (the
            wall clock of an HLS playlist).
        published_ns: Unix time in nanoseconds just before the message was sent.
        media_s: timestamp of the frame in seconds on the source's own clock; None if it has none.
        size: width and height of the source frame in pixels.
        skeleton: "coco17", "none", or another name; `PoseSubscriber.info` returns the names of its keypoints.
        track_ids: int64 (N,), >= 1.
        scores: float32 (N,), detection scores, 0..1.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels. Read-only, as are the keypoints.
        keypoints: float32 (N, K, 3), x, y in pixels and score 0..1. K is 0 in a frame without people.
        measured: bool (N,), False if the pose was predicted instead of measured in this frame.
        raw_keypoints: float32 (N, K, 2), x, y in pixels before smoothing; None if the publisher doesn't send them
            (`publish.raw_keypoints`).
        timing_ms: milliseconds that the frame spent in each stage, and waiting between stages (`wait`).
        missed: number of messages of this camera, by `seq`, between the previous Pose and this one. They were lost
            because the reader was too slow, or `latest` skipped them.
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
        """Build a Pose from a message: its bytes and lists become arrays.

        >>> message = wire.PoseMessage(
        ...     session="s1", camera="cam0", epoch=0, seq=0, frame=0, captured_ns=1, clock="arrival", published_ns=2,
        ...     media_s=None, size=(640, 480), skeleton="coco17", track_ids=[7], scores=[0.9],
        ...     boxes=wire.pack(np.float32([[10, 20, 110, 220]])), keypoints=wire.pack(np.zeros((1, 17, 3))),
        ...     measured=[True], timing_ms={},
        ... )
        >>> pose = Pose.of(message)
        >>> pose.track_ids, pose.boxes.tolist(), pose.keypoints.shape
        (array([7]), [[10.0, 20.0, 110.0, 220.0]], (1, 17, 3))

        Args:
            message: a message as `PoseSubscriber.next_message` or `wire.decode` returns it.
            missed: value of the attribute `missed`.
        """
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
        """Seconds since the frame was captured, by this machine's clock."""
        return (time.time_ns() - self.captured_ns) / 1e9


class PoseSubscriber:
    """A subscriber to the poses of one or more publishers.

    Iterate over it to receive every pose, or call `latest` for the newest pose of each camera. Iteration waits for the
    next pose and never ends by itself. A subscriber may be created before the publisher starts, and it reconnects by
    itself. Use it in a `with` block or call `close`, and use it from one thread only, because ZeroMQ sockets are not
    thread-safe.

    This prints where each person's nose is::

        from realtime.client import PoseSubscriber

        with PoseSubscriber("tcp://127.0.0.1:5555", cameras=["cam0"], timeout_s=10) as subscriber:
            nose = subscriber.info("cam0").keypoint_names.index("nose")
            for pose in subscriber:
                for track_id, keypoints in zip(pose.track_ids, pose.keypoints):
                    x, y, score = keypoints[nose]
                    print(f"person {track_id}: nose at ({x:.1f}, {y:.1f}), score {score:.2f}")
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
        """Start connecting, without waiting for the publisher.

        Args:
            connect: one or several endpoints, tcp://HOST:PORT or ipc://PATH.
            cameras: names of the cameras to read; None reads all of them.
            timeout_s: iteration raises TimeoutError if no pose arrives for this long (s); None waits forever.
            curve_secret: file with this reader's secret key, if the publisher uses keys (see `realtime.keys`).
            curve_server: file with the publisher's public key.

        Raises:
            ValueError: an endpoint or a key is invalid, only one of the keys was passed, or a list is empty.
        """
        self._endpoints = [connect] if isinstance(connect, str) else list(connect)
        self._most_cameras = MOST_CAMERAS * len(self._endpoints)
        self._timeout_s = timeout_s
        self._pending: deque[wire.PoseMessage] = deque(maxlen=RECEIVE_QUEUE)
        self._infos: dict[str, wire.InfoMessage] = {}
        self._statuses: deque[wire.StatusMessage] = deque(maxlen=RECEIVE_QUEUE)
        self._last: dict[str, tuple[str, int]] = {}
        names = [cameras] if isinstance(cameras, str) else cameras
        if not self._endpoints or (names is not None and not names):
            raise ValueError("PoseSubscriber: got an empty list, expected at least one endpoint and one camera")
        # Info is subscribed to first, so that it arrives before the first pose.
        topics = [b"info/", b"status/", b"pose/"]
        if names is not None:
            topics = [topic(n) for topic in (wire.info_topic, wire.status_topic, wire.pose_topic) for n in names]
        keys = _keys(curve_secret, curve_server)
        self._context, self._socket = _open(self._endpoints, topics, keys)
        self._doubt = "is the publisher running" + (", and does it accept this key?" if keys else "?")

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
        """Wait for the next pose and return it as a message, without converting it to arrays.

        Raises:
            TimeoutError: no pose arrived for the subscriber's `timeout_s`.
            realtime.wire.WireError: a message can't be read, for example because the publisher's version differs.
        """
        deadline_s = _deadline(self._timeout_s)
        if not self._receive_until(lambda: self._pending, deadline_s):
            raise TimeoutError(f"no poses from {self._named()} for {self._timeout_s:g} s: {self._doubt}")
        return self._pending.popleft()

    def latest(self, timeout_s: float | None = None) -> dict[str, Pose]:
        """Return the newest pose of each camera and skip all older ones, so that a slow reader stays up to date.

        Args:
            timeout_s: how long to wait (s) if no pose has arrived yet; None uses the subscriber's own `timeout_s`.

        Returns:
            The newest Pose by camera name, for the cameras that sent one since the last call. Empty after a timeout.

        Raises:
            realtime.wire.WireError: a message can't be read, for example because the publisher's version differs.
        """
        deadline_s = _deadline(self._timeout_s if timeout_s is None else timeout_s)
        self._receive_until(lambda: self._pending, deadline_s)
        # A dict, because in the bounded queue a busy camera would push out the only message of another.
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
        """Return the newest info message of a camera: names of the keypoints, edges to draw, names of the models.

        The publisher sends it when a subscriber joins and every 5 s. Poses that arrive while this waits are kept for
        the next iteration, except that more than RECEIVE_QUEUE poses push out the oldest.

        Args:
            camera: name of the camera.
            timeout_s: how long to wait (s) if no info has arrived yet; None waits forever.

        Raises:
            TimeoutError: no info about this camera arrived for `timeout_s`.
            realtime.wire.WireError: a message can't be read, for example because the publisher's version differs.
        """
        deadline_s = _deadline(timeout_s)
        if not self._receive_until(lambda: camera in self._infos, deadline_s):
            raise TimeoutError(
                f"no info about camera {camera!r} from {self._named()} for {timeout_s:g} s: is the name right?"
            )
        return self._infos[camera]

    def statuses(self, timeout_s: float | None = 0.0) -> list[wire.StatusMessage]:
        """Return the status messages that were received since the last call, oldest first.

        The publisher sends the status of each camera every second and at each change: its state and the reason, frame
        counts, latencies, and the ids of tracks that ended (`tracks_ended`). Iteration and `latest` receive status
        messages too and keep the last RECEIVE_QUEUE of them, so a program can call this between two poses.

        Args:
            timeout_s: how long to wait (s) if no status has been received yet; None waits forever. Poses that arrive
                meanwhile are kept for the next iteration, except that more than RECEIVE_QUEUE push out the oldest.

        Raises:
            realtime.wire.WireError: a message can't be read, for example because the publisher's version differs.
        """
        deadline_s = _deadline(timeout_s)
        self._receive_until(lambda: self._statuses, deadline_s)
        said = list(self._statuses)
        self._statuses.clear()
        return said

    def close(self) -> None:
        """Disconnect without waiting. Safe to call twice."""
        self._context.destroy(linger=0)

    def _receive_until(self, found: Callable[[], object], deadline_s: float | None) -> bool:
        """Receive until `found()` is true. False if it still isn't after the deadline and the messages waiting then."""
        late = 0
        while not found():
            if deadline_s is not None and time.monotonic() >= deadline_s:
                late += 1
            if late > MOST_LATE or not self._receive(deadline_s):
                return False
        return True

    def _receive(self, deadline_s: float | None) -> bool:
        """Receive one message and store it by its kind. False if none arrived before the deadline.

        Args:
            deadline_s: monotonic time in seconds; 0 does not wait, None waits forever.
        """
        if self._socket.closed:
            raise ValueError("PoseSubscriber: it is closed; create a new one to receive poses")
        if not self._socket.poll(_wait_ms(deadline_s)):
            return False
        message = wire.decode(*_two_parts(self._socket.recv_multipart()))
        if isinstance(message, wire.PoseMessage):
            self._pending.append(message)
        elif isinstance(message, wire.InfoMessage):
            _remember(self._infos, message.camera, message, self._most_cameras)
        else:
            self._statuses.append(message)
        return True

    def _pose(self, message: wire.PoseMessage) -> Pose:
        session, seq = self._last.get(message.camera, (message.session, message.seq - 1))
        _remember(self._last, message.camera, (message.session, message.seq), self._most_cameras)
        # A new session counts from 0 again. Messages lost at its start look the same as joining late, so none count.
        return Pose.of(message, missed=max(0, message.seq - seq - 1) if session == message.session else 0)

    def _named(self) -> str:
        return ", ".join(self._endpoints)


def _keys(curve_secret: str | Path | None, curve_server: str | Path | None) -> tuple[Key, Key] | None:
    """Load this reader's key pair and the publisher's public key; None if the stream needs no keys."""
    if curve_secret is None and curve_server is None:
        return None
    if curve_secret is None or curve_server is None:
        raise ValueError("PoseSubscriber: got only one of curve_secret and curve_server, expected both or neither")
    return load_secret(Path(curve_secret)), load_public(Path(curve_server))


def _open(
    endpoints: Sequence[str], topics: Sequence[bytes], keys: tuple[Key, Key] | None
) -> tuple[zmq.Context[zmq.Socket[bytes]], zmq.Socket[bytes]]:
    """Create a SUB socket that connects to all endpoints. Returns it with the context that owns it."""
    for endpoint in endpoints:
        parsed = parse_endpoint(endpoint)
        if parsed is None or not parsed.can_connect:
            raise ValueError(f"connect: got {endpoint!r}, expected tcp://HOST:PORT (port 1..65535) or ipc://PATH")
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.rcvhwm = RECEIVE_QUEUE
    socket.maxmsgsize = LONGEST_MESSAGE
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
            # Only for IPv6 addresses: otherwise "localhost" would become ::1 and miss a publisher on 127.0.0.1.
            socket.ipv6 = endpoint.startswith("tcp://[")
            socket.connect(endpoint)
    except zmq.ZMQError as error:
        context.destroy(linger=0)
        raise ValueError(f"connect: got {endpoint!r}: {error.strerror}") from None
    return context, socket


def _remember(by_key: dict[_K, _T], key: _K, what: _T, most: int) -> None:
    """Set the value of a key. Forget the one that was set least recently if there are more than `most`."""
    by_key.pop(key, None)
    by_key[key] = what
    if len(by_key) > most:
        del by_key[next(iter(by_key))]


def _two_parts(parts: list[bytes]) -> tuple[bytes, bytes]:
    if len(parts) != 2:
        raise wire.WireError(f"message parts: got {len(parts)}, expected two: topic and payload")
    return parts[0], parts[1]


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _wait_ms(deadline_s: float | None) -> int | None:
    """Milliseconds until the deadline, rounded up, because a wait of 0 would spin through the last millisecond."""
    return None if deadline_s is None else max(0, math.ceil((deadline_s - time.monotonic()) * 1000))


# ---- python -m realtime.client


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the stream until it is interrupted, `--count` lines are printed or the reader of the pipe closes it.

    Returns:
        Exit code: 0 after one of these ends; 1 after a timeout, or if a message can't be read or standard output can't
        be written; 2 for an invalid argument or key.
    """
    options = _parser().parse_args(arguments)
    try:
        if is_stdout_closed():
            raise OSError(errno.EBADF, "it is closed")
        lines = _topics(options) if options.topics else _messages(options)
        for line in itertools.islice(lines, options.count):
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        discard_stdout()
        return 0
    except (TimeoutError, wire.WireError) as error:
        say(str(error))
        return 1
    except ValueError as error:
        say(str(error))
        return 2
    except OSError as error:
        discard_stdout()
        say(f"standard output can't be written: {error.strerror}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m realtime.client", description="Print the poses of a stream, one line per message.")
    parser.add_argument(
        "--connect",
        metavar="ENDPOINT",
        action="append",
        help=f"endpoint of a publisher; repeatable (default: {DEFAULT_ENDPOINT})",
    )
    parser.add_argument(
        "--camera", metavar="NAME", action="append", help="read only this camera; repeatable (default: all)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print each message as one line of JSON, as in docs/wire.md"
    )
    parser.add_argument("--status", action="store_true", help="print the status of the cameras instead of poses")
    parser.add_argument("--topics", action="store_true", help="print each topic once instead of poses")
    parser.add_argument(
        "--curve-secret", metavar="FILE", help="file with this reader's secret key, if the publisher uses keys"
    )
    parser.add_argument("--curve-server", metavar="FILE", help="file with the publisher's public key")
    parser.add_argument("--count", metavar="N", type=_positive, help="exit after N lines")
    parser.add_argument(
        "--timeout", metavar="S", type=_seconds, help="exit with code 1 if nothing arrives for S seconds"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number, at least 1")
    return int(text)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= LONGEST_S:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds: more than 0, at most {LONGEST_S:g}")


def _messages(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield the line of each pose message or, with --status, of each status message."""
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
                yield _json(status) if options.json else _line(_told(status))
        while True:
            message = subscriber.next_message()
            yield _json(message) if options.json else _line(_human(message))


def _json(message: wire.Message) -> bytes:
    line = wire.encode(message, "json")
    return line if line.isascii() else printable_json(line.decode()).encode()


def _line(text: str) -> bytes:
    """A line for a terminal. The publisher may be a stranger, whose names and reasons hold any character."""
    return printable(text).encode()


def _told(status: wire.StatusMessage) -> str:
    why = f" ({status.reason})" if status.reason else ""
    counts = f"{status.captured} captured, {status.dropped} dropped, {status.published} published"
    if status.recording is not None and (status.recording.lost or status.recording.error):
        because = f" ({status.recording.error})" if status.recording.error else ""
        counts += f", recording: {status.recording.lost} lines lost{because}"
    return f"{status.camera} {status.state}{why}: {status.fps:.1f} fps, {counts}"


def _human(message: wire.PoseMessage) -> str:
    people = ", ".join(f"id {i} ({score:.2f})" for i, score in zip(message.track_ids, message.scores, strict=True))
    age_ms = (time.time_ns() - message.captured_ns) / 1e6
    return f"{message.camera} frame {message.frame}: {people or 'no people'}, {age_ms:.0f} ms old"


def _topics(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield each topic when its first message arrives, including those of info and status."""
    endpoints = options.connect or [DEFAULT_ENDPOINT]
    wanted = [t(c) for c in options.camera or [] for t in (wire.info_topic, wire.pose_topic, wire.status_topic)]
    context, socket = _open(endpoints, wanted or [b""], _keys(options.curve_secret, options.curve_server))
    seen: dict[int, None] = {}  # hashes, because a topic of another publisher may have any length
    most = 3 * MOST_CAMERAS * len(endpoints)
    try:
        while socket.poll(_wait_ms(_deadline(options.timeout))):
            topic, _ = _two_parts(socket.recv_multipart())
            is_new = hash(topic) not in seen
            _remember(seen, hash(topic), None, most)
            if is_new:
                yield _line(topic.decode(errors="backslashreplace"))
        raise TimeoutError(
            f"no messages from {', '.join(endpoints)} for {options.timeout:g} s: is the publisher running?"
        )
    finally:
        context.destroy(linger=0)
