"""The readers of a socket of the stream, and the tracks that were announced to them.

Used by publish.stream and publish.pictures.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable

from realtime import wire
from realtime.publish.peer import Peer
from realtime.publish.socket import PublishSocket

# Handle at most this many messages of peers at once. Between two calls, only a flood contains more.
_MOST_MESSAGES = 2000
# Limit (bytes) for the topics that do not exist, of all subscriptions together: a reader may subscribe to cameras that
# were removed or will be added. For each byte, libzmq keeps about 40 bytes of memory, and it walks through all topics
# whenever a peer leaves.
_MOST_ODD_BYTES = 131_072
_SUBSCRIBE, _CANCEL = b"\x01", b"\x00"  # the first byte of a message

# Two track ids, and the `seq` of the pose message from which on they are exchanged.
Swap = tuple[int, int, int]


class Presence:
    """The current tracks of one camera, and those that started, ended or were swapped since the last status message."""

    def __init__(self) -> None:
        self._epoch = 0
        self._there: set[int] = set()
        self._started: list[int] = []
        self._ended: list[int] = []
        self._swapped: list[Swap] = []

    @property
    def has_news(self) -> bool:
        """Whether a track started, ended or was swapped since the last status message."""
        return bool(self._started or self._ended or self._swapped)

    def see(self, epoch: int, track_ids: Iterable[int], ended: Iterable[int], swapped: Iterable[Swap] = ()) -> None:
        """Update with a frame's tracks and those that ended with it. A new epoch ends all earlier tracks.

        Args:
            epoch: the frame's epoch.
            track_ids: ids of the tracks in the frame.
            ended: ids of the tracks that ended for good with this frame.
            swapped: the ids that were exchanged with this frame.
        """
        if epoch != self._epoch:
            self.end()
            self._epoch = epoch
        self._started += [track_id for track_id in track_ids if track_id not in self._there]
        self._there.update(track_ids)
        self._ended += [track_id for track_id in ended if track_id in self._there]
        self._there.difference_update(ended)
        self._swapped += swapped

    def end(self) -> None:
        """End all current tracks."""
        self._ended += sorted(self._there)
        self._there = set()

    def news(self) -> tuple[list[int], list[int], list[Swap]]:
        """Return the ids of the tracks that started, that ended, and that were swapped, since the last call."""
        told = self._started, self._ended, self._swapped
        self._started, self._ended, self._swapped = [], [], []
        return told


class Audience:
    """The subscriptions of the peers of a socket.

    Args:
        socket: the bound socket, used by one thread only.
        cameras: returns the names of all current cameras.

    Attributes:
        is_private: whether the readers don't count for `publish.wait_for_subscribers`.
    """

    def __init__(self, socket: PublishSocket, cameras: Callable[[], Iterable[str]]) -> None:
        self._socket, self._cameras = socket, cameras
        self.is_private = socket.purpose.is_private
        self._known: set[bytes] = set()

    def listen(self) -> set[bytes]:
        """Handle up to _MOST_MESSAGES messages of peers. Return the topic prefixes of new subscriptions."""
        messages = self._socket.receive(_MOST_MESSAGES)
        if not messages:
            return set()
        peers = self._socket.peers.connected()
        self._known = self._topics() | self._socket.purpose.prefixes
        new: set[bytes] = set()
        known: set[tuple[int, bytes]] = set()
        for descriptor, message in messages:
            kind, prefix = message[:1], message[1:]
            peer = peers.get(descriptor)
            if kind == _SUBSCRIBE and prefix in self._known and not (peer and prefix in peer.topics):
                known.add((descriptor, prefix))  # also of peers that were cut off, because they will return
            if peer is None or not self._socket.peers.can_have_sent(peer, len(message)):  # the sender has disconnected
                continue
            peer.heard_bytes += len(message)
            if kind == _SUBSCRIBE:
                peer.topics.add(prefix)
                new.add(prefix)
            elif kind == _CANCEL:
                peer.topics.discard(prefix)
        self._socket.peers.excuse(sum(self._socket.overhead_bytes + len(prefix) for _, prefix in known))
        self._limit_topics(list(peers.values()))
        return new

    def topics(self) -> set[bytes]:
        """Return the topics of existing cameras that peers are subscribed to exactly, not by a prefix."""
        existing = self._topics()
        return {topic for peer in self._socket.peers.connected().values() for topic in peer.topics & existing}

    def size(self) -> int:
        """Count the peers that are subscribed to the poses of at least one camera."""
        topics = [wire.pose_topic(camera) for camera in self._cameras()]
        peers = self._socket.peers.connected().values()
        return sum(any(covers(peer.topics, topic) for topic in topics) for peer in peers)

    def _topics(self) -> set[bytes]:
        return {topic for camera in self._cameras() for topic in self._socket.purpose.topics(camera)}

    def _limit_topics(self, peers: list[Peer]) -> None:
        """Disconnect the peers with the most topics that do not exist until those of the others are within the limit.

        A topic that several peers share counts once: each of them is charged an equal part.
        """
        odd = {peer: peer.topics - self._known for peer in peers}
        sharers = Counter(itertools.chain.from_iterable(odd.values()))
        left: float = sum(map(len, sharers))
        if left <= _MOST_ODD_BYTES:
            return
        parts = {peer: sum(len(topic) / sharers[topic] for topic in topics) for peer, topics in odd.items()}
        for peer in sorted(parts, key=parts.__getitem__, reverse=True):
            if left <= _MOST_ODD_BYTES:
                break
            self._socket.peers.cut_off(peer)
            left -= parts[peer]


def covers(prefixes: set[bytes], topic: bytes) -> bool:
    """Whether a topic starts with any of these prefixes. The time does not depend on their number."""
    return any(topic[:length] in prefixes for length in range(len(topic) + 1))
