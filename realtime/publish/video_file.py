"""The videos of a run: which file a frame goes into, and when the next one begins (out.mp4, out-2.mp4, ...).

Used by publish.video, whose thread writes them.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realtime.errors import OutputError
from realtime.publish.mp4 import Mp4
from realtime.publish.output_file import OutputFile
from realtime.types import Frame

log = logging.getLogger(__name__)

_KEY = "save_video"
# A camera whose epoch changes all the time must not fill a folder with files: the frames of a live camera that would
# begin the next file sooner (s) are not written.
_SHORTEST_S = 1.0
# MP4 has no room for a longer frame: at 90,000 ticks per second, an hour is far below its limit of 32 bits.
_LONGEST_FRAME_S = 3600.0
# The index of a video is in memory until its end, about 80 bytes per frame. The video of a live camera, which may run
# for months, ends after two hours at 30 frames per second: 17 MB.
_MOST_LIVE_FRAMES = 216_000
# How many names are tried for the next file, if other runs write those.
_TRIES = 100


class VideoFile:
    """The videos at one path: one for each epoch and frame size of a camera.

    >>> import tempfile
    >>> frames = [Frame("cam0", epoch, 0, np.zeros((8, 8, 3), np.uint8), 0.0, 0, 0) for epoch in (0, 1)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = VideoFile(Path(folder) / "out.mp4")
    ...     written = [file.write(frame, frame.image, is_live=False, now_s=0.0) for frame in frames]
    ...     file.close()
    ...     sorted(os.listdir(folder))
    ['out-2.mp4', 'out.mp4']
    """

    def __init__(self, path: Path, is_over: Callable[[], bool] = lambda: False) -> None:
        """Open and lock the first file. Earlier videos keep their content and their names until the first frame.

        Args:
            path: the first file.
            is_over: called while a full pipe is not read; True gives up.

        Raises:
            OutputError: another run writes it, or it can't be written.
        """
        self._given = path
        self._first = OutputFile(path, _KEY, is_over=is_over)  # stays open and locked, so that the others are ours too
        self._file = self._first
        self._mp4: Mp4 | None = None
        self._number = 0
        self._frames = 0
        self._of: tuple[str, int, tuple[int, int]] | None = None
        self._began_s = self._last_s = 0.0

    def write(self, frame: Frame, image: NDArray[np.uint8], is_live: bool, now_s: float) -> bool:
        """Append a frame to its video. Return False if it is dropped, because the last video began a moment ago.

        Args:
            frame: the frame, for its camera, epoch and time.
            image: uint8 (H, W, 3) BGR, the frame as it is shown.
            is_live: whether it comes from a live camera.
            now_s: monotonic time.

        Raises:
            OSError, EncodingError, OutputError: it can't be written. Call `fail`.
        """
        if self._is_over(frame, is_live):
            if is_live and self._number and 0 <= now_s - self._began_s < _SHORTEST_S:
                return False
            self.finish()
            self._begin(frame)
            self._began_s = now_s
        assert self._mp4 is not None
        self._mp4.write(image, frame.time_s)
        self._frames += 1
        self._last_s = frame.time_s
        return True

    def finish(self) -> None:
        """Complete the current video. The next frame begins another one.

        Raises:
            OSError: it can't be written; it can be played nevertheless.
        """
        if self._mp4 is None:
            return
        mp4, self._mp4 = self._mp4, None
        try:
            mp4.finish()
            log.info("%s: %s: %d frames, %.1f s", _KEY, self._file.path, self._frames, mp4.duration_s)
        finally:
            self._leave()

    def fail(self) -> None:
        """Give up the current video after an error, keeping what can be played. The next frame begins another one."""
        if self._mp4 is not None:
            self._mp4.abandon()
            self._mp4 = None
            if self._file.is_regular and not self._file.size():  # its name can be used again
                self._number -= 1
            self._leave()

    def close(self) -> None:
        """Complete the current video and unlock the first file. An empty one is removed if it was created here.

        Raises:
            OSError: the system could not store everything.
        """
        try:
            self.finish()
        finally:
            self._first.close(keeps_empty=False)

    def _is_over(self, frame: Frame, is_live: bool) -> bool:
        """Whether this frame begins another video."""
        if self._mp4 is None or self._of != (frame.camera, frame.epoch, frame.size):
            return True
        if frame.time_s - self._last_s > _LONGEST_FRAME_S or (is_live and self._frames >= _MOST_LIVE_FRAMES):
            return True
        return self._file.is_regular and self._file.is_deleted()

    def _begin(self, frame: Frame) -> None:
        if not self._number:
            self._first.begin()
            if self._first.is_regular:
                self._set_aside_others()
        number, self._file = (1, self._first) if self._uses_first() else self._next_file()
        try:
            self._mp4 = Mp4(self._file, frame.size, frame.camera, frame.captured_unix_ns / 1e9)
        except BaseException:
            self._leave()
            raise
        self._number, self._frames = number, 0
        self._of = frame.camera, frame.epoch, frame.size

    def _uses_first(self) -> bool:
        """Whether the next video goes to the given path. A device or a pipe gets all of them."""
        return not self._number or not self._first.is_regular

    def _next_file(self) -> tuple[int, OutputFile]:
        for number in range(self._number + 1, self._number + _TRIES):
            try:
                file = OutputFile(self._path(number), _KEY)
                file.begin()
            except OutputError:
                if number == self._number + _TRIES - 1:
                    raise
            else:
                return number, file
        raise AssertionError("unreachable")

    def _set_aside_others(self) -> None:
        """Rename out-2.mp4, out-3.mp4, ... of an earlier run, which would be taken for this one's."""
        for number in itertools.count(2):
            if not os.path.lexists(self._path(number)):
                break
            with contextlib.suppress(OSError, OutputError):
                file = OutputFile(self._path(number), _KEY)
                try:
                    file.begin()
                finally:
                    file.close(keeps_empty=False)

    def _path(self, number: int) -> Path:
        path = self._first.path
        return path.with_name(f"{path.stem}-{number}{path.suffix}")

    def _leave(self) -> None:
        """Close the current file, except the first one."""
        if self._file is not self._first:
            self._file.close(keeps_empty=False)


class VideoFiles:
    """The videos of all cameras.

    Args:
        pattern: the path, in which {camera} stands for the name of the camera.
        cameras: the names of the cameras at the beginning; more may come.

    Raises:
        OutputError: another run writes a file, or it can't be written.
    """

    def __init__(self, pattern: Path, cameras: Iterable[str]) -> None:
        self._pattern = pattern
        self._files: dict[Path, VideoFile] = {}
        self._is_over = False
        try:
            for camera in cameras:
                self.of(camera)
        except OutputError:
            self.close()
            raise

    def of(self, camera: str) -> VideoFile:
        """Return the videos of a camera, whose first file is opened and locked if need be.

        Raises:
            OutputError: another run writes it, or it can't be written.
        """
        path = Path(str(self._pattern).replace("{camera}", camera))
        if path not in self._files:
            self._files[path] = VideoFile(path, lambda: self._is_over)
        return self._files[path]

    def finish(self) -> list[tuple[Path, Exception]]:
        """Complete and close all videos. Return the errors."""
        errors: list[tuple[Path, Exception]] = []
        for path, file in self._files.items():
            try:
                file.close()
            except OSError as error:
                errors.append((path, error))
        self._files.clear()
        return errors

    def give_up(self) -> None:
        """Wait no longer for a program that reads a pipe. Safe to call from any thread."""
        self._is_over = True

    def close(self) -> None:
        """Close the files. Needed only if nothing was written."""
        for path, error in self.finish():
            log.debug("%s: closing %s failed: %s", _KEY, path, error)
