# SPDX-License-Identifier: MIT
"""PoseSubscriber, the client of the pose stream. `realtime.client` is its public face.

It is the far end of the data path and runs in the subscriber's own program. It imports only pyzmq, msgspec and numpy,
not torch, and is under the MIT licence.

    from realtime.client import PoseSubscriber

    with PoseSubscriber("tcp://127.0.0.1:5555") as subscriber:
        for pose in subscriber:
            print(pose.camera, pose.track_ids, pose.keypoints.shape)  # keypoints: float32 (N, K, 3): x, y, score
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from realtime import wire
from realtime.wire.pose import Pose
from realtime.wire.reading import (
    DEFAULT_ENDPOINT,
    MOST_CAMERAS,
    RECEIVE_QUEUE,
    deadline,
    load_keys,
    open_socket,
    remember,
    two_parts,
    wait_ms,
)

# If a pause filled the queue, old messages keep arriving from the buffers behind it. `latest` then keeps reading until
# it has to wait this long for a message, which means that it has caught up, or until CATCH_UP_S have passed.
WAITED_S = 0.01
CATCH_UP_S = 0.2
# After a deadline, at most this many waiting messages are still read: as many as the receive queue and the system's
# buffers may hold. Without this, a timeout of 0 would read nothing.
MOST_LATE = 10_000


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
        keys = load_keys(curve_secret, curve_server)
        self._context, self._socket = open_socket(self._endpoints, topics, keys)
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
        deadline_s = deadline(self._timeout_s)
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
        deadline_s = deadline(self._timeout_s if timeout_s is None else timeout_s)
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
        deadline_s = deadline(timeout_s)
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
        deadline_s = deadline(timeout_s)
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
        if not self._socket.poll(wait_ms(deadline_s)):
            return False
        message = wire.decode(*two_parts(self._socket.recv_multipart()))
        if isinstance(message, wire.PoseMessage):
            self._pending.append(message)
        elif isinstance(message, wire.InfoMessage):
            remember(self._infos, message.camera, message, self._most_cameras)
        elif isinstance(message, wire.StatusMessage):
            self._statuses.append(message)
        return True

    def _pose(self, message: wire.PoseMessage) -> Pose:
        session, seq = self._last.get(message.camera, (message.session, message.seq - 1))
        remember(self._last, message.camera, (message.session, message.seq), self._most_cameras)
        # A new session counts from 0 again. Messages lost at its start look the same as joining late, so none count.
        return Pose.of(message, missed=max(0, message.seq - seq - 1) if session == message.session else 0)

    def _named(self) -> str:
        return ", ".join(self._endpoints)
