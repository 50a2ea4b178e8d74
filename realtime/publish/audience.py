"""The readers of the stream, and the tracks that they were told of.

Used by publish.stage.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable

import zmq
from zmq.utils.monitor import recv_monitor_message


class Presence:
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
            self.end()
            self._epoch = epoch
        self._started += [track_id for track_id in track_ids if track_id not in self._there]
        self._there.update(track_ids)
        self._ended += [track_id for track_id in ended if track_id in self._there]
        self._there.difference_update(ended)

    def end(self) -> None:
        """End all current tracks."""
        self._ended += sorted(self._there)
        self._there = set()

    def news(self) -> tuple[list[int], list[int]]:
        """The tracks that started and those that ended since the last call."""
        told = self._started, self._ended
        self._started, self._ended = [], []
        return told


class Audience:
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
