"""The recording: every pose message as a JSON line, in order.

A side branch of the publisher with a thread of its own. Encoding and a slow disk delay live cameras only if the run
also reads files, because files are recorded completely. Lines are written unbuffered, so a killed run loses only the
messages that are still in the queue, and may cut off its last line.
"""

from __future__ import annotations

import logging
from pathlib import Path

from realtime import wire
from realtime.errors import OutputError
from realtime.runtime.channel import Channel, Closed

log = logging.getLogger(__name__)

# Capacity of the queue in messages: about ten seconds of one camera.
_WAITING = 256


class Recorder:
    """Writes pose messages to a .jsonl file.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "poses.jsonl"
    >>> recorder = Recorder(path)
    >>> message = wire.PoseMessage(
    ...     session="s", camera="cam0", epoch=0, seq=0, frame=0, captured_ns=1, clock="arrival", published_ns=2,
    ...     media_s=None, size=(640, 480), skeleton="none", track_ids=[], scores=[], boxes=b"", keypoints=b"",
    ...     measured=[], timing_ms={},
    ... )
    >>> recorder.write(message, wait=True)
    >>> recorder.finish()
    >>> recorder.run()  # in the pipeline, this runs on its own thread from the start
    >>> len(path.read_text().splitlines())
    1
    >>> folder.cleanup()
    """

    def __init__(self, path: Path) -> None:
        """Open the file to check that it can be written. Its content stays until `run` replaces it.

        Args:
            path: the file; a pipe or a device works too.

        Raises:
            OutputError: the file can't be written.
        """
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"record: can't write {path}: {error.strerror}") from None
        self._channel: Channel[wire.PoseMessage] = Channel(_WAITING)
        self._lost = 0

    def write(self, message: wire.PoseMessage, wait: bool) -> None:
        """Queue a message for writing.

        Args:
            message: the published message.
            wait: what to do while the queue is full. True blocks, so that the recording of a file is complete; False
                drops the message and counts it as lost.
        """
        try:
            if wait:
                self._channel.put(message)
            elif not self._channel.try_put(message):
                self._lost += 1
        except Closed:
            pass

    def finish(self) -> None:
        """Accept no more messages. Those in the queue are still written."""
        self._channel.close()

    def run(self) -> None:
        """Write messages until `finish`, then close the file. The body of the recorder's thread.

        Raises:
            OutputError: the file can't be written any more, for example because the disk is full.
        """
        try:
            if self._path.is_file():  # a pipe or a device has no content to replace
                self._file.truncate(0)
            while True:
                for message in self._channel.take():
                    self._file.write(wire.encode(message, "json") + b"\n")
        except Closed:
            if self._lost:
                log.warning("record: %d messages lost, the disk was too slow", self._lost)
        except OSError as error:
            raise OutputError(f"record: can't write {self._path}: {error.strerror}") from None
        finally:
            self._channel.abort()
            self.close()

    def close(self) -> None:
        """Close the file. Needed only if `run` was never called."""
        self._file.close()
