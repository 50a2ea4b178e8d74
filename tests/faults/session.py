"""The fake camera's side of one client: RTSP 1.0 over its connection, RTP and RTCP over the connection or over UDP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import math
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .clip import Payload

if TYPE_CHECKING:
    from .fakecam import FakeCamera

# Longest burst after a stall, in seconds of media; a camera does not store more.
HELD_S = 60
# NTP counts from 1900, Unix from 1970.
NTP_UNIX_S = 2208988800
VIDEO, AUDIO = 0, 1
# A multicast group for private use (RFC 2365).
GROUP = "239.255.42.42"


@dataclass(frozen=True)
class Track:
    """A video or audio track. Its nth unit (a frame, or a packet of sound) leaves at began + n / rate_hz."""

    payload_type: int
    rate_hz: int
    ticks_hz: int
    key_every: int
    payloads: Callable[[int], list[Payload]]
    ahead: Callable[[int], int] = lambda n: 0  # how many units after its turn to be sent a unit is shown

    def ticks(self, n: int) -> int:
        return n * self.ticks_hz // self.rate_hz

    def stamp(self, n: int) -> int:
        """Return the ticks at which unit n is shown."""
        return self.ticks(n + self.ahead(n))

    def key_after(self, n: int) -> int:
        return (n // self.key_every + 1) * self.key_every

    def key_until(self, n: int) -> int:
        return n // self.key_every * self.key_every


class Event(NamedTuple):
    """A connection ("connect") or a request (its method), and its time."""

    at_mono_s: float
    what: str


class Flow:
    """Sends one track to one client: RTP with sender reports (RFC 3550).

    Args:
        camera: the camera that owns the track.
        number: index of the track.
        send: sends a packet; its second argument is True for RTCP.
        is_full: returns True while the client does not read what it receives.
    """

    def __init__(
        self, camera: FakeCamera, number: int, send: Callable[[bytes, bool], None], is_full: Callable[[], bool]
    ) -> None:
        self.camera, self.track, self.send, self.is_full = camera, camera.tracks[number], send, is_full
        self.next = camera.begin(number)
        self.sequence, self.source = random.getrandbits(16), random.getrandbits(32)
        self.first_tick = random.getrandbits(31)
        self.packets = self.octets = 0
        self._held = b""  # a packet that the next one overtakes
        self.is_fresh = True

    def skip(self, n: int) -> None:
        """Skip all units up to unit n; continue with the first key frame after it."""
        self.next = max(self.next, self.track.key_after(n))

    def catch_up(self, n: int) -> None:
        """Send all units that are due, up to unit n. A client that does not keep up loses them."""
        if self.next > n:
            return
        if self.is_full():
            due = self.next
            self.skip(n)
            self.camera.dropped += self.next - due
            return
        oldest = n - HELD_S * self.track.rate_hz
        if self.next < oldest:
            self.skip(oldest)
        while self.next <= n:
            if self.camera.has_reports and (self.is_fresh or self.next % self.track.rate_hz == 0):
                self.send(self._report(self.next), True)
            self._send_unit(self.next)
            self.is_fresh = False
            self.next += 1

    def _send_unit(self, n: int) -> None:
        payloads = self.track.payloads(n)
        for i, (data, last) in enumerate(payloads):
            self.sequence = (self.sequence + 1) & 0xFFFF
            is_chosen = n in self.camera.losing and i == len(payloads) // 2
            if is_chosen or self.camera.random.random() < self.camera.loss_rate:
                continue
            kind = (0x80 if last else 0) | self.track.payload_type
            stamp = (self.first_tick + self.track.stamp(n)) & 0xFFFFFFFF
            self._emit(struct.pack(">BBHII", 0x80, kind, self.sequence, stamp, self.source) + data)
            self.packets += 1
            self.octets += len(data)

    def _emit(self, packet: bytes) -> None:
        if not self._held and self.camera.random.random() < self.camera.reorder_rate:
            self._held = packet
            return
        is_doubled = self.camera.random.random() < self.camera.double_rate
        for due in filter(None, (packet, packet if is_doubled else b"", self._held)):
            self.send(due, False)
        self._held = b""

    def _report(self, n: int) -> bytes:
        """Return a sender report with the wall clock time at which unit n leaves."""
        clock = self.camera.clock
        ntp_s = clock.began_unix_s + n / self.track.rate_hz + self.camera.clock_offset_s + NTP_UNIX_S
        seconds = math.floor(ntp_s)
        wall = struct.pack(">II", seconds, int((ntp_s - seconds) * 2**32))
        return (
            struct.pack(">BBHI", 0x80, 200, 6, self.source)
            + wall
            + struct.pack(">III", self._ticks(n), self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF)
        )

    def _ticks(self, n: int) -> int:
        return (self.first_tick + self.track.ticks(n)) & 0xFFFFFFFF


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    fields: dict[str, str]

    @classmethod
    def parse(cls, head: bytes) -> Request:
        first, *lines = head.decode(errors="replace").strip().split("\r\n")
        method, url, *_ = [*first.split(), "", ""]
        pairs = (line.partition(":") for line in lines)
        return cls(method, url, {key.strip().lower(): value.strip() for key, _, value in pairs})

    @property
    def path(self) -> str:
        return re.sub(r"^rtsps?://[^/]*", "", self.url)


class Session:
    """One client's connection: RTSP 1.0, RFC 2326."""

    def __init__(self, camera: FakeCamera, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.camera, self.reader, self.writer = camera, reader, writer
        self.name, self.nonce = f"{random.getrandbits(32):08x}", f"{random.getrandbits(64):016x}"
        self.flows: dict[int, Callable[[], Flow]] = {}  # by track: creates its Flow at PLAY
        self.playing: dict[int, Flow] = {}
        self.garbage_ways: list[Callable[[bytes, bool], None]] = []
        self._sockets: list[socket.socket] = []
        self._tcp = writer.get_extra_info("socket")
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, camera.send_buffer)

    async def run(self) -> None:
        while True:
            first = await self.reader.readexactly(1)
            if first == b"$":  # receiver reports of the client come between its requests
                _, length = struct.unpack(">BH", await self.reader.readexactly(3))
                await self.reader.readexactly(length)
                continue
            request = Request.parse(first + await self.reader.readuntil(b"\r\n\r\n"))
            await self.reader.readexactly(int(request.fields.get("content-length", 0)))
            self.camera.log.append(Event(time.monotonic(), request.method))
            if self.camera.silent:
                continue
            await self._answer(request)
            if request.method == "TEARDOWN":
                return

    def close(self) -> None:
        self.playing.clear()
        self.writer.close()
        for way in self._sockets:
            way.close()

    def reset(self) -> None:
        with contextlib.suppress(OSError):  # already closed
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() then resets
        self.playing.clear()
        self.writer.transport.abort()

    def send_garbage(self, packets: int) -> None:
        for _ in range(packets if self.playing else 0):
            self.garbage_ways[0](self.camera.random.randbytes(600), False)

    async def _answer(self, request: Request) -> None:
        if request.method == "OPTIONS":
            self._reply(request, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN")
        elif not self._may_enter(request):
            nonce = f', nonce="{self.nonce}"' if self.camera.scheme == "digest" else ""
            asked = f'WWW-Authenticate: {self.camera.scheme.title()} realm="fakecam"{nonce}'
            self._reply(request, "401 Unauthorized", asked)
        elif not re.match(r"/cam(/|\?|$)", request.path):
            self._reply(request, "404 Not Found")
        elif request.method == "DESCRIBE":
            await asyncio.sleep(self.camera.describe_delay_s)
            fields = (f"Content-Base: {request.url.rstrip('/')}/", "Content-Type: application/sdp")
            self._reply(request, "200 OK", *fields, body=self._description())
        elif request.method == "SETUP":
            self._set_up(request)
        else:
            self._reply(request, "200 OK", f"Session: {self.name}")
            if request.method == "PLAY":
                self.playing = {number: begin() for number, begin in self.flows.items()}
            elif request.method in ("PAUSE", "TEARDOWN"):
                self.playing = {}

    def _reply(self, request: Request, status: str, *fields: str, body: str = "") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {request.fields.get('cseq', '0')}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode(errors="surrogateescape"))

    def _may_enter(self, request: Request) -> bool:
        if self.camera.login is None:
            return True
        given, (user, password) = request.fields.get("authorization", ""), self.camera.login
        if self.camera.scheme == "basic":
            return given == "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        parts = dict(re.findall(r'(\w+)="([^"]*)"', given))
        who, what = _md5(f"{user}:fakecam:{password}"), _md5(f"{request.method}:{parts.get('uri')}")
        return parts.get("response") == _md5(f"{who}:{self.nonce}:{what}")

    def _description(self) -> str:
        sets = self.camera.shown.parameter_sets
        spelled = ",".join(base64.b64encode(unit).decode() for unit in sets)
        lines = [
            *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=fakecam", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"),
            *("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", f"a=framerate:{self.camera.clock.fps}"),
            "a=fmtp:96 packetization-mode=1" + (f";sprop-parameter-sets={spelled}" if self.camera.sprop else ""),
            f"a=control:track{VIDEO}",
        ]
        if len(self.camera.tracks) > AUDIO:
            lines += ["m=audio 0 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", f"a=control:track{AUDIO}"]
        return "\r\n".join(lines) + "\r\n"

    def _set_up(self, request: Request) -> None:
        asked, camera = request.fields.get("transport", ""), self.camera
        found = re.search(r"/track(\d+)$", request.path)
        number = int(found[1]) if found else VIDEO
        is_tcp = "/TCP" in asked
        is_group = "multicast" in asked and camera.transport == "multicast"
        ports = re.search(r"client_port=(\d+)-(\d+)", asked)
        offered = is_group or (camera.transport in ("both", "tcp" if is_tcp else "udp") and (is_tcp or ports))
        if not offered:
            self._reply(request, "461 Unsupported Transport")
            return
        if is_group:
            send, theirs = self._over_multicast()
            agreed = f"RTP/AVP;multicast;destination={GROUP};port={theirs}-{theirs + 1};ttl=0"
        elif is_tcp:
            channels = re.search(r"interleaved=(\d+)-", asked)
            channel = int(channels[1]) if channels else 2 * number
            agreed, send = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}", self._over_tcp(channel)
        else:
            send, ours = self._over_udp([int(port) for port in ports.groups()])
            agreed = f"RTP/AVP;unicast;client_port={ports[1]}-{ports[2]};server_port={ours[0]}-{ours[1]}"
        self.garbage_ways.append(send)
        self.flows[number] = functools.partial(Flow, camera, number, send, self._is_full)
        self._reply(
            request, "200 OK", f"Transport: {agreed}", f"Session: {self.name};timeout={camera.session_timeout_s}"
        )

    def _is_full(self) -> bool:
        return self.writer.transport.get_write_buffer_size() > self.camera.send_buffer

    def _over_tcp(self, channel: int) -> Callable[[bytes, bool], None]:
        def send(packet: bytes, is_rtcp: bool) -> None:
            if not self.writer.is_closing():
                self.writer.write(struct.pack(">cBH", b"$", channel + is_rtcp, len(packet)) + packet)

        return send

    def _over_udp(self, ports: list[int]) -> tuple[Callable[[bytes, bool], None], list[int]]:
        """Return a function that sends to the client's ports for RTP and RTCP, and our own two ports."""
        ways = []
        for port in ports:
            way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            way.setblocking(False)
            way.bind(("127.0.0.1", 0))
            way.connect(("127.0.0.1", port))
            ways.append(way)
        self._sockets += ways

        def send(packet: bytes, is_rtcp: bool) -> None:
            with contextlib.suppress(OSError):  # UDP: the buffer is full, or the client is not listening
                ways[is_rtcp].send(packet)

        return send, [way.getsockname()[1] for way in ways]

    def _over_multicast(self) -> tuple[Callable[[bytes, bool], None], int]:
        """Return a function that sends to a group that does not leave this machine, and the group's port for RTP."""
        port = 2 * random.randrange(10_000, 30_000)
        way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        way.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        way.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        self._sockets.append(way)

        def send(packet: bytes, is_rtcp: bool) -> None:
            with contextlib.suppress(OSError):
                way.sendto(packet, (GROUP, port + is_rtcp))

        return send, port


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
