"""The time line of a recording: when each of its messages is due, if it is replayed at the speed of its sources.

Used by recordings.replay. Time is that of the recording; no clock is read.

The messages of live cameras are due by `captured_ns`. Files are processed faster or slower than they play, so theirs
are due by `media_s`. InfoMessage tells which a camera is (`live`). In a recording without it, `looks_live` compares the
two: if both pass equally fast, it does not matter much which one is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from realtime import wire

# The capture times of a live camera pass as fast as its time stamps, but for this share: they arrive unevenly.
_TOLERANCE = 0.2
# The distance (ns) to the next message, if that to the one before it is unknown.
_USUAL_STEP_NS = 40_000_000
# A capture time that is earlier than the one before it by more than this (ns) means that a clock was set back.
_SET_BACK_NS = 1_000_000_000
# Files of a session that begin within this time (ns) of its beginning have begun together with it.
_TOGETHER_NS = 1_000_000_000


class Timeline:
    """Places the messages of a recording, in their order, on one time line for all cameras.

    A session follows the one before it without a pause, however long ago that was.

    >>> def message(seq: int, captured_ns: int, media_s: float) -> wire.PoseMessage:
    ...     return wire.PoseMessage(
    ...         session="s1", camera="cam0", epoch=0, seq=seq, frame=seq, captured_ns=captured_ns, clock="arrival",
    ...         published_ns=captured_ns, media_s=media_s, size=(640, 480), skeleton="none", track_ids=[], scores=[],
    ...         boxes=b"", keypoints=b"", measured=[], timing_ms={},
    ...     )
    >>> messages = [message(0, captured_ns=700, media_s=2.0), message(1, captured_ns=900, media_s=2.5)]
    >>> live, file = Timeline(lambda camera: True), Timeline(lambda camera: False)
    >>> [live.at_ns(each) for each in messages], [file.at_ns(each) for each in messages]
    ([0, 200], [0, 500000000])

    Args:
        is_live: whether a camera is live, by its name.

    Attributes:
        end_ns: when the message after the last one would be due, if it were one of the same camera.
    """

    def __init__(self, is_live: Callable[[str], bool]) -> None:
        self._is_live = is_live
        self._latest_ns = 0
        self._begins_ns: dict[str, int] = {}  # of each session, on the time line
        self._offset_ns: dict[str, int] = {}  # of each session, from captured_ns to the time line
        self._set_back_ns: dict[tuple[str, str], int] = {}  # by session and camera: how far its clock was set back
        self._files: dict[tuple[str, str], _File] = {}  # by session and camera
        self._last_ns: dict[str, int] = {}  # of each camera
        self.end_ns = 0

    def at_ns(self, message: wire.PoseMessage) -> int:
        """Return when a message is due, in ns from the beginning of the recording.

        The messages of a camera may be a little out of order with those of others.
        """
        session, camera = message.session, message.camera
        begins_ns = self._begins_ns.setdefault(session, self.end_ns)
        before_ns = self._last_ns.get(camera, begins_ns - _USUAL_STEP_NS)
        if message.media_s is None or self._is_live(camera):
            at_ns = message.captured_ns + self._offset_ns.setdefault(session, begins_ns - message.captured_ns)
            at_ns += self._set_back_ns.get((session, camera), 0)
            if at_ns < before_ns - _SET_BACK_NS and (session, camera) in self._set_back_ns:
                self._set_back_ns[session, camera] += before_ns - at_ns
                at_ns = before_ns
            self._set_back_ns.setdefault((session, camera), 0)
        else:
            media_ns = round(message.media_s * 1e9)
            if (file := self._files.get((session, camera))) is None:
                is_late = self._latest_ns - begins_ns > _TOGETHER_NS
                file = self._files[session, camera] = _File(media_ns, self._latest_ns if is_late else begins_ns)
            at_ns = file.at_ns(media_ns)
        self._last_ns[camera] = at_ns
        if at_ns >= self._latest_ns:
            self._latest_ns, self.end_ns = at_ns, at_ns + max(0, at_ns - before_ns)
        return at_ns


@dataclass(slots=True)
class _File:
    """The position in a file, whose time stamps start again when it loops.

    Attributes:
        media_ns: the last time stamp.
        now_ns: where it is on the time line.
        step_ns: the last distance between two time stamps.
    """

    media_ns: int
    now_ns: int
    step_ns: int = 0

    def at_ns(self, media_ns: int) -> int:
        if media_ns > self.media_ns:
            self.step_ns = media_ns - self.media_ns
        if media_ns != self.media_ns:
            self.now_ns += self.step_ns
        self.media_ns = media_ns
        return self.now_ns


def looks_live(messages: Iterable[wire.PoseMessage]) -> dict[str, bool]:
    """Guess from the first messages of a recording which cameras are live.

    A camera counts as live unless its time stamps pass faster or slower than its capture times.
    """
    first: dict[str, wire.PoseMessage] = {}
    last: dict[str, wire.PoseMessage] = {}
    for message in messages:
        begun = first.setdefault(message.camera, message)
        if (begun.session, begun.epoch) == (message.session, message.epoch):
            last[message.camera] = message
    return {camera: _passes_alike(first[camera], last[camera]) for camera in first}


def _passes_alike(first: wire.PoseMessage, last: wire.PoseMessage) -> bool:
    if first.media_s is None or last.media_s is None:
        return True
    media_s, captured_s = last.media_s - first.media_s, (last.captured_ns - first.captured_ns) / 1e9
    return abs(media_s - captured_s) <= _TOLERANCE * media_s
