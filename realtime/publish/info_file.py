"""Writes x.info.json beside a recording: the latest InfoMessage of each camera (recordings.info has the format).

Used by publish.record. It is written on the recorder's thread, never at the expense of a line: if it can't be written,
that is tried again, and the recording can be read without it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

from realtime import wire
from realtime.outputs import OPEN_FLAGS, keep_access, write_some
from realtime.publish.earlier import set_aside
from realtime.publish.outage import Outage
from realtime.publish.recording import Format
from realtime.recordings.info import encode_infos, info_path

log = logging.getLogger(__name__)

# It is written at most this often (s), because a thousand cameras that start one after the other change it each time.
_EVERY_S = 1.0


class InfoFile:
    """The companion of a recording. A recording to a pipe or a device has none.

    >>> import tempfile
    >>> from realtime.publish.recording import RecordingFile
    >>> info = wire.InfoMessage(
    ...     session="s1", camera="door", keypoint_names=[], edges=[], detector="yolo11n", pose="none", device="cpu",
    ...     smoothing="none", source_fps=25.0, size=(640, 480), version="0.1.0",
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     recording, companion = RecordingFile(Path(folder) / "x.jsonl"), InfoFile()
    ...     recording.begin()
    ...     companion.describe(info)
    ...     companion.update(recording, now_s=0.0)
    ...     recording.close()
    ...     sorted(os.listdir(folder))
    ['x.info.json', 'x.jsonl']
    """

    def __init__(self) -> None:
        self._infos: dict[str, wire.InfoMessage] = {}  # replaced, never changed
        self._written: dict[str, wire.InfoMessage] = {}  # the one that is in the file
        self._begun = 0  # which file of the recording it was written for
        self._has_begun = False
        self._next_s = float("-inf")
        self._outage = Outage()

    def describe(self, info: wire.InfoMessage) -> None:
        """Take the info of a camera. It may be called from another thread than `update`."""
        if self._infos.get(info.camera) != info:
            self._infos = {**self._infos, info.camera: info}

    def update(self, recording: Format, now_s: float, is_last: bool = False) -> None:
        """Write the file if anything changed.

        Args:
            recording: the recording, which has at least one line.
            now_s: monotonic time (s).
            is_last: whether no other call follows.
        """
        infos = self._infos
        if not infos or not recording.is_regular or (infos is self._written and recording.begun == self._begun):
            return
        if not is_last and (now_s < self._next_s or not self._outage.may_try(now_s)):
            return
        path = info_path(recording.path)
        try:
            self._write(path, recording.path, encode_infos(infos.values()))
        except OSError as error:
            if self._outage.fail(now_s) or is_last:
                log.warning("record: can't write %s: %s", path, error.strerror)
            return
        self._outage.succeed(now_s)
        self._written, self._begun, self._next_s = infos, recording.begun, now_s + _EVERY_S

    def _write(self, path: Path, recording: Path, data: bytes) -> None:
        """Replace the file. One that was there before this run belongs to no recording, and is renamed."""
        if not self._has_begun and os.path.lexists(path):
            renamed = set_aside(path, path.lstat().st_mtime, companions=())
            log.info("record: the earlier %s is now called %s", path, renamed.name)
        new = path.with_name(f".info-{secrets.token_hex(8)}.tmp")
        descriptor = os.open(new, OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            try:
                with contextlib.suppress(OSError):
                    keep_access(descriptor, recording.stat())
                left = memoryview(data)
                while left:
                    left = left[write_some(descriptor, left) :]
            finally:
                os.close(descriptor)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        self._has_begun = True
