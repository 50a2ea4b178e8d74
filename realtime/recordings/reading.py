"""Opens a recording, whatever its format, and streams its messages.

Not on the data path: the run that published the messages has recorded them (`--record`). Replay, the converters and the
commands of evaluate read recordings here and nowhere else. A converter needs three lines:

    recording = open_recording(path)           # ConfigError: exit code 2, one line
    info = recording.info(camera)              # keypoint names and edges: from x.info.json or the messages
    for message in recording.messages():       # wire.PoseMessage: boxes_array(), keypoints_array(), track_ids, ...
        ...

Nothing is kept in memory. Problems of single lines are logged as warnings (`realtime.recordings`), so that the part
that can be read is used.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.info import info_path, is_known, made_of, read_infos
from realtime.recordings.lines import Lines

log = logging.getLogger(__name__)

# How the files of other formats begin. The content decides, because anything may be renamed.
_PARQUET, _STREAM, _ARROW = (b"PAR1",), (b"\xff\xff\xff\xff",), (b"ARROW1",)  # a stream of Arrow, a file of Arrow
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xfd7zXZ", b"BZh")  # gzip, zstd, zip, xz, bzip2


class Messages(Protocol):
    """The messages of a recording in one format. A format is a class with these two methods."""

    def messages(self) -> Iterator[wire.PoseMessage]:
        """Yield all messages that can be read, in the order in which they were published. Warn about the others.

        Raises:
            ConfigError: the file can't be read, or contains no messages.
        """
        ...

    def cameras(self) -> Iterator[str]:
        """Yield the camera of each message, which may be faster than to read all of it.

        Some of these messages may be among those that `messages` leaves out.

        Raises:
            ConfigError: the file can't be read.
        """
        ...


def open_recording(path: Path) -> Recording:
    """Open a recording of `--record`. A run may still write it: then the messages are those that are there now.

    Args:
        path: a .jsonl or .parquet file (either of the two), the .parquet.open of a run that goes on or was killed, or a
            pipe with lines, which can be read once.

    Raises:
        ConfigError: there is no such file, or it is no recording.
    """
    stream = path.with_name(f"{path.name}.open")
    if path.name.endswith(".parquet") and not path.exists() and stream.exists():  # its run goes on, or was killed
        path = stream
    try:
        mode = path.stat().st_mode
        beginning = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                beginning = file.read(8)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: can't be read: {why}") from None
    if stat.S_ISDIR(mode):
        raise ConfigError(f"{path}: a folder, expected a recording: a .jsonl or .parquet file of --record")
    if beginning.startswith(_PACKED):
        raise ConfigError(f"{path}: compressed, expected a .jsonl file: unpack it first")
    if beginning.startswith(_PARQUET + _STREAM):
        return Recording(path, _open_parquet(path, beginning.startswith(_STREAM)))
    if beginning.startswith(_ARROW):
        raise ConfigError(f"{path}: an Arrow file, expected a recording: a .jsonl or .parquet file of --record")
    return Recording(path, Lines(path), is_stream=not stat.S_ISREG(mode))


def _open_parquet(path: Path, is_stream: bool) -> Messages:
    """Open a Parquet recording, or the stream that it is made of.

    Raises:
        ConfigError: it is no recording, or pyarrow is not installed.
    """
    try:
        from realtime.recordings.parquet_reading import OpenMessages, ParquetMessages
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ConfigError(
            f"{path}: a Parquet file, which needs the extra 'record' (pyarrow is not installed): "
            "pip install 'realtime-pose[record]'"
        ) from None
    return OpenMessages(path) if is_stream else ParquetMessages(path)


class Recording:
    """A recording that was opened by `open_recording`.

    >>> import tempfile
    >>> message = wire.PoseMessage(
    ...     session="s1", camera="door", epoch=0, seq=0, frame=0, captured_ns=1, clock="arrival", published_ns=2,
    ...     media_s=None, size=(640, 480), skeleton="coco17", track_ids=[], scores=[], boxes=b"", keypoints=b"",
    ...     measured=[], timing_ms={},
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x.jsonl"
    ...     _ = path.write_bytes(wire.encode(message, "json") + b"\\n")
    ...     recording = open_recording(path)
    ...     [each.seq for each in recording.messages()], recording.cameras, recording.info("door").keypoint_names[0]
    ([0], ['door'], 'nose')

    Attributes:
        path: its path, as it was given.
        is_stream: whether it is a pipe, so that `messages` works once, and `cameras` are those of the messages so far.
        infos: the info of each camera that is described in x.info.json; empty without that file.
    """

    def __init__(self, path: Path, source: Messages, is_stream: bool = False) -> None:
        """Read x.info.json, if there is one.

        Args:
            path: the path of the recording.
            source: its messages.
            is_stream: whether they can be read only once.
        """
        self.path, self.is_stream = path, is_stream
        self.infos = {} if is_stream else _companion(path)
        self._source = source
        self._cameras: dict[str, None] = {}
        self._is_scanned = False
        self._made: dict[str, wire.InfoMessage] = {}

    def messages(self) -> Iterator[wire.PoseMessage]:
        """Yield all messages in the order of the recording. Each call begins again, except with a pipe.

        Sessions follow one another as they are in the file, and `message.session` tells them apart.

        Raises:
            ConfigError: the file can't be read, or contains no messages.
        """
        for message in self._source.messages():
            self._cameras[message.camera] = None
            yield message
        self._is_scanned = True

    @property
    def cameras(self) -> list[str]:
        """The cameras that have messages, in the order of their first ones. The first use may read the whole file.

        Raises:
            ConfigError: the file can't be read.
        """
        if not self._is_scanned and not self.is_stream:
            self._cameras.update(dict.fromkeys(self._source.cameras()))
            self._is_scanned = True
        return list(self._cameras)

    def info(self, camera: str) -> wire.InfoMessage:
        """Return the info of a camera: its keypoints' names and edges, its models and its frame size.

        Without x.info.json it is made of the camera's messages (recordings.info.made_of): the skeletons `coco17` and
        `none` are known, and for others there is a warning.

        Raises:
            ConfigError: the file can't be read, or has no message of this camera that can.
        """
        if camera not in self.infos and camera not in self._made:
            message = self._first(camera)
            self._made[camera] = made_of(message)
            if not is_known(message.skeleton):
                log.warning(
                    "%s: %s: the names of its keypoints are unknown, because %s does not tell them",
                    self.path,
                    camera,
                    info_path(self.path).name,
                )
        return self.infos.get(camera) or self._made[camera]

    def _first(self, camera: str) -> wire.PoseMessage:
        """Return a message of the camera, with people if its skeleton is unknown and there is one.

        Raises:
            ConfigError: there is none.
        """
        first: wire.PoseMessage | None = None
        cameras = dict.fromkeys(self._cameras) if self.is_stream else {}
        if not self.is_stream:
            for message in self._source.messages():
                cameras[message.camera] = None
                if message.camera == camera:
                    first = first or message
                    if message.track_ids or is_known(message.skeleton):
                        return message
        if first is None:
            raise ConfigError(f"{self.path}: has no camera {camera!r}, expected one of: {', '.join(cameras)}")
        return first


def _companion(recording: Path) -> dict[str, wire.InfoMessage]:
    """Read the companion beside the recording or, if that is a link, beside the file that it leads to."""
    for path in (info_path(recording), info_path(recording.resolve())):
        try:
            if infos := read_infos(path):
                return infos
        except (ValueError, OSError) as error:
            log.warning("%s: left out: %s", path, error)
            return {}
    return {}
