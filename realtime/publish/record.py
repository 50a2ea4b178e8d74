"""The recording: every pose message, in order, as a JSON line or in Parquet files.

A side branch of the publisher with a thread of its own. Encoding and a slow disk delay live cameras only if the run
also reads files, because files are recorded completely. Lines are written unbuffered, so a killed run loses only the
messages that are still in the queue, and may cut off its last line; of a Parquet recording, it loses the last half a
second. Beside it, x.info.json describes the cameras. A long recording can be split into segments (publish.segments).

If the disk is full or a pipe is not read, a run with a live camera continues, counts the lost lines and tries again. A
run of files ends with an error.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from realtime import wire
from realtime.config import RecordingConfig
from realtime.errors import OutputError, RealtimeError
from realtime.publish.info_file import InfoFile
from realtime.publish.outage import Outage
from realtime.publish.parquet_file import ParquetFile
from realtime.publish.recording import Format, RecordingFile
from realtime.publish.segments import Segments
from realtime.recordings.info import info_path, others_beside
from realtime.runtime.channel import Channel, Closed

log = logging.getLogger(__name__)

# Capacity of the queue in messages: about ten seconds of one camera.
_WAITING = 256
# How often a run of files checks whether a program reads the pipe that it records to.
_READER_LOOK_S = 0.1
_TOO_SLOW = "written too slowly"


class Recorder:
    """Writes pose messages to a .jsonl file, or to the two files of a .parquet recording.

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
    >>> len(path.read_text().splitlines()), recorder.status().written
    (1, 1)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: Path,
        goes_on: Callable[[], bool] = lambda: False,
        config: RecordingConfig = RecordingConfig(),  # noqa: B008 - frozen
    ) -> None:
        """Open and lock the file. An existing file keeps its content and its name until `run`.

        Args:
            path: the file, .jsonl or .parquet; for .jsonl, a pipe or a device works too.
            goes_on: returns whether the run continues if the file can't be written, because it has a live camera.
            config: the section `recording` of the configuration.

        Raises:
            ConfigError: the libraries for .parquet are not installed.
            OutputError: another run writes the file, it can't be written, or a recording of the other format has the
                same x.info.json.
        """
        self._path, self._goes_on = path, goes_on
        self._given_up, self._is_done = threading.Event(), threading.Event()
        kind = ParquetFile if path.suffix == ".parquet" else RecordingFile
        self._file: Format = kind(path, self._given_up.is_set)
        self._check_alone()
        self._segments = Segments(config.segment_s, config.keep_gb)
        self._batch: list[tuple[wire.PoseMessage, bool]] = []  # waits to be written
        self._batch_since_s = 0.0
        self._info_file = InfoFile()
        self._channel: Channel[tuple[wire.PoseMessage, bool]] = Channel(_WAITING)  # with whether it comes from a file
        self._outage = Outage()
        self._error: str | None = None
        self._has_ended_run = False
        # Counts of messages. The publisher's thread writes the first line, the recorder's thread the second.
        self._offered = self._offered_of_files = self._overflowed = 0
        self._written = self._written_of_files = self._lost = 0
        self._is_behind = False

    def write(self, message: wire.PoseMessage, wait: bool) -> None:
        """Queue a message for writing.

        Args:
            message: the published message.
            wait: what to do while the queue is full. True blocks, so that the recording of a file is complete; False
                drops the message and counts it as lost.
        """
        self._offered += 1
        self._offered_of_files += wait
        try:
            if wait:
                self._channel.put((message, True))
            elif self._channel.try_put((message, False)):
                self._is_behind = False
            else:
                if not self._overflowed:
                    log.warning("record: %s is written too slowly: lines are lost and counted", self._path)
                self._overflowed += 1
                self._is_behind = True
        except Closed:
            pass

    def describe(self, info: wire.InfoMessage) -> None:
        """Take the info of a camera that is new or may have changed, to be written beside the recording."""
        self._info_file.describe(info)

    def status(self) -> wire.Recording:
        """Return how many lines were written and lost so far, and why lines are being lost now."""
        error = self._error or (_TOO_SLOW if self._is_behind else None)
        return wire.Recording(written=self._written, lost=self._lost + self._overflowed, error=error)

    def finish(self, timeout_s: float = 0.0) -> None:
        """Accept no more messages, and wait up to `timeout_s` for those in the queue, which are still written."""
        self._channel.close()
        self._is_done.wait(timeout_s)

    def give_up(self) -> None:
        """Wait no longer for a program that reads the pipe. Safe to call from any thread."""
        self._given_up.set()

    def run(self) -> None:
        """Write messages until `finish`, then close the file. The body of the recorder's thread.

        An earlier recording is renamed first.

        Raises:
            OutputError: the earlier recording can't be renamed, or another run writes the file.
            RealtimeError: the file can't be written any more, and no camera is live.
        """
        try:
            self._begin()
            while True:
                for message, is_of_file in self._channel.take(self._file.longest_s or None):
                    self._record(message, is_of_file)
                if self._batch and time.monotonic() - self._batch_since_s >= self._file.longest_s:
                    self._store()
                self._file.advance()
        except Closed:
            self._close()
        finally:
            self._channel.abort()
            self.close()
            self._is_done.set()

    def close(self) -> None:
        """Close the file. Needed only if `run` was never called."""
        try:
            self._file.close()
        except (OSError, OutputError) as error:
            log.debug("record: closing %s failed: %s", self._path, error)

    def log_losses(self) -> None:
        """Log how many lines of the run were lost, if any, unless `run` has raised an error. Call it at the end."""
        lost = self._offered - self._written
        if lost and not self._has_ended_run:
            log.warning("record: %s: %d of %d lines were lost", self._path, lost, self._offered)

    def check(self) -> None:
        """Check at the end of the run that all lines of files were written.

        Raises:
            RealtimeError: some are missing.
        """
        if of_files := self._offered_of_files - self._written_of_files:
            raise RealtimeError(f"record: {self._path} is incomplete; missing lines of files: {of_files}")

    def _check_alone(self) -> None:
        """Check that x.info.json would describe only this recording.

        The file is open already: if two runs start at once, at least one of them finds the other's.

        Raises:
            OutputError: a recording of the other format has this stem.
        """
        if self._file.is_regular and (others := others_beside(self._file.path)):
            self.close()
            raise OutputError(
                f"record: {self._path}: {info_path(self._file.path).name} belongs to {others[0].name}: "
                "choose another name"
            )

    def _begin(self) -> None:
        has_warned = False
        while True:
            try:
                self._file.begin()
            except OSError as error:
                if error.errno != errno.ENXIO or self._goes_on() or self._given_up.is_set():
                    self._fail(error)
                    return
            else:
                self._begin_segment()
                return
            if not has_warned:
                log.warning("record: waiting for a program that reads the pipe %s", self._path)
                has_warned = True
            self._given_up.wait(_READER_LOOK_S)

    def _record(self, message: wire.PoseMessage, is_of_file: bool) -> None:
        now_s = time.monotonic()
        if not self._outage.may_try(now_s):
            self._lost += 1
            return
        if not self._batch:
            self._batch_since_s = now_s
        self._batch.append((message, is_of_file))
        if len(self._batch) >= self._file.most_messages or now_s - self._batch_since_s >= self._file.longest_s:
            self._store()

    def _store(self) -> None:
        """Write the messages that wait, or lose all of them."""
        now_s = time.monotonic()
        batch, self._batch = self._batch, []
        try:
            if self._outage.is_on:
                self._file.renew()
            elif self._segments.is_on and self._segments.is_over(now_s, self._file.size):
                self._file.begin()
                self._begin_segment()
            self._file.write(self._file.encode([message for message, _ in batch]))
        except (OSError, OutputError) as error:
            self._lost += len(batch)
            self._fail(error)
            return
        self._written += len(batch)
        self._written_of_files += sum(is_of_file for _, is_of_file in batch)
        self._info_file.update(self._file, now_s)
        if self._outage.succeed(now_s):
            self._error = None
            log.info("record: %s can be written again; %d lines lost so far", self._path, self._lost)

    def _begin_segment(self) -> None:
        self._segments.begin(time.monotonic())
        self._segments.drop_oldest(self._file.path)

    def _fail(self, error: OSError | OutputError) -> None:
        """Start or continue an outage.

        Raises:
            RealtimeError: no camera is live.
        """
        self._error = _why(error)
        if not self._goes_on():
            self._has_ended_run = True
            raise RealtimeError(
                f"record: can't write {self._path}: {self._error}; lines written: {self._written}"
            ) from None
        if self._outage.fail(time.monotonic()):
            log.warning(
                "record: can't write %s: %s; the run continues, counts the lost lines and tries again",
                self._path,
                self._error,
            )

    def _close(self) -> None:
        """Close the file, and handle errors that the system reports only now, as network file systems do.

        Raises:
            RealtimeError: the recording is not complete, and no camera is live.
        """
        if self._batch:
            self._store()
        if self._written:
            self._info_file.update(self._file, time.monotonic(), is_last=True)
        try:
            self._file.close(self._segments.is_on)
        except (OSError, OutputError) as error:
            if not self._goes_on():
                self._fail(error)
            self._error = _why(error)
            log.warning("record: can't complete %s: %s", self._path, self._error)
            return
        if self._segments.is_on:
            self._segments.drop_oldest(self._file.path)


def _why(error: OSError | OutputError) -> str:
    """The reason without any path, because it is published."""
    if isinstance(error, OutputError):
        return "it can't be opened again"
    if error.errno == errno.ENXIO:
        return "no program reads this pipe"
    return error.strerror or type(error).__name__
