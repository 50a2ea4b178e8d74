"""The side outputs of a run: the recording, the video, the pictures and the window.

Used by realtime.pipeline, which opens them before the models load, and by publish.stage, which feeds them. Each has a
thread of its own, except the window, which the main thread draws.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol

from realtime.config import AppConfig
from realtime.observe.status import CameraStatus
from realtime.publish.mp4 import check_encoder
from realtime.publish.pictures import Pictures
from realtime.publish.preview import Preview
from realtime.publish.record import Recorder
from realtime.publish.video import Video
from realtime.publish.video_file import VideoFiles
from realtime.publish.window import check_window
from realtime.skeleton import Skeleton
from realtime.types import Poses


class Branch(Protocol):
    """A side output of published frames. It must not delay live cameras."""

    def offer(self, poses: Poses, seq: int) -> None:
        """Take a published frame with its people, and the number of its pose message."""
        ...

    def finish(self) -> None:
        """Accept no more frames, because the run ends."""
        ...


class Branches:
    """The side outputs that the configuration asks for.

    >>> branches = Branches(AppConfig(), is_live=lambda camera: False, goes_on=lambda: False)
    >>> from realtime.skeleton import NO_SKELETON
    >>> branches.prepare(NO_SKELETON, dict, None)
    >>> branches.all, branches.recorder, branches.preview
    ([], None, None)

    Attributes:
        recorder: writes the recording; None without one.
        preview: the window; None without one.
        all: those that get every published frame.
    """

    def __init__(self, config: AppConfig, is_live: Callable[[str], bool], goes_on: Callable[[], bool]) -> None:
        """Open and lock the files. Those that exist keep their content until the run starts.

        Args:
            config: the configuration of the run.
            is_live: whether the camera with this name is live.
            goes_on: whether the run continues if a file can't be written, because it has a live camera.

        Raises:
            ConfigError: a video can't be encoded, or a window can't be opened here.
            OutputError: another run writes one of the files, or it can't be written.
        """
        self._is_live, self._goes_on = is_live, goes_on
        self._has_window = config.preview
        self._pictures: Pictures | None = None
        self._video: Video | None = None
        self.preview: Preview | None = None
        self._videos: VideoFiles | None = None
        with contextlib.ExitStack() as on_error:
            self.recorder = Recorder(config.record, goes_on, config.recording) if config.record else None
            if self.recorder:
                on_error.callback(self.recorder.close)
            if config.preview:
                check_window()
            if config.save_video is not None:
                check_encoder()
                self._videos = VideoFiles(config.save_video, [camera.name for camera in config.cameras])
            on_error.pop_all()

    def prepare(
        self,
        skeleton: Skeleton,
        cameras: Callable[[], Mapping[str, CameraStatus]],
        pictures: Pictures | None,
    ) -> None:
        """Get ready for frames, once the skeleton is known.

        Args:
            skeleton: names of the keypoints, and which ones to connect.
            cameras: returns the status of each camera by name.
            pictures: the branch of the pictures, which has its own sockets; None if there is none.
        """
        self._pictures = pictures
        if self._videos:
            self._video = Video(self._videos, skeleton, self._is_live, self._goes_on)
        if self._has_window:
            self.preview = Preview(skeleton, self._is_live, cameras)

    @property
    def all(self) -> list[Branch]:
        """The branches that get every published frame."""
        return [branch for branch in (self._pictures, self._video, self.preview) if branch]

    def start(self, start: Callable[[str, Callable[[], None]], object]) -> None:
        """Start the threads.

        Args:
            start: starts a thread, given its name and its body.
        """
        for name, branch in (("record", self.recorder), ("pictures", self._pictures), ("video", self._video)):
            if branch:
                start(name, branch.run)

    def give_up(self) -> None:
        """Wait no longer for a disk, or for a program that reads a pipe. Safe to call from any thread."""
        if self.recorder:
            self.recorder.give_up()
        if self._pictures:
            self._pictures.finish()
        if self._video:
            self._video.give_up()

    def log_losses(self) -> None:
        """Log at the end of the run how many lines and video frames were lost, if any."""
        for output in (self.recorder, self._video):
            if output:
                output.log_losses()

    def check(self) -> None:
        """Check at the end of the run that the outputs of files are complete.

        Raises:
            RealtimeError: one is not.
        """
        for output in (self.recorder, self._video):
            if output:
                output.check()

    def close(self) -> None:
        """Close the files. Needed only if the run never starts."""
        if self.recorder:
            self.recorder.close()
        if self._videos:
            self._videos.close()
