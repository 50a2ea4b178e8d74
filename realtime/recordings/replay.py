"""Publishes a recording as the program published it: poses when they are due, info and status messages as ever.

Used by realtime.replay. It is a publisher without a pipeline: of realtime.publish, it needs the stream alone.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
import uuid
from dataclasses import dataclass, replace

import msgspec

from realtime import wire
from realtime.config import PublishConfig
from realtime.errors import ConfigError
from realtime.observe.status import CameraStatus
from realtime.publish.audience import Swap
from realtime.publish.purpose import POSES
from realtime.publish.socket import PublishSocket
from realtime.publish.stream import Stream
from realtime.recordings.info import info_path, made_of
from realtime.recordings.reading import Recording
from realtime.recordings.timeline import Timeline, looks_live

log = logging.getLogger(__name__)

# How often subscribers and states are handled while no message is due.
_TICK_S = 0.05
# How many messages at the beginning tell whether cameras are live, if x.info.json doesn't.
_LOOK = 500
# A longer pause (s) is logged, because the replay would seem to hang.
_PAUSE_S = 10.0
# As fast as possible means as fast as the subscribers read. One that reads nothing for this long (s) is not waited for.
_PATIENCE_S = 2.0
# At its end, they get this long (s) for the messages on their way to them: when an ipc socket is closed, libzmq loses
# those that a reader with a full queue has not taken from the system.
_LAST_S = 0.5
_PATIENT = replace(POSES, linger_ms=round(_PATIENCE_S * 1e3))


@dataclass(frozen=True, slots=True)
class Pace:
    """Which part of a recording is replayed, and how fast.

    Attributes:
        speed: 1 is that of the recording, 10 is ten times as fast, infinity as fast as the subscribers read.
        loops: whether to begin again at the end, with a new session.
        from_s: where to begin, in seconds from the beginning of the recording.
        to_s: where to end, in the same way.
        restamps: whether `captured_ns` becomes the moment at which the message is due now.
    """

    speed: float = 1.0
    loops: bool = False
    from_s: float = 0.0
    to_s: float = math.inf
    restamps: bool = False


class Replay:
    """Publishes a recording once, or again and again.

    Messages keep everything but `session`, of which each round gets new ones, and `published_ns`.
    """

    def __init__(self, recording: Recording, config: PublishConfig, pace: Pace) -> None:
        """Bind the endpoints, and read the beginning of the recording.

        Args:
            recording: the recording.
            config: the endpoints, their keys, and the encoding.
            pace: which part, and how fast.

        Raises:
            ConfigError: there are no messages, or it is a pipe that can't be read again for the next round.
            OutputError: an endpoint can't be bound, or a key can't be read.
        """
        self._recording, self._pace = recording, pace
        if recording.is_stream and pace.loops:
            raise ConfigError(f"{recording.path}: a pipe, which can't be read again: leave out --loop, or use a file")
        # A pipe is read once. Its first message tells a camera, for which subscribers can be waited for.
        self._messages = recording.messages()
        begin = list(itertools.islice(self._messages, 1 if recording.is_stream else _LOOK))
        self._messages = itertools.chain(begin, self._messages)
        self._seems_live = {} if recording.is_stream else looks_live(begin)
        self._waits_for = config.wait_for_subscribers
        self._stopping = False  # no Event: a signal handler would deadlock if the main thread held its lock
        self._status: dict[str, CameraStatus] = {}
        self._infos: dict[str, wire.InfoMessage] = {}
        self._sessions: dict[str, str] = {}  # the new id of each recorded session
        self._session_of: dict[str, str] = {}  # by camera: the recorded session
        self._next_tick_s = 0.0
        self._is_patient = math.isinf(pace.speed)
        self._socket = PublishSocket(config, purpose=_PATIENT if self._is_patient else POSES)
        if self._is_patient:
            self._socket.wait_for_readers(_PATIENCE_S)
        try:
            if recording.is_stream:
                self._meet(begin[0].camera, made_of(begin[0]))
            else:
                if not recording.infos:
                    log.info(
                        "%s: looking for its cameras in the whole file, because %s does not name them",
                        recording.path,
                        info_path(recording.path).name,
                    )
                for camera in recording.infos or recording.cameras:
                    with contextlib.suppress(ConfigError):  # none of its messages can be read
                        self._meet(camera, recording.info(camera))
        except BaseException:
            self._socket.close()
            raise
        self._stream = Stream([self._socket], config.encoding, lambda: self._status, self._describe)

    @property
    def endpoints(self) -> list[str]:
        """The endpoints it is bound to, with the ports that were chosen for *."""
        return self._socket.endpoints

    def stop(self) -> None:
        """End the replay. Safe in a signal handler, on the thread that runs it.

        Raises:
            KeyboardInterrupt: `run` may be waiting for a pipe, and ends with it.
        """
        self._stopping = True
        if self._recording.is_stream:
            raise KeyboardInterrupt

    def run(self) -> None:
        """Publish the recording until its end, or until `stop`.

        Raises:
            ConfigError: the recording can't be read, or nothing in it is between `from_s` and `to_s`.
        """
        try:
            self._wait_for_subscribers()
            starts_s = time.monotonic()
            while not self._stopping:
                starts_s = self._round(starts_s)
                if not self._pace.loops:
                    break
                self._begin_again()
            if self._is_patient:
                self._wait_until(time.monotonic() + _LAST_S)
        except KeyboardInterrupt:  # a signal while a pipe is waited for
            self._stopping = True
        except BaseException:
            for status in self._status.values():
                status.set_state("failed", "the replay failed")
            raise
        finally:
            if self._stopping:
                for status in self._status.values():
                    status.stop()
            self._stream.close()

    def _round(self, starts_s: float) -> float:
        """Publish the recording once, beginning at this moment. Return when the next round begins; monotonic time."""
        pace, timeline = self._pace, Timeline(self._is_live)
        from_ns, due_ns, count = round(pace.from_s * 1e9), 0, 0
        starts_ns = time.time_ns() + round((starts_s - time.monotonic()) * 1e9)
        for message in self._messages:
            at_ns = timeline.at_ns(message)
            due_ns = max(due_ns, at_ns)
            if self._stopping or due_ns >= pace.to_s * 1e9:
                break
            if due_ns < from_ns:
                self._tick_if_due()
                continue
            if not count and pace.from_s:  # reading up to here took a while
                starts_s, starts_ns = time.monotonic(), time.time_ns()
            if not self._wait_until(starts_s + (due_ns - from_ns) / 1e9 / pace.speed):
                break
            latency_ms = (message.published_ns - message.captured_ns) / 1e6
            if pace.restamps:
                is_timed = math.isfinite(pace.speed)
                captured_ns = starts_ns + round((at_ns - from_ns) / pace.speed) if is_timed else time.time_ns()
                message = msgspec.structs.replace(message, captured_ns=captured_ns)
            self._publish(message, latency_ms)
            count += 1
        if not count and not self._stopping:
            raise ConfigError(
                f"{self._recording.path}: nothing between --from {pace.from_s:g} and --to {pace.to_s:g}: it ends after "
                f"{timeline.end_ns / 1e9:.1f} s"
            )
        log.info("%s: messages published: %d", self._recording.path, count)
        return max(starts_s + (min(timeline.end_ns, pace.to_s * 1e9) - from_ns) / 1e9 / pace.speed, time.monotonic())

    def _publish(self, message: wire.PoseMessage, latency_ms: float) -> None:
        """Publish a message, after the info and the status that it makes necessary.

        Args:
            message: the message, with the recorded session.
            latency_ms: from capture to publishing, as recorded.
        """
        camera = message.camera
        if camera not in self._status:
            self._meet(camera, made_of(message))
        if self._session_of[camera] != message.session:
            self._session_of[camera] = message.session
            self._restart(camera)
        status = self._status[camera]
        if message.size != status.size:
            status.describe(message.size, status.source_fps)
        if status.state != ("live", None):
            status.set_state("live")
            self._tick()
        session = self._session(message.session)
        message = msgspec.structs.replace(message, session=session, published_ns=time.time_ns())
        self._send(message)
        self._stream.see(message, swapped=self._swapped_at(message.camera, message.seq))
        status.count_captured()
        status.count_published(latency_ms)

    def _send(self, message: wire.PoseMessage) -> None:
        """Send a message. A replay at full speed waits here until the queue of each subscriber has room for it."""
        if not self._stream.send(wire.pose_topic(message.camera), message) and self._is_patient:
            log.warning("a subscriber has read nothing for %g s: it will lose messages", _PATIENCE_S)
            self._is_patient = False
            self._socket.wait_for_readers(0.0)
            self._stream.send(wire.pose_topic(message.camera), message)

    def _wait_for_subscribers(self) -> None:
        while self._waits_for and not self._stopping:
            self._tick()
            if (readers := self._stream.readers()) >= self._waits_for:
                log.info("subscribers connected: %d; starting", readers)
                return
            time.sleep(_TICK_S)

    def _wait_until(self, moment_s: float) -> bool:
        """Wait until a moment (monotonic s). Return False if the replay ends before it."""
        if (left_s := moment_s - time.monotonic()) > _PAUSE_S:
            log.info("%s: the next message is due in %.0f s", self._recording.path, left_s)
        while not self._stopping:
            self._tick_if_due()
            if (left_s := moment_s - time.monotonic()) <= 0:
                return True
            time.sleep(min(left_s, _TICK_S))
        return False

    def _tick_if_due(self) -> None:
        if time.monotonic() >= self._next_tick_s:
            self._tick()

    def _tick(self) -> None:
        self._next_tick_s = time.monotonic() + _TICK_S
        self._stream.tick()

    def _is_live(self, camera: str) -> bool:
        live = self._infos[camera].live if camera in self._infos else None
        return self._seems_live.get(camera, True) if live is None else live

    def _meet(self, camera: str, info: wire.InfoMessage) -> None:
        """Take a camera into the stream."""
        self._infos[camera], self._session_of[camera] = info, info.session
        self._status[camera] = CameraStatus(camera)
        self._status[camera].size, self._status[camera].source_fps = info.size, info.source_fps

    def _restart(self, camera: str) -> None:
        """Begin a session of a camera, with counters of its own."""
        before, self._status[camera] = self._status[camera], CameraStatus(camera)
        self._status[camera].size, self._status[camera].source_fps = before.size, before.source_fps
        self._stream.begin_again(camera)

    def _begin_again(self) -> None:
        """Begin the next round."""
        self._messages = self._recording.messages()
        self._sessions.clear()
        for camera in self._status:
            self._restart(camera)

    def _session(self, recorded: str) -> str:
        return self._sessions.setdefault(recorded, uuid.uuid4().hex)

    def _describe(self, camera: str) -> wire.InfoMessage:
        """The info of a camera in its current session. Pictures are not replayed."""
        status = self._status[camera]
        session = self._session(self._session_of[camera])
        return msgspec.structs.replace(
            self._infos[camera],
            session=session,
            size=status.size,
            source_fps=status.source_fps,
            pictures=None,
            swaps=wire.UNSET,
        )

    def _swapped_at(self, camera: str, seq: int) -> list[Swap]:
        """The ids that were exchanged from this message on, if the info is of the session that is replayed."""
        info = self._infos[camera]
        if info.swaps is wire.UNSET or info.session != self._session_of[camera]:
            return []
        return [swap for swap in info.swaps if swap[2] == seq]
