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
from collections.abc import Callable, Iterator, Sequence, Sized
from pathlib import Path
from types import TracebackType

from realtime import wire
from realtime.wire.connections import Connections
from realtime.wire.ending import Ending, LostError
from realtime.wire.pose import Pose
from realtime.wire.reading import (
    DEFAULT_ENDPOINT,
    MOST_CAMERAS,
    RECEIVE_QUEUE,
    deadline,
    load_keys,
    remember,
    two_parts,
)

# If a pause filled the queue, old messages keep arriving from the buffers behind it. `latest` then keeps reading until
# it has to wait this long for a message, which means that it has caught up, or until CATCH_UP_S have passed.
WAITED_S = 0.01
CATCH_UP_S = 0.2
# After a deadline, at most this many waiting messages are still read: as many as the receive queue and the system's
# buffers may hold. Without this, a timeout of 0 would read nothing.
MOST_LATE = 10_000
# After the end of the stream, calls without a timeout take this long (s).
REST_S = 1.0


class PoseSubscriber:
    """A subscriber to the poses of one or more publishers.

    Iterate over it to receive every pose, or call `latest` for the newest pose of each camera. Iteration waits for the
    next pose. It ends when the stream does: all cameras that are read have ended or failed. It waits for the next run
    if the run was stopped by a signal. A subscriber may be created before the publisher starts, and it reconnects by
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
        until_end: bool = True,
        lost_s: float = 5.0,
        curve_secret: str | Path | None = None,
        curve_server: str | Path | None = None,
    ) -> None:
        """Start connecting, without waiting for the publisher.

        Args:
            connect: one or several endpoints, tcp://HOST:PORT or ipc://PATH.
            cameras: names of the cameras to read; None reads all of them.
            timeout_s: iteration raises TimeoutError if no pose arrives for this long (s); None waits forever.
            until_end: whether iteration ends when all cameras that are read are `ended` without a reason, or `failed`.
                An endpoint from which nothing has come yet is waited for. False reads on, from one run to the next.
            lost_s: with `until_end`, iteration raises TimeoutError if the connection was lost before the cameras had
                ended and nothing comes for this long (s).
            curve_secret: file with this reader's secret key, if the publisher uses keys (see `realtime.keys`).
            curve_server: file with the publisher's public key.

        Raises:
            ValueError: an endpoint or a key is invalid, only one of the keys was passed, or a list is empty.
        """
        endpoints = [connect] if isinstance(connect, str) else list(connect)
        names = [cameras] if isinstance(cameras, str) else cameras
        if not endpoints or (names is not None and not names):
            raise ValueError("PoseSubscriber: got an empty list, expected at least one endpoint and one camera")
        self._named = ", ".join(endpoints)
        self._most_cameras = MOST_CAMERAS * len(endpoints)
        self._timeout_s, self._until_end, self._ended = timeout_s, until_end, False
        self._pending: deque[wire.PoseMessage] = deque(maxlen=RECEIVE_QUEUE)
        self._infos: dict[str, wire.InfoMessage] = {}
        self._statuses: deque[wire.StatusMessage] = deque(maxlen=RECEIVE_QUEUE)
        self._last: dict[str, tuple[str, int]] = {}
        # Info is subscribed to first, so that it arrives before the first pose.
        topics = [b"info/", b"status/", b"pose/"]
        if names is not None:
            topics = [topic(n) for topic in (wire.info_topic, wire.status_topic, wire.pose_topic) for n in names]
        self._ending = ending = Ending(len(endpoints), names, lost_s)
        keys = load_keys(curve_secret, curve_server)
        self._connections = Connections(
            endpoints, topics, keys, lambda n, is_made: ending.connection(n, is_made, time.monotonic())
        )

    @property
    def ended(self) -> bool:
        """Whether the stream has ended. Then nothing more is received; another subscriber reads the next run."""
        return self._ended

    @property
    def connected(self) -> bool:
        """Whether it is connected to a publisher, as of the last call that received."""
        return self._connections.is_connected

    def why(self) -> str:
        """Say in words why no poses arrive, as error messages do."""
        reason = self._ending.reason(time.monotonic())
        trouble = [self._connections.trouble(position) for position in self._ending.unheard()[:1]]
        return "; ".join([reason, *trouble] if reason else trouble)

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
            StopIteration: the stream has ended, and all poses that were received were returned.
            TimeoutError: no pose arrived for the subscriber's `timeout_s`, or the connection was lost for `lost_s`.
            realtime.wire.WireError: a message can't be read, for example because the publisher's version differs.
        """
        deadline_s = deadline(self._timeout_s)
        if self._receive_until(lambda: self._pending, deadline_s, gives_up=self._until_end):
            return self._pending.popleft()
        if self._ended:
            raise StopIteration
        raise TimeoutError(f"no poses from {self._named} for {self._timeout_s:g} s: {self.why()}")

    def latest(self, timeout_s: float | None = None) -> dict[str, Pose]:
        """Return the newest pose of each camera and skip all older ones, so that a slow reader stays up to date.

        Args:
            timeout_s: how long to wait (s) if no pose has arrived yet; None uses the subscriber's own `timeout_s`.

        Returns:
            The newest Pose by camera name, for the cameras that sent one since the last call. Empty after a timeout,
            and at the end of the stream, which `ended` tells: then at once, later after the timeout (None: 1 s).

        Raises:
            realtime.wire.WireError: a message can't be read, for example because the publisher's version differs.
        """
        deadline_s = deadline(self._timeout_s if timeout_s is None else timeout_s)
        self._rest_at_the_end(self._pending, deadline_s)
        self._receive_until(lambda: self._pending, deadline_s)
        # A dict, because in the bounded queue a busy camera would push out the only message of another.
        newest = {message.camera: message for message in self._pending}
        self._pending.clear()
        received, waited_s, until_s = 0, 0.0, 0.0
        while waited_s < WAITED_S and not self._ended:
            asked_s = time.monotonic()
            while not (is_received := self._receive()) and time.monotonic() < until_s:
                self._connections.wait(until_s)
            if not is_received:
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
        if not self._receive_until(lambda: camera in self._infos, deadline(timeout_s)):
            waited = "" if self._ended else f" for {timeout_s:g} s"
            raise TimeoutError(f"no info about camera {camera!r} from {self._named}{waited}: {self.why()}")
        return self._infos[camera]

    def statuses(self, timeout_s: float | None = 0.0) -> list[wire.StatusMessage]:
        """Return the status messages that were received since the last call, oldest first; at the end as `latest` does.

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
        self._rest_at_the_end(self._statuses, deadline_s)
        self._receive_until(lambda: self._statuses, deadline_s)
        said = list(self._statuses)
        self._statuses.clear()
        return said

    def close(self) -> None:
        """Disconnect without waiting. Safe to call twice."""
        self._connections.close()

    def _receive_until(self, found: Callable[[], object], deadline_s: float | None, gives_up: bool = False) -> bool:
        """Receive until `found()` is true. False if it still isn't after the deadline and the messages waiting then.

        Also False at the end of the stream.

        Args:
            found: the condition.
            deadline_s: monotonic time in seconds; None waits forever.
            gives_up: whether to raise LostError if the connection is lost.
        """
        late = 0
        while not found():
            now_s = time.monotonic()
            late += deadline_s is not None and now_s >= deadline_s
            if self._ended or late > MOST_LATE:
                return False
            if self._receive():
                continue
            self._ended = self._until_end and (self._ending.is_past or self._ending.is_over())
            lost_s = self._ending.lost_at_s() if gives_up else None
            if self._ended or late:
                return False
            if lost_s is not None and now_s >= lost_s:
                why = self.why()
                self._ending.give_up(now_s)
                raise LostError(f"no messages from {self._named}: {why}")
            self._connections.wait(min((at_s for at_s in (deadline_s, lost_s) if at_s is not None), default=None))
        return True

    def _rest_at_the_end(self, received: Sized, deadline_s: float | None) -> None:
        """Wait if the stream has ended, so that a loop that doesn't ask `ended` doesn't take all of the CPU."""
        if self._ended and not received:
            time.sleep(REST_S if deadline_s is None else max(0.0, deadline_s - time.monotonic()))

    def _receive(self) -> bool:
        """Receive one message, if one waits, and store it by its kind. False if none waits."""
        if self._connections.closed:
            raise ValueError("PoseSubscriber: it is closed; create a new one to receive poses")
        if (taken := self._connections.take()) is None:
            self._connections.look()  # a run whose connection is lost has ended once nothing waits, but not before
            if (taken := self._connections.take()) is None:
                return False
        publisher, parts = taken
        message = wire.decode(*two_parts(parts))
        if self._ending.is_new(publisher, message):
            self._connections.look()  # a run ends with its connection
        self._ending.hear(publisher, message, time.monotonic())
        if self._until_end and self._ending.is_past:
            return False
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
