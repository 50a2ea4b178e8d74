"""Frame numbers and track ids that are unique in a whole recording, for formats that know no sessions.

Used by coco, mot, openpose and rerun. Within a session, the program never reuses a track id of a camera, and its frame
numbers only rise.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from realtime import wire

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Camera:
    session: str
    frame: int = -1  # the last one, as recorded
    first_frame: int = 0  # added to the frames of this session
    first_id: int = 0
    end_frame: int = 0  # one more than the highest number given
    last_id: int = 0  # the highest id given
    has_warned: bool = False  # one line, however many runs follow


class Numbering:
    """Numbers the frames and the tracks of each camera.

    The first session of a camera keeps its numbers. The frames of the next one follow the last frame before it, and its
    track ids follow the highest id before it. The same happens if frame numbers start again within a session, as in two
    copies of a recording that were joined.

    >>> def message(session: str, frame: int, track_id: int) -> wire.PoseMessage:
    ...     return wire.PoseMessage(
    ...         session=session, camera="cam0", epoch=0, seq=0, frame=frame, captured_ns=0, clock="arrival",
    ...         published_ns=0, media_s=None, size=(640, 480), skeleton="none", track_ids=[track_id], scores=[0.9],
    ...         boxes=bytes(16), keypoints=b"", measured=[True], timing_ms={},
    ...     )
    >>> numbering = Numbering()
    >>> [numbering.place(message(*each)) for each in [("s1", 0, 1), ("s1", 7, 3), ("s2", 0, 1)]]
    [(0, [1]), (7, [3]), (8, [4])]
    """

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def place(self, message: wire.PoseMessage) -> tuple[int, list[int]]:
        """Return the number of the frame, from 0, and the ids of its N tracks, from 1."""
        camera = self._cameras.setdefault(message.camera, _Camera(message.session))
        if message.session != camera.session or message.frame <= camera.frame:
            camera.session, camera.first_frame, camera.first_id = message.session, camera.end_frame, camera.last_id
            if not camera.has_warned:
                log.warning(
                    "%s: its frames begin again (another run): numbered from %d on, with track ids from %d on",
                    message.camera,
                    camera.first_frame + message.frame,
                    camera.first_id + 1,
                )
            camera.has_warned = True
        camera.frame = message.frame
        ids = [camera.first_id + track_id for track_id in message.track_ids]
        camera.end_frame = camera.first_frame + message.frame + 1
        camera.last_id = max([camera.last_id, *ids])
        return camera.end_frame - 1, ids
