"""The video: every published frame with its people drawn on it, in .mp4 files.

A side branch of the publisher with a thread of its own. If frames arrive faster than they can be drawn and encoded,
those of live cameras are dropped and counted. The publisher waits for those of files, whose video is complete.

If the disk is full, a run with a live camera continues, counts the lost frames and tries again. A run of files ends
with an error.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from realtime.errors import OutputError, RealtimeError
from realtime.publish.annotate import annotate
from realtime.publish.frame_queue import FrameQueue
from realtime.publish.mp4 import EncodingError
from realtime.publish.outage import Outage
from realtime.publish.video_file import VideoFiles
from realtime.runtime.channel import Closed
from realtime.runtime.priority import lower_priority
from realtime.skeleton import Skeleton
from realtime.types import Frame, Poses

log = logging.getLogger(__name__)

# Capacity of the queue: ten frames of 1920x1080, or two of any size. One thread writes the videos of all cameras, so
# this is all the memory that waiting frames need.
_WAITING, _WAITING_BYTES = 32, 64 * 2**20
# How much lower the priority of the thread and of the encoder's threads is (Linux): they then get a third of the time
# of a thread that competes with them.
_NICE = 5
# How often a run of files checks whether a program reads the pipe that it writes to.
_READER_LOOK_S = 0.1
_LOST = (OSError, OutputError, EncodingError)


class Video:
    """Writes annotated frames to .mp4 files.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import av
    >>> import numpy as np
    >>> from realtime.skeleton import NO_SKELETON
    >>> from realtime.types import Frame
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "out.mp4"
    >>> video = Video(VideoFiles(path, ["cam0"]), NO_SKELETON, is_live=lambda camera: False, goes_on=lambda: False)
    >>> video.offer(Poses.empty(Frame("cam0", 0, 0, np.zeros((48, 64, 3), np.uint8), 0.0, 0, 0), keypoints=0), seq=0)
    >>> video.finish()
    >>> video.run()  # in the pipeline, this runs on its own thread from the start
    >>> av.open(path).streams.video[0].frames
    1
    >>> folder.cleanup()
    """

    def __init__(
        self,
        files: VideoFiles,
        skeleton: Skeleton,
        is_live: Callable[[str], bool],
        goes_on: Callable[[], bool],
    ) -> None:
        """Take over the files.

        Args:
            files: the opened files; `run` or `close` closes them.
            skeleton: names of the keypoints, and which ones to connect.
            is_live: returns whether a camera is live, so that its frames are dropped instead of waited for.
            goes_on: returns whether the run continues if a file can't be written, because it has a live camera.
        """
        self._files, self._skeleton = files, skeleton
        self._is_live, self._goes_on = is_live, goes_on
        self._queue: FrameQueue[tuple[Poses, bool]] = FrameQueue(_WAITING, _WAITING_BYTES)  # with whether it is live
        self._outages: dict[str, Outage] = {}
        self._given_up = threading.Event()
        self._has_ended_run = self._has_waited = False
        # Frames by camera. The publisher's thread writes the first line, the video's thread the second.
        self._offered, self._offered_of_files = Counter[str](), 0
        self._written, self._written_of_files = Counter[str](), 0
        self._slow: set[str] = set()

    def offer(self, poses: Poses, seq: int) -> None:
        """Queue a published frame. The frame of a file waits while the queue is full, that of a live camera is lost.

        Args:
            poses: the people, with their frame.
            seq: number of its pose message, not needed here.
        """
        camera = poses.frame.camera
        is_live = self._is_live(camera)
        self._offered[camera] += 1
        self._offered_of_files += not is_live
        try:
            if not self._queue.put((poses, is_live), poses.frame.image.nbytes, wait=not is_live):
                self._warn_slow(camera)
        except Closed:
            pass

    def finish(self) -> None:
        """Accept no more frames. Those in the queue are still written."""
        self._queue.close()

    def give_up(self) -> None:
        """Write no more of the queue, and wait for no program that reads a pipe. Safe to call from any thread."""
        self._given_up.set()
        self._files.give_up()
        self._queue.abort()

    def run(self) -> None:
        """Write frames until `finish`, then complete the files. The body of the video's thread.

        Raises:
            RealtimeError: a file can't be written any more, and no camera is live.
        """
        lower_priority(_NICE)
        try:
            while True:
                poses, is_live = self._queue.take()
                self._write(poses, is_live)
                del poses  # its frame need not wait for the next one
        except Closed:
            for path, error in self._files.finish():
                self._fail(str(path), error)
        finally:
            self._queue.abort()
            self._files.close()

    def close(self) -> None:
        """Close the files. Needed only if `run` was never called."""
        self._files.close()

    def log_losses(self) -> None:
        """Log how many frames of each camera are missing, unless `run` has raised an error. Call it at the end."""
        for camera, offered in self._offered.items():
            if (lost := offered - self._written[camera]) and not self._has_ended_run:
                text = "%s: %d of %d frames are missing from the video"
                log.warning(text, camera, lost, offered, extra={"camera": camera})

    def check(self) -> None:
        """Check at the end of the run that all frames of files were written.

        Raises:
            RealtimeError: some are missing.
        """
        if missing := self._offered_of_files - self._written_of_files:
            raise RealtimeError(f"save_video: the video is incomplete; missing frames of files: {missing}")

    def _waits_for_reader(self) -> bool:
        """Wait a moment for a program that reads the pipe, if the run can't continue without."""
        if self._goes_on() or self._given_up.is_set():
            return False
        if not self._has_waited:
            log.warning("save_video: waiting for a program that reads the pipe")
            self._has_waited = True
        self._given_up.wait(_READER_LOOK_S)
        return True

    def _write(self, poses: Poses, is_live: bool) -> None:
        frame, now_s = poses.frame, time.monotonic()
        outage = self._outages.setdefault(frame.camera, Outage())
        if not outage.may_try(now_s):
            return
        image = annotate(poses, self._skeleton, is_live)
        try:
            if not self._append(frame, image, is_live, now_s):
                return
        except _LOST as error:
            self._fail(frame.camera, error)
            return
        self._written[frame.camera] += 1
        self._written_of_files += not is_live
        if outage.succeed(now_s):
            log.info("%s: the video can be written again", frame.camera, extra={"camera": frame.camera})

    def _append(self, frame: Frame, image: NDArray[np.uint8], is_live: bool, now_s: float) -> bool:
        file = self._files.of(frame.camera)
        while True:
            try:
                return file.write(frame, image, is_live, now_s)
            except _LOST as error:
                file.fail()
                if getattr(error, "errno", None) != errno.ENXIO or not self._waits_for_reader():
                    raise

    def _fail(self, camera: str, error: Exception) -> None:
        """Start or continue an outage.

        Raises:
            RealtimeError: no camera is live.
        """
        why = str(error) if isinstance(error, OutputError) else getattr(error, "strerror", None) or str(error)
        if not self._goes_on():
            self._has_ended_run = True
            raise RealtimeError(
                f"save_video: {camera}: can't be written: {why}; frames written: {self._written[camera]}"
            ) from None
        if self._outages.setdefault(camera, Outage()).fail(time.monotonic()):
            log.warning(
                "%s: the video can't be written: %s; the run continues, counts the lost frames and tries again",
                camera,
                why,
                extra={"camera": camera},
            )

    def _warn_slow(self, camera: str) -> None:
        if camera not in self._slow:
            self._slow.add(camera)
            text = "%s: frames arrive faster than they can be encoded; the video loses frames"
            log.warning(text, camera, extra={"camera": camera})
