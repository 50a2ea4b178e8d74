"""The recording: every pose message as a JSON line, in order.

A side branch of the publisher with a thread of its own: encoding and a slow disk never delay the stream of live
cameras, unless there are files beside them. Of those nothing is left out, so all wait for the disk where they must.
Each line is flushed, so that a killed run loses at most its last one.
"""

from __future__ import annotations

import logging
from pathlib import Path

from realtime import wire
from realtime.errors import OutputError
from realtime.runtime.channel import Channel, Closed

log = logging.getLogger(__name__)

# Messages that may wait for the disk: about ten seconds of one camera.
_WAITING = 256


class Recorder:
    """Writes pose messages to a .jsonl file."""

    def __init__(self, path: Path) -> None:
        """See that the file can be written. What is in it is replaced when the run begins, not before.

        Raises:
            OutputError: it can't be written.
        """
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"record: can't write {path}: {error.strerror}") from None
        self._channel: Channel[wire.PoseMessage] = Channel(_WAITING)
        self._lost = 0

    def write(self, message: wire.PoseMessage, wait: bool) -> None:
        """Hand over a message.

        Args:
            message: what was published.
            wait: block while too many wait (files: the recording is complete); else it is left out and counted.
        """
        try:
            if wait:
                self._channel.put(message)
            elif not self._channel.try_put(message):
                self._lost += 1
        except Closed:
            pass

    def finish(self) -> None:
        """No more messages; those that wait are still written."""
        self._channel.close()

    def run(self) -> None:
        """The recorder's thread: write until `finish`, then close the file.

        Raises:
            OutputError: the disk is full or gone.
        """
        try:
            if self._path.is_file():  # no pipe, no device: nothing is in these
                self._file.truncate(0)
            while True:
                for message in self._channel.take():
                    self._file.write(wire.encode(message, "json") + b"\n")
        except Closed:
            if self._lost:
                log.warning("record: %d messages left out, the disk was too slow", self._lost)
        except OSError as error:
            raise OutputError(f"record: can't write {self._path}: {error.strerror}") from None
        finally:
            self._channel.abort()
            self.close()

    def close(self) -> None:
        """Close the file of a recorder that never ran, or at its end."""
        self._file.close()
