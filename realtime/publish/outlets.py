"""All sockets of the stream, opened together: those that the configuration asks for, and private ones.

Used by realtime.pipeline before the models load, so that a busy port is found immediately. publish.stage and
publish.pictures take the sockets over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from realtime.config import PublishConfig
from realtime.publish.pictures import Pictures
from realtime.publish.purpose import LOCAL_POSES, PRIVATE_POSES, PrivateEndpoints
from realtime.publish.reader_keys import reader_keys
from realtime.publish.socket import PublishSocket


@dataclass(frozen=True, slots=True)
class Outlets:
    """The bound sockets of a run.

    Attributes:
        sockets: those of poses, info and status; the first one has the endpoints of `publish.bind`.
        pictures: the branch of the pictures; None if no reader can subscribe to any.
    """

    sockets: list[PublishSocket]
    pictures: Pictures | None

    def close(self) -> None:
        """Close the sockets. Needed only if the run never starts."""
        for socket in self.sockets:
            socket.close()
        if self.pictures is not None:
            self.pictures.close()


def open_outlets(
    config: PublishConfig, private: PrivateEndpoints | None, session: str, cameras: Callable[[], Iterable[str]]
) -> Outlets:
    """Bind all sockets of the stream.

    >>> outlets = open_outlets(PublishConfig(bind=["tcp://127.0.0.1:*"]), None, "session", list)
    >>> outlets.pictures is None
    True
    >>> outlets.close()

    Args:
        config: the section `publish` of the configuration.
        private: further endpoints, for a program that the pipeline starts; None: there are none.
        session: id of the run.
        cameras: returns the names of all current cameras; called from the threads of the stream, once they run.

    Raises:
        OutputError: an endpoint can't be bound, or a key can't be read.
    """
    keys = reader_keys(config)
    with contextlib.ExitStack() as on_error:
        sockets = [PublishSocket(config, keys=keys)]
        on_error.callback(sockets[0].close)
        if config.local_bind:
            sockets.append(PublishSocket(config, config.local_bind, LOCAL_POSES))
            on_error.callback(sockets[-1].close)
        if private is not None:
            sockets.append(PublishSocket(config, [private.poses], PRIVATE_POSES))
            on_error.callback(sockets[-1].close)
        pictures = None
        if config.pictures is not None or (private is not None and private.pictures is not None):
            pictures = Pictures(config, private.pictures if private else None, session, cameras, keys)
        on_error.pop_all()
    return Outlets(sockets, pictures)
