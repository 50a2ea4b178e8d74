"""The part of a recording that is converted: its messages, with the names of their keypoints.

Every format reads it: recordings.reading -> Conversion -> coco, mot, csv_table, ... Nothing is kept in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from realtime import wire
from realtime.errors import ConfigError
from realtime.recordings.info import info_path, made_of
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
        self._infos: dict[str, wire.InfoMessage] = {}  # of the cameras met so far
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
        only, has_message = self._camera, False
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
            has_message = True
            self.frames += 1
            self.people += len(message.track_ids)
            yield message
        if not has_message:
            raise ConfigError(
                f"{self.recording.path}: has no camera {only!r}, expected one of: {', '.join(self.recording.cameras)}"
            )

    def named_messages(self) -> Iterator[tuple[wire.PoseMessage, wire.InfoMessage]]:
        """Yield each message with the info of its camera, which names as many keypoints as its people have.

        Messages of another skeleton, as another run may have recorded them, are left out. A warning counts them. If
        x.info.json fits none of a camera's messages, another one is made of them, with a warning.

        Raises:
            ConfigError: as `messages`.
        """
        skeletons: dict[str, str] = {}
        left_out = 0
        for message in self.messages():
            info = self._info(message)
            if _fits(info, message):
                skeletons.setdefault(message.camera, message.skeleton)
            if message.track_ids and not (message.skeleton == skeletons.get(message.camera) and _fits(info, message)):
                left_out += 1
                self.frames, self.people = self.frames - 1, self.people - len(message.track_ids)
                continue
            yield message, info
        if left_out:
            log.warning("%s: messages left out, because they have other keypoints: %d", self.recording.path, left_out)

    def _info(self, message: wire.PoseMessage) -> wire.InfoMessage:
        if message.camera not in self._infos:
            if self.recording.is_stream and not message.track_ids:
                return made_of(message)  # the number of its keypoints may be unknown so far
            self._infos[message.camera] = made_of(message) if self.recording.is_stream else self._fitting(message)
        return self._infos[message.camera]

    def _fitting(self, first: wire.PoseMessage) -> wire.InfoMessage:
        """Return the info of a camera; if it fits none of its messages with people, one made of them, with a warning.

        Args:
            first: the first message of the camera. If it does not fit, the recording is read until one does.
        """
        path, camera = self.recording.path, first.camera
        info = self.recording.info(camera)
        if _fits(info, first):
            return info
        unfit: wire.PoseMessage | None = None
        for message in self.recording.messages():
            if message.camera == camera and message.track_ids:
                if _fits(info, message):
                    return info
                unfit = unfit or message
        if unfit is None:
            return info
        made = made_of(unfit)
        source = info_path(path).name if camera in self.recording.infos else f"the skeleton {first.skeleton}"
        log.warning(
            "%s: %s: the names of %s are not used: they are %d, but its messages have %d keypoints",
            path,
            camera,
            source,
            len(info.keypoint_names),
            len(made.keypoint_names),
        )
        return made


def _fits(info: wire.InfoMessage, message: wire.PoseMessage) -> bool:
    """Whether a message has people, with as many keypoints as the info names."""
    return bool(message.track_ids) and len(info.keypoint_names) == message.keypoints_array().shape[1]
