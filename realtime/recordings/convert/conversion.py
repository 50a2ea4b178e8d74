"""The part of a recording that is converted: its messages, with the names of their keypoints.

Every format reads it: recordings.reading -> Conversion -> coco, mot, csv_table, ... Nothing is kept in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.info import is_known, made_of
from realtime.recordings.reading import Recording

log = logging.getLogger(__name__)


class Conversion:
    """The messages of one camera, or of all, in the order of the recording.

    Args:
        recording: the recording.
        camera: the camera to convert; None: all of them.
        is_single: whether the format can hold only one camera.
        clip: the video on which people are drawn, as a source of capture; None unless the format is a video.

    Raises:
        ConfigError: the recording can't be read, or has no such camera.

    Attributes:
        recording: the recording.
        clip: the video.
        frames: messages so far.
        people: people in them.
    """

    def __init__(
        self, recording: Recording, camera: str | None = None, is_single: bool = False, clip: str | None = None
    ) -> None:
        self.recording, self.clip = recording, clip
        self._camera, self._is_single = camera, is_single
        self._met: dict[str, wire.InfoMessage] = {}  # of the cameras in a pipe
        self.frames = self.people = 0
        if camera is not None and not recording.is_stream:
            recording.info(camera)

    @property
    def infos(self) -> dict[str, wire.InfoMessage]:
        """The info of each converted camera that x.info.json describes, by its name."""
        infos = self.recording.infos
        return {name: info for name, info in infos.items() if self._camera in (None, name)}

    def messages(self) -> Iterator[wire.PoseMessage]:
        """Yield the messages.

        Raises:
            ConfigError: the recording can't be read, has no messages of the camera, or has a second camera that the
                format can't hold.
        """
        only = self._camera
        for message in self.recording.messages():
            if only is None and self._is_single:
                only = message.camera
            if only is not None and message.camera != only:
                if self._camera is None:
                    raise ConfigError(
                        f"{self.recording.path}: has several cameras ({', '.join(self.recording.cameras)}), and this "
                        "format holds one: choose it with --camera"
                    )
                continue
            self.frames += 1
            self.people += len(message.track_ids)
            yield message
        if not self.frames:
            raise ConfigError(
                f"{self.recording.path}: has no camera {only!r}, expected one of: {', '.join(self.recording.cameras)}"
            )

    def named_messages(self) -> Iterator[tuple[wire.PoseMessage, wire.InfoMessage]]:
        """Yield each message with the info of its camera, which names as many keypoints as its people have.

        Messages of another skeleton, as another run may have recorded them, are left out. A warning counts them.

        Raises:
            ConfigError: as `messages`.
        """
        skeletons: dict[str, str] = {}
        left_out = 0
        for message in self.messages():
            info = self._info(message)
            if message.track_ids and len(info.keypoint_names) == message.keypoints_array().shape[1]:
                skeletons.setdefault(message.camera, message.skeleton)
            if message.track_ids and message.skeleton != skeletons.get(message.camera):
                left_out += 1
                self.frames, self.people = self.frames - 1, self.people - len(message.track_ids)
                continue
            yield message, info
        if left_out:
            log.warning("%s: messages left out, because they have other keypoints: %d", self.recording.path, left_out)

    def _info(self, message: wire.PoseMessage) -> wire.InfoMessage:
        if not self.recording.is_stream:
            return self.recording.info(message.camera)
        if message.camera not in self._met:
            info = made_of(message)
            if not (message.track_ids or is_known(message.skeleton)):
                return info  # the number of its keypoints is unknown so far
            self._met[message.camera] = info
        return self._met[message.camera]
