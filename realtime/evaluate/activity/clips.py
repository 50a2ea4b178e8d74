"""Reads a recording as a camera's thread would: picture by picture, on the recording's own timeline.

Used by `command`: CameraConfig -> Shot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from realtime.capture.guard import Guard
from realtime.capture.open import open_source
from realtime.capture.source import Decoded, Picture, Source
from realtime.capture.timeline import GAP_S, RateLimit, Timeline
from realtime.capture.view import check_crop, viewed_size
from realtime.config import CameraConfig
from realtime.errors import ConfigError, SourceError, TruncatedError
from realtime.redact import shown

# A step of more frames than this is a gap between recordings, even if a frame takes seconds, as in a time lapse.
_USUAL = 1.5


class Shot(NamedTuple):
    """One picture of a recording.

    Attributes:
        decoded: the picture.
        epoch: as in Frame.
        time_s: as in Frame.
        elapsed_s: time since the first picture, without the gaps between recordings that were joined.
        number: number of the picture, from 0, also counting those that `target_fps` left out.
        decode_s: CPU time (s) that decoding took, since the last shot.
    """

    decoded: Decoded
    epoch: int
    time_s: float
    elapsed_s: float
    number: int
    decode_s: float


class Clip:
    """A recording.

    Args:
        config: the camera; its source is the recording. `target_fps` is applied as to a live camera.

    Attributes:
        frames: number of good pictures so far.
        damaged: number of pictures so far that can't be used.
        trouble: why the recording ended early; None if it didn't.
        has_gaps: whether the timestamps jumped.
        size: width and height (pixels) of the last frame, as it would be published.

    Raises:
        SourceError: the recording can't be opened.
        ConfigError: the source is live.
    """

    def __init__(self, config: CameraConfig) -> None:
        self._config = config
        self._guard = Guard(config.name, config.address)
        self._source: Source = self._guard.call(open_source, config, logs=False)
        self.frames = self.damaged = 0
        self.trouble: str | None = None
        self.has_gaps = False
        self.size = viewed_size(self._source.size, config)
        if self._source.live:
            self.close()
            raise ConfigError(f"{shown(config.address)}: is live, expected a recording")

    def close(self) -> None:
        """Close the recording."""
        self._source.close()

    def shots(self, limit: int | None = None) -> Iterator[Shot]:
        """Yield the pictures, and stop early if the recording turns out to be broken (`trouble`).

        Args:
            limit: number of pictures to read; None: all.

        Raises:
            SourceError: `crop_xyxy` reaches beyond a picture.
        """
        timeline, rate_limit = Timeline(), RateLimit(self._config.target_fps)
        timeline.reopened(0.0, live=False, fps=self._source.fps)
        elapsed_s = decode_s = 0.0
        last: tuple[int, float] | None = None
        index = 0
        while limit is None or index < limit:
            began_s = time.process_time()
            picture = self._read()
            decode_s += time.process_time() - began_s
            if picture is None:
                return
            index += 1
            if picture.fault is not None or picture.decoded is None:
                self.damaged += 1
                continue
            self.frames += 1
            check_crop(picture.decoded.size, self._config)
            self.size = viewed_size(picture.decoded.size, self._config)
            epoch, time_s = timeline.place(self.size, picture.media_s, 0.0)
            if last is not None:
                elapsed_s += self._step_s(epoch != last[0], time_s - last[1])
            last = epoch, time_s
            if rate_limit.admits(epoch, time_s):
                yield Shot(picture.decoded, epoch, time_s, elapsed_s, index - 1, decode_s)
                decode_s = 0.0

    def _read(self) -> Picture | None:
        try:
            return self._guard.call(self._source.read, logs=False)
        except TruncatedError as error:
            self.trouble = str(error)
        except SourceError as error:
            if not self.frames:
                raise
            self.trouble = str(error)
        return None

    def _step_s(self, is_new_epoch: bool, step_s: float) -> float:
        """Return the length of a step: 0 for a gap between recordings that were joined."""
        nominal_s = 1 / self._source.fps if self._source.fps else 0.0
        if 0 < step_s <= max(GAP_S, _USUAL * nominal_s):
            return step_s
        self.has_gaps = self.has_gaps or not is_new_epoch or step_s > 0
        return 0.0
