"""The files of a Parquet recording: a stream of blocks, x.parquet.open, which becomes x.parquet and x.frames.parquet.

Used by publish.record, whose thread writes it. A Parquet file can't be read before its end is written, so a killed run
would leave nothing. A stream of Arrow can be read up to its last block. It is turned into the two Parquet files a part
at a time while the run writes it, so little is left to do at the end.

If a run was killed, the next one renames its stream (publish.earlier) and turns it into Parquet files, too.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from realtime import wire
from realtime.errors import ConfigError, OutputError
from realtime.outputs import real_path
from realtime.publish.earlier import COMPANIONS, STAMP, set_aside
from realtime.publish.output_file import NO_ROOM, OutputFile

if TYPE_CHECKING:
    from realtime.recordings.parquet_writing import Finisher

log = logging.getLogger(__name__)

_OPEN, _FRAMES = ".open", ".frames.parquet"
# A part of the stream is turned into Parquet when this many bytes wait for it.
_PART_BYTES = 8 * 2**20
# A part keeps the recorder's thread busy for some hundredths of a second. It then rests for this many times as long.
_REST = 9
# How long (s) after a failure the stream is tried again, for example because the disk was full.
_AGAIN_S = 60.0


class ParquetFile:
    """A recording of the format Parquet. One thread uses it.

    Attributes:
        most_messages, longest_s: how many messages are written together, and how long (s) one waits for others.
        begun: how many streams were begun.
    """

    most_messages, longest_s = 256, 0.5

    def __init__(self, path: Path, is_over: Callable[[], bool] = lambda: False) -> None:
        """Open and lock the stream. Existing files keep their contents and their names until `begin`.

        Args:
            path: the path of x.parquet; a symbolic link stands for its target.
            is_over: called while a part is turned into Parquet at the end of the run; True gives up.

        Raises:
            ConfigError: pyarrow is not installed.
            OutputError: another run is writing it, or it can't be written.
        """
        try:
            from realtime.recordings import parquet_writing
        except ModuleNotFoundError as error:
            if error.name != "pyarrow":
                raise
            raise ConfigError(
                f"record: {path.name} needs the extra 'record' (pyarrow is not installed): "
                "pip install 'realtime-pose[record]'"
            ) from None
        self._parquet = parquet_writing
        self._is_over = is_over
        self._final = real_path(path)
        self._frames = _frames_of(self._final)
        people, frames = (path.with_name(f".{path.name}.tmp") for path in (self._final, self._frames))
        self._temporary = (people, frames)
        for file in (self._final, self._frames):
            if os.path.lexists(file) and not file.is_file():
                raise OutputError(f"record: {file} is not a regular file, which Parquet needs: choose another path")
        self._file = OutputFile(
            self._final.with_name(self._final.name + _OPEN), "record", flags=os.O_APPEND, companions=COMPANIONS
        )
        if not self._file.is_regular or not os.access(self._final.parent, os.W_OK | os.X_OK):
            self._file.close()
            raise OutputError(f"record: can't write {path}: its folder can't be written: choose another one")
        self.begun = 0
        self._ended: list[Path] = []  # streams of earlier segments and killed runs
        self._hopeless: set[Path] = set()
        self._finisher: Finisher | None = None  # of the first of these or, if there are none, of the current stream
        self._next_s = 0.0
        self._is_closed = False

    @property
    def path(self) -> Path:
        """The path of the stream, if the given path was a symbolic link that of its target."""
        return self._file.path

    @property
    def size(self) -> int:
        """Length of the stream in bytes."""
        return self._file.size()

    @property
    def is_regular(self) -> bool:
        """Whether it is neither a device nor a pipe: always."""
        return True

    def begin(self) -> None:
        """Rename an earlier recording, or end the segment, and begin an empty stream.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: there is no room for it.
        """
        self._file.begin()
        if not self.begun:
            self._set_aside()
            for path in self._temporary:
                path.unlink(missing_ok=True)
        self.begun += 1
        self._find_ended()

    def encode(self, messages: Sequence[wire.PoseMessage]) -> bytes:
        """Return messages as `write` takes them."""
        return self._parquet.block(messages)

    def write(self, block: bytes) -> None:
        """Write a block.

        Raises:
            OSError: it could not be written. The stream then ends with the block before it.
            OutputError: another run is writing a file at its path.
        """
        if self._file.is_cut or self._file.is_deleted():
            self.begin()
        self._file.append(block if self._file.size() else self._parquet.head() + block)

    def renew(self) -> None:
        """Prepare another attempt after a failure.

        Raises:
            OutputError: another run writes it, or an earlier recording can't be renamed.
            OSError: it can't be opened.
        """
        if not self.begun:
            self.begin()
        elif self._file.renew():
            self.begun += 1
            self._find_ended()

    def advance(self) -> None:
        """Turn the next part of a stream into Parquet, if it is time for that."""
        began_s = time.monotonic()
        if began_s >= self._next_s and self.begun:
            try:
                self._step()
            except OSError as error:
                log.debug("record: %s can't be written as Parquet yet: %s", self._final, error.strerror)
                self._next_s = began_s + _AGAIN_S
            else:
                now_s = time.monotonic()
                self._next_s = now_s + _REST * (now_s - began_s)

    def close(self, is_split: bool = False) -> None:
        """Finish all streams and close the current one. If the run never began, nothing is left of it.

        Args:
            is_split: the recording has segments, so that the last one gets a name like the others.

        Raises:
            OSError: a stream can't be turned into Parquet files. It stays and can be read.
            OutputError: it can't be renamed.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self.begun:
                self._finish_all(is_split)
        finally:
            self._abandon()
            self._file.close(keeps_empty=False)

    def _finish_all(self, is_split: bool) -> None:
        if is_split or any(map(os.path.lexists, (self._final, self._frames))):
            self._file.begin()  # renames it
            self._find_ended()
        elif not self._file.size():
            self._file.append(self._parquet.head())
        for source in self._ended:
            log.info("record: finishing %s", source)
        failed: list[Path] = []
        first: OSError | None = None
        has_more = True
        while has_more and not self._is_over():
            try:
                has_more = self._step(is_last=True)
            except OSError as error:
                first = first or error
                failed += self._ended[:1] or [self._file.path]
                has_more = bool(self._ended)
                self._ended = self._ended[1:]
        if has_more:
            failed += self._ended or [self._file.path]
        for source in failed:
            log.warning("record: %s is not finished; it can be read, and the next run finishes it", source)
        if first:
            raise first

    def _step(self, is_last: bool = False) -> bool:
        """Do the next part of the work. Return whether there may be more.

        Args:
            is_last: whether the current stream has ended, too.

        Raises:
            OSError: it can't be written.
        """
        is_ended = bool(self._ended)
        source = self._ended[0] if is_ended else self._file.path
        if is_ended and not (source.exists() and source.stat().st_size):  # deleted, perhaps because of keep_gb
            self._ended = self._ended[1:]
            return bool(self._ended) or is_last
        size = source.stat().st_size
        try:
            if self._finisher and not self._finisher.reads(source):
                self._abandon()
            waiting = size - (self._finisher.position if self._finisher else 0)
            if not size or not (is_ended or is_last or waiting >= _PART_BYTES):
                return False
            if self._finisher is None:
                self._finisher = self._parquet.Finisher(source, self._temporary)
            if self._finisher.step(size):
                return True
            if is_ended or is_last:
                self._complete(source)
                self._ended = self._ended[1:]
        except ValueError as error:
            log.warning("record: %s is left as it is: %s", source, error)
            self._hopeless.add(source)
            self._ended = self._ended[1:]
            self._abandon()
        except OSError:
            self._abandon()
            raise
        return bool(self._ended) or (is_ended and is_last)

    def _complete(self, source: Path) -> None:
        """Give the two Parquet files their names, and remove their stream."""
        assert self._finisher is not None
        final = source.with_name(source.name.removesuffix(_OPEN))
        is_whole = self._finisher.finish(final, _frames_of(final))
        self._finisher = None
        if is_whole:
            source.unlink()
        if source != self._file.path:
            log.info("record: %s is complete", final)

    def _abandon(self) -> None:
        finisher, self._finisher = self._finisher, None
        if finisher:
            finisher.abandon()

    def _set_aside(self) -> None:
        """Rename an earlier recording that is complete."""
        try:
            for path, companions in ((self._final, (_FRAMES, *COMPANIONS)), (self._frames, ())):
                if os.path.lexists(path):
                    renamed = set_aside(path, path.stat().st_mtime, companions)
                    log.info("record: the earlier %s is now called %s", path, renamed.name)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise OutputError(
                f"record: {self._final} can't be renamed ({error.strerror}): choose another file"
            ) from None

    def _find_ended(self) -> None:
        """Find the streams that this run or a killed one has renamed."""
        name = re.compile(re.escape(self._final.stem) + STAMP + re.escape(f".parquet{_OPEN}"))
        found = [path for path in self._final.parent.iterdir() if name.fullmatch(path.name)]
        self._ended += [
            path
            for path in sorted(found)
            if path not in self._ended
            and path not in self._hopeless
            and not path.with_name(path.name.removesuffix(_OPEN)).exists()
        ]


def _frames_of(final: Path) -> Path:
    return final.with_name(final.stem + _FRAMES)
