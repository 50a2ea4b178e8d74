"""A copy of a clip with its recorded people drawn on, as `--save-video` would have written it.

The only format that needs the pipeline: capture reads the clip, and publish draws and encodes. Messages belong to the
pictures of the clip by their frame numbers, as the program counted them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime import wire
from realtime.capture.guard import Guard
from realtime.capture.kind import kind_of
from realtime.capture.open import open_source
from realtime.capture.source import Source
from realtime.config import CameraConfig
from realtime.errors import ConfigError, RealtimeError, SourceError
from realtime.publish.annotate import annotate
from realtime.publish.mp4 import EncodingError, Mp4, check_encoder
from realtime.publish.output_file import OutputFile
from realtime.recordings.convert.conversion import Conversion
from realtime.recordings.convert.output import new_path
from realtime.skeleton import Skeleton
from realtime.types import Frame, Poses

log = logging.getLogger(__name__)

# The step (s) to a frame whose time is not later than that of the frame before it, or later than the longest step.
_USUAL_STEP_S, _LONGEST_STEP_S = 1 / 30, 3600.0


def write(conversion: Conversion, out: Path) -> None:
    """Write one camera. Frames that the program dropped are left out; a pause takes their place.

    The video ends with the clip or with the recording. If the other one goes on, a log line says so.

    Raises:
        ConfigError: the recording can't be read, or does not belong to the clip.
        SourceError: the clip can't be opened.
        OutputError, RealtimeError: the file can't be written.
    """
    check_encoder()
    clip = _Clip(conversion.clip or "")
    try:
        with new_path(out) as path:
            _write(_drawn(conversion, clip), path)
    except EncodingError as error:
        raise RealtimeError(f"{out}: can't be encoded: {error}") from None
    finally:
        clip.close()


def _write(drawn: Iterator[tuple[wire.PoseMessage, NDArray[np.uint8]]], path: Path) -> None:
    file = OutputFile(path, "out")
    mp4: Mp4 | None = None
    times = _Times()
    try:
        for message, image in drawn:
            if mp4 is None:
                file.begin()
                mp4 = Mp4(file, message.size, message.camera, message.captured_ns / 1e9)
            mp4.write(image, times.next_s(message))
        assert mp4 is not None  # _drawn yields at least one
        mp4.finish()
        mp4 = None
    finally:
        if mp4 is not None:
            mp4.abandon()
        file.close()


def _drawn(conversion: Conversion, clip: _Clip) -> Iterator[tuple[wire.PoseMessage, NDArray[np.uint8]]]:
    """Yield each message with its picture, on which its people are drawn.

    Raises:
        ConfigError: there is none, or the clip has another size.
    """
    name, last = conversion.recording.path, None
    count = 0
    for message, info in conversion.named_messages():
        if last is not None and (message.session != last.session or message.frame <= last.frame):
            log.warning("%s: another run begins after frame %d: left out", name, last.frame)
            break
        image = clip.picture(message.frame)
        if image is None:
            if last is None:
                raise ConfigError(f"{clip.name}: has {clip.count} frames, and {name} begins with frame {message.frame}")
            log.warning("%s: ends after %d frames, and %s goes on: left out", clip.name, clip.count, name)
            break
        size = image.shape[1], image.shape[0]
        if size != message.size or (last is not None and size != last.size):
            raise ConfigError(
                f"{clip.name}: frame {message.frame} is {_shown(size)}, expected {_shown(message.size)} as in {name}: "
                "is it the clip that was recorded? (a video with cameras[].crop, rotate or scale can't be drawn on it)"
            )
        last, count = message, count + 1
        yield message, annotate(_poses(message, image), _skeleton(info), is_live=False)
    else:
        if last is not None and clip.picture(last.frame + 1) is not None:
            log.info("%s: goes on after frame %d, the last one of %s", clip.name, last.frame, name)
    conversion.frames = count


def _skeleton(info: wire.InfoMessage) -> Skeleton:
    return Skeleton("recorded", tuple(info.keypoint_names), tuple(info.edges))


class _Clip:
    """The pictures of the clip, one after the other.

    Attributes:
        name: the clip, as it was given.
        count: pictures read so far.
    """

    def __init__(self, name: str) -> None:
        if not name or kind_of(name) not in ("file", "images", "demo"):
            raise ConfigError(f"--video: got {name!r}, expected a video file")
        self.name = name
        try:
            config = CameraConfig(name="clip", source=name)
        except ValueError as error:
            raise ConfigError(f"--video: got {name!r}: {error}") from None
        self._guard = Guard("clip", name)
        self._source: Source = self._guard.call(open_source, config, logs=False)
        self.count = 0

    def picture(self, frame: int) -> NDArray[np.uint8] | None:
        """Return a frame by its number, which is higher than that of the call before: uint8 (H, W, 3), BGR.

        None if the clip has fewer frames.
        """
        while True:
            try:
                picture = self._guard.call(self._source.read, logs=False)
            except SourceError as error:
                log.warning("%s", error)
                return None
            if picture is None:
                return None
            self.count += 1
            if self.count > frame:
                return picture.image

    def close(self) -> None:
        self._source.close()


class _Times:
    """The times of the frames on one line, also if the clock of the source was set back."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._now_s = 0.0

    def next_s(self, message: wire.PoseMessage) -> float:
        """Return the time of a message (s), later than that of the one before."""
        time_s = message.captured_ns / 1e9 if message.media_s is None else message.media_s
        if self._last_s is not None:
            step_s = time_s - self._last_s
            self._now_s += step_s if 0 < step_s <= _LONGEST_STEP_S else _USUAL_STEP_S
        self._last_s = time_s
        return self._now_s


def _poses(message: wire.PoseMessage, image: NDArray[np.uint8]) -> Poses:
    time_s = message.captured_ns / 1e9 if message.media_s is None else message.media_s
    frame = Frame(message.camera, message.epoch, message.frame, image, time_s, 0, message.captured_ns)
    keypoints = message.keypoints_array()
    return Poses(
        frame,
        np.array(message.track_ids, np.int64),
        np.ascontiguousarray(message.boxes_array()),
        np.array(message.scores, np.float32),
        np.ascontiguousarray(keypoints[..., :2]),
        np.ascontiguousarray(keypoints[..., 2]),
        np.array(message.measured, np.bool_),
        labels=None if message.labels is wire.UNSET else np.array(message.labels, np.str_),
    )


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
