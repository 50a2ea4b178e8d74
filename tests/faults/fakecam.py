"""A live RTSP camera on loopback that fails on command: H.264 over TCP and UDP, in this process or in its own.

Capture reads from it in place of a real camera. Tests use `with FakeCamera(...) as camera:`, or
`with CameraProcess(...) as camera:` if the camera must die, stop or restart. It also runs from the command line:

    python -m tests.faults.fakecam --port 8554 --control 8654 --size 640x480 --background people.mp4

The process prints one line, `READY` and JSON with its ports and its clock. Commands are the methods of `FakeCamera`
under "Faults". Send them over the control port, one per line, or with `command("freeze 3")`. Each answer is one line of
JSON: the counts of `FakeCamera.stat`, or an error.

One frame clock serves all clients: frame k leaves at began + k / fps, whatever happens. It shows image k % loop, the
number that `index_of` reads. `Clock.number` recovers k, and `Clock.left_mono_s(k)` is the time at which frame k left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from .clip import CODINGS, FPS, KEY_EVERY, MAX_PAYLOAD, Clip, Payload, encode, stored
from .marks import Clock
from .process import CameraProcess, backlog_full_listener
from .session import VIDEO, Event, Session, Track

__all__ = ["FPS", "KEY_EVERY", "CameraProcess", "Clock", "FakeCamera", "backlog_full_listener", "encode"]

# Length of the looped video (s). Frames can be told apart within one loop, so it is longer than any delay under test.
LOOP_S = 10
# Bytes buffered for a client that does not read before it loses frames: about as much as a camera's memory holds.
SEND_BUFFER = 1 << 20
# G.711 mu-law (RFC 3551): each packet holds 20 ms of silence.
SILENCE = [Payload(b"\xff" * 160, False)]


class FakeCamera:
    """Serves rtsp://127.0.0.1:PORT/cam to any number of clients for the duration of a `with` block.

    Args:
        login: user and password that clients must send. None requires no login.
        silent: accept connections, but never answer.
        port: the RTSP port; 0 chooses a free one.
        sizes: width and height of each clip; the first clip is shown until `clip` is called.
        codings: how each clip is encoded, a name in `clip.CODINGS`; "plain" for clips without one.
        payload: bytes of the largest RTP payload. A frame that takes several datagrams can lose a part.
        fps: frames per second.
        key_every: distance between key frames, in frames.
        loop_s: length of the looped video in seconds, rounded to whole groups of `key_every` frames.
        background: a video file behind the marks. None shows a moving texture.
        file: an H.264 video (see `clip.stored`), served as it is instead of a clip of our own.
        sprop: include the parameter sets in the SDP. If False, they come in band only, and quick probing fails.
        scheme: login scheme, "digest" or "basic".
        transport: "tcp", "udp", "both" or "multicast"; a request for another transport is answered with 461.
        audio: add a second track with silence.
        clock_offset_s: error of the camera's wall clock in seconds.
        session_timeout_s: session timeout sent to clients, which send a keep-alive about twice in this time. It is not
            enforced.
        send_buffer: bytes that a slow client may fall behind, once in this process and once in the kernel.
        seed: seed of the random losses and garbage.
        control_port: the port for commands; 0 chooses a free one, None opens none.
        certificate: files of a certificate and its key. With them, the camera serves rtsps.
    """

    def __init__(
        self,
        login: tuple[str, str] | None = None,
        silent: bool = False,
        port: int = 0,
        *,
        sizes: Sequence[tuple[int, int]] = ((160, 120),),
        codings: Sequence[str] = (),
        payload: int = MAX_PAYLOAD,
        fps: int = FPS,
        key_every: int = KEY_EVERY,
        loop_s: float = LOOP_S,
        background: str | Path | None = None,
        file: str | Path | None = None,
        sprop: bool = True,
        scheme: str = "digest",
        transport: str = "both",
        audio: bool = False,
        clock_offset_s: float = 0.0,
        session_timeout_s: int = 60,
        send_buffer: int = SEND_BUFFER,
        seed: int = 0,
        control_port: int | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self.login, self.scheme, self.transport, self.sprop = login, scheme, transport, sprop
        self.session_timeout_s, self.send_buffer = session_timeout_s, send_buffer
        # The loop is a multiple of key_every, so that frame k is a key frame exactly if k % key_every == 0.
        loop = max(1, round(loop_s * fps / key_every)) * key_every
        if file is not None:
            served, fps, key_every = stored(str(file), payload)
            self.clips, loop = [served], len(served.pictures)
        else:
            behind = str(background) if background else None
            self.clips = [
                Clip(size, encode(size, loop, fps, key_every, behind, coding), payload)
                for size, coding in zip(sizes, [*codings, *["plain"] * (len(sizes) - len(codings))], strict=True)
            ]
        # (first frame, clip) for each change of clip.
        self._shown: list[tuple[float, Clip]] = [(-math.inf, self.clips[0])]
        self.tracks = [Track(96, fps, 90_000, key_every, self._video_payloads, self._ahead)]
        if audio:
            self.tracks.append(Track(0, 50, 8_000, 1, lambda _: SILENCE))
        self._newest = [0] * len(self.tracks)

        self.silent, self.refusing = silent, False
        self.frozen = threading.Event()
        self._thaw_mono_s = math.inf
        self._stalled_until_s = 0.0
        self._is_video_on, self.has_reports = True, True
        self.loss_rate, self.describe_delay_s, self.backlog_s = 0.0, 0.0, 0.0
        self.clock_offset_s = clock_offset_s
        self.losing: set[int] = set()
        self.reorder_rate = self.double_rate = 0.0
        self.random = random.Random(seed)

        self.log: list[Event] = []
        self.kicks = self.dropped = 0
        self.closing = threading.Event()
        self._stop, self._serving = asyncio.Event(), threading.Event()
        self._sessions: set[Session] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._control = None if control_port is None else socket.create_server(("127.0.0.1", control_port))
        self.port = self._listener.getsockname()[1]
        self.control_port = self._control and self._control.getsockname()[1]
        self.clock = Clock(time.monotonic(), time.time(), fps, loop)

    def __enter__(self) -> FakeCamera:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name="fakecam", daemon=True)
        self._thread.start()
        self._serving.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._thread.join()

    def close(self) -> None:
        self.closing.set()
        self._soon(self._stop.set)

    def url(self, userinfo: str = "", path: str = "/cam") -> str:
        return f"rtsp{'s' if self._tls else ''}://{userinfo}127.0.0.1:{self.port}{path}"

    @property
    def pictures(self) -> list[list[bytes]]:
        return self.shown.pictures

    @property
    def shown(self) -> Clip:
        return self._shown[-1][1]

    @property
    def requests(self) -> list[str]:
        """The methods of all requests so far, in order."""
        return [event.what for event in self.log if event.what != "connect"]

    @property
    def connections(self) -> list[float]:
        """The times at which clients connected, by time.monotonic()."""
        return [event.at_mono_s for event in self.log if event.what == "connect"]

    # Faults. Each method is also a command of the control port, with numbers as arguments.

    def freeze(self, seconds: float = math.inf) -> None:
        """Send no media, but keep connections open. Frames due meanwhile are lost; media resumes with a key frame."""
        self._thaw_mono_s = time.monotonic() + seconds
        self.frozen.set()

    def resume(self) -> None:
        """End a freeze or a stall."""
        self._stalled_until_s, self._thaw_mono_s = 0.0, math.inf
        self.frozen.clear()

    def stall(self, seconds: float = math.inf) -> None:
        """Send no media, then send everything that was held back in one burst, at most the last HELD_S."""
        self._stalled_until_s = time.monotonic() + seconds

    def backlog(self, seconds: float) -> None:
        """Start each new session with a burst of the last `seconds` of video, from a key frame on."""
        self.backlog_s = seconds

    def video(self, on: float) -> None:
        """Switch the video track off or on; audio continues."""
        self._is_video_on = bool(on)

    def loss(self, rate: float) -> None:
        """Lose this fraction (0..1) of the RTP packets."""
        self.loss_rate = rate

    def garbage(self, packets: float = 50) -> None:
        """Send this many packets of random bytes to each client."""
        self._soon(lambda: [session.send_garbage(int(packets)) for session in self._sessions])

    def kick(self) -> None:
        """Reset every client's connection."""
        self.kicks += 1
        self._soon(lambda: [session.reset() for session in self._sessions])

    def clip(self, number: float) -> None:
        """Show another clip, which has another size, from the next key frame on."""
        self._shown.append((self.tracks[VIDEO].key_after(self._newest[VIDEO]), self.clips[int(number)]))

    def sr(self, on: float) -> None:
        """Switch RTCP sender reports, which carry the wall clock, off or on."""
        self.has_reports = bool(on)

    def clock_offset(self, seconds: float) -> None:
        """Set the error of the camera's wall clock."""
        self.clock_offset_s = seconds

    def describe_delay(self, seconds: float) -> None:
        """Delay the answer to each DESCRIBE."""
        self.describe_delay_s = seconds

    def silence(self, on: float) -> None:
        """Stop answering requests, or start again."""
        self.silent = bool(on)

    def refuse(self, on: float) -> None:
        """Reset new connections immediately, or accept them again."""
        self.refusing = bool(on)

    def lose(self, *pictures: float) -> None:
        """Lose one datagram, the one in the middle, of each of these frames; 1 is the next frame."""
        self.losing |= {self._newest[VIDEO] + int(number) for number in pictures}

    def reorder(self, rate: float) -> None:
        """Send this fraction (0..1) of the RTP packets after the packet that follows."""
        self.reorder_rate = rate

    def double(self, rate: float) -> None:
        """Send this fraction (0..1) of the RTP packets twice."""
        self.double_rate = rate

    def stat(self) -> dict[str, int]:
        """Return the number of playing clients, the newest frame, and counts since the start.

        `dropped` counts the frames that slow clients lost.
        """
        return {
            "clients": sum(bool(session.playing) for session in list(self._sessions)),
            "k": self._newest[VIDEO],
            "kicks": self.kicks,
            "dropped": self.dropped,
            "connections": len(self.connections),
            "requests": len(self.requests),
        }

    def command(self, line: str) -> dict[str, object]:
        """Run a command such as "freeze 3" and return `stat()`; "log" returns the connections and requests so far."""
        name, *arguments = line.split()
        if name not in COMMANDS:
            raise ValueError(f"unknown command {name!r}, expected one of {', '.join(COMMANDS)}")
        if name == "log":
            return {"log": self.log}
        getattr(self, name)(*map(float, arguments))
        return self.stat()

    # Serving. All of it runs on the thread of the event loop.

    async def serve(self) -> None:
        """Serve until `close` is called."""
        self._loop = asyncio.get_running_loop()
        servers = [await asyncio.start_server(self._meet, sock=self._listener, ssl=self._tls)]
        if self._control is not None:
            servers.append(await asyncio.start_server(self._obey, sock=self._control))
        try:
            async with asyncio.TaskGroup() as group:
                pumps = [group.create_task(self._pump(number)) for number in range(len(self.tracks))]
                self._serving.set()
                await self._stop.wait()
                for pump in pumps:
                    pump.cancel()
        finally:
            for server in servers:
                server.close()
            for session in self._sessions:
                session.reset()

    def _soon(self, action: Callable[[], object]) -> None:
        """Run `action` on the thread of the event loop, the only one that may touch connections."""
        self._loop.call_soon_threadsafe(action)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.log.append(Event(time.monotonic(), "connect"))
        session = Session(self, reader, writer)
        self._sessions.add(session)
        try:
            if self.refusing:
                session.reset()
            else:
                await session.run()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # the client disconnected
        finally:
            self._sessions.discard(session)
            session.close()

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = self.command(line.decode())
                except (TypeError, ValueError, IndexError) as error:
                    answer = {"error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def _pump(self, number: int) -> None:
        """Send the units of a track when they are due. If this task is late, it sends all overdue units immediately."""
        rate_hz, n = self.tracks[number].rate_hz, 0
        while True:
            await asyncio.sleep(self.clock.began_mono_s + n / rate_hz - time.monotonic())
            n = max(n, int((time.monotonic() - self.clock.began_mono_s) * rate_hz))
            self._newest[number] = n
            self._send(number, n)
            n += 1

    def _send(self, number: int, n: int) -> None:
        now_s = time.monotonic()
        if self.frozen.is_set() and now_s >= self._thaw_mono_s:
            self._thaw_mono_s = math.inf
            self.frozen.clear()
        for session in self._sessions:
            flow = session.playing.get(number)
            if flow is None:
                continue
            if self.frozen.is_set() or (number == VIDEO and not self._is_video_on):
                flow.skip(n)
            elif now_s >= self._stalled_until_s:
                flow.catch_up(n)

    def _clip_of(self, k: int) -> Clip:
        return next(clip for since, clip in reversed(self._shown) if k >= since)

    def _video_payloads(self, k: int) -> list[Payload]:
        return self._clip_of(k).payloads[k % self.clock.loop]

    def _ahead(self, k: int) -> int:
        ahead = self._clip_of(k).ahead
        return ahead[k % self.clock.loop] if ahead else 0

    def begin(self, number: int) -> int:
        """Return the first unit for a client that starts to play now: the next key frame, or one in the backlog."""
        track, newest = self.tracks[number], self._newest[number]
        if self.backlog_s:
            # This may be before frame 0: the camera behaves as if it had always been running.
            return track.key_until(newest - round(self.backlog_s * track.rate_hz))
        return track.key_after(newest)


COMMANDS = [
    "freeze", "resume", "stall", "backlog", "video", "loss", "garbage", "kick", "clip", "sr", "clock_offset",
    "describe_delay", "silence", "refuse", "stat", "log",
    "lose", "reorder", "double",
]  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def _login(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    return user, password


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fakecam", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8554)
    parser.add_argument("--control", dest="control_port", type=int, help="port for commands")
    parser.add_argument("--size", dest="sizes", type=_size, action="append", help="clip size (640x480), repeatable")
    parser.add_argument("--coding", dest="codings", choices=CODINGS, action="append", default=[], help="repeatable")
    parser.add_argument("--payload", type=int, default=MAX_PAYLOAD, help="bytes of the largest RTP payload")
    parser.add_argument("--fps", type=int, default=FPS)
    parser.add_argument("--key-every", type=int, default=25, help="distance between key frames, in frames")
    parser.add_argument("--loop", dest="loop_s", type=float, default=LOOP_S, help="length of the looped video (s)")
    parser.add_argument("--background", help="video file behind the marks")
    parser.add_argument("--file", help="an H.264 video, served as it is instead of a clip with marks")
    parser.add_argument("--login", type=_login, help="user:password")
    parser.add_argument("--scheme", choices=("digest", "basic"), default="digest")
    parser.add_argument("--transport", choices=("tcp", "udp", "both"), default="both")
    parser.add_argument("--no-sprop", dest="sprop", action="store_false", help="send no parameter sets in the SDP")
    parser.add_argument("--audio", action="store_true", help="add a second track with silence")
    parser.add_argument("--silent", action="store_true", help="accept connections, but never answer")
    parser.add_argument("--clock-offset", dest="clock_offset_s", type=float, default=0.0)
    parser.add_argument("--session-timeout", dest="session_timeout_s", type=int, default=60)
    parser.add_argument("--send-buffer", type=int, default=SEND_BUFFER, help="bytes that a slow client may fall behind")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random losses and garbage")
    parser.add_argument("--until-eof", action="store_true", help="exit when standard input is closed")
    return parser.parse_args()


async def _serve(camera: FakeCamera, until_eof: bool) -> None:
    if until_eof:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), camera.close)
    await camera.serve()


def main() -> None:
    options = vars(_parse())
    until_eof = options.pop("until_eof")
    camera = FakeCamera(**{**options, "sizes": options["sizes"] or [(640, 480)]})
    ready = {"port": camera.port, "control_port": camera.control_port, **asdict(camera.clock)}
    print("READY", json.dumps(ready), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(camera, until_eof))


if __name__ == "__main__":
    main()
