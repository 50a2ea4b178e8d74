"""What each socket of the stream is for: its topics, its readers and its limits.

Used by publish.socket, peers, audience, pictures and outlets. There are two streams, poses and pictures. Poses
may have a second socket without keys for programs on this machine, and each stream one for a program that the pipeline
itself starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from realtime import wire
from realtime.config import MOST_PEERS

# Limit for one picture with its message (bytes). A picture of 12 megapixels has about 3 MB.
MOST_PICTURE_BYTES = 4 * 2**20
# Readers that stall make libzmq keep at most _PICTURE_PEERS x _PICTURE_QUEUE x MOST_PICTURE_BYTES = 512 MB, if each
# stalled at other pictures, of the largest size. With full HD (0.3 MB) it is 38 MB, and with 320 pixels 1.5 MB. A
# shorter queue loses pictures of several cameras that are sent at once, before libzmq's thread takes them.
_PICTURE_PEERS, _PICTURE_QUEUE = 32, 4
# The system keeps at most this much (twice on Linux) for each reader of pictures. By default, it would keep up to 4 MB:
# half a minute of old pictures for a reader with 1 Mbit/s.
_PICTURE_SEND_BYTES = 131_072
# Connections to all endpoints of publish.local_bind. As many as to publish.bind would need more descriptors than usual.
_LOCAL_PEERS = 64
# A private endpoint has one reader, and another while the first one ends. It reads all cameras, whose pictures may come
# at once.
_PRIVATE_PEERS, _PRIVATE_PICTURE_QUEUE = 4, 16


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a socket is for.

    Attributes:
        key: the configuration key that asks for the socket, named in errors and in the log.
        does: what the log says when an endpoint is bound: it "... on ENDPOINT".
        topics: returns the topics that exist for a camera.
        prefixes: what readers subscribe to besides topics.
        most_peers: how many peers may be connected.
        bytes_per_s: how many bytes a peer may send per second, after the first ones (publish.peer).
        queue: length of the queue of each subscriber, in messages. ZeroMQ drops messages that don't fit.
        send_bytes: size of the system's buffer for each TCP connection; None: the system chooses.
        linger_ms: how long closing waits for the last messages to be sent. 0 loses them.
        is_open: its readers need no keys, even if the stream has some.
        is_private: for a program that the pipeline starts. It is not announced, and its readers don't count for
            `publish.wait_for_subscribers`.
    """

    key: str
    does: str
    topics: Callable[[str], list[bytes]]
    prefixes: frozenset[bytes]
    most_peers: int
    bytes_per_s: int
    queue: int
    send_bytes: int | None
    linger_ms: int
    is_open: bool = False
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class PrivateEndpoints:
    """ipc endpoints without keys for a program that the pipeline starts, in a folder that no other user can open.

    They are not announced, and their readers don't count for `publish.wait_for_subscribers`.

    >>> private = PrivateEndpoints(poses="ipc:///run/user/1000/x/poses", pictures="ipc:///run/user/1000/x/pictures")

    Attributes:
        poses: where the program reads poses, info and status.
        pictures: where it reads pictures; None: it reads none.
    """

    poses: str
    pictures: str | None


def _topics_of_poses(camera: str) -> list[bytes]:
    return [wire.info_topic(camera), wire.status_topic(camera), wire.pose_topic(camera)]


def _topics_of_pictures(camera: str) -> list[bytes]:
    return [wire.picture_topic(camera, width) for width in wire.WIDTHS]


POSES = Purpose(
    key="publish.bind",
    does="publishing",
    topics=_topics_of_poses,
    prefixes=frozenset({b"", b"info/", b"status/", b"pose/"}),
    most_peers=MOST_PEERS,
    bytes_per_s=256,  # heartbeats every 0.5 s take 90 with CURVE
    queue=64,  # old poses are useless
    send_bytes=None,
    linger_ms=200,  # ZeroMQ's default may wait forever
)
PICTURES = Purpose(
    key="publish.pictures",
    does="sending pictures",
    topics=_topics_of_pictures,
    prefixes=frozenset({b"", b"picture/"}),
    most_peers=_PICTURE_PEERS,
    # The dashboard subscribes to a still of an idle camera every 5 s, and cancels that again: 5.4 kB/s for 100 cameras
    # with names of 64 characters, with CURVE.
    bytes_per_s=8192,
    queue=_PICTURE_QUEUE,
    send_bytes=_PICTURE_SEND_BYTES,
    linger_ms=0,
)
LOCAL_POSES = replace(POSES, key="publish.local_bind", most_peers=_LOCAL_PEERS, is_open=True)
PRIVATE_POSES = replace(POSES, key="web", most_peers=_PRIVATE_PEERS, is_open=True, is_private=True)
PRIVATE_PICTURES = replace(
    PICTURES, key="web", most_peers=_PRIVATE_PEERS, queue=_PRIVATE_PICTURE_QUEUE, is_open=True, is_private=True
)
