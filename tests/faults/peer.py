"""The server's side of one connection, for cameras that behave badly: a listener, RTSP over TCP, and HTTP.

`FakeCamera` is a good camera that fails on command. The peers here may send anything. They use blocking sockets and a
thread per connection, because a strange answer is easiest to read as a sequence of sends.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .clip import Clip

# Longest request that a client may send, in bytes.
LONGEST_HEAD = 65536
Serve = Callable[["Connection"], None]


class Connection:
    """One client's connection.

    Attributes:
        received: all bytes that the client sent so far.
    """

    def __init__(self, client: socket.socket, closing: threading.Event) -> None:
        self._client, self.closing, self.received = client, closing, b""
        client.settimeout(30.0)

    def send(self, data: bytes) -> None:
        self._client.sendall(data)

    def receive_head(self) -> str:
        """Return the next request up to its empty line; empty when the client is gone."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = self._client.recv(1)
            if not data or len(head) > LONGEST_HEAD:
                return ""
            self.received += data
            if data == b"$" and not head:  # a receiver report comes between requests
                self._skip_packet()
                continue
            head += data
        return head.decode(errors="replace")

    def _skip_packet(self) -> None:
        _, length = struct.unpack(">BH", self._client.recv(3, socket.MSG_WAITALL))
        self._client.recv(length, socket.MSG_WAITALL)

    def wait_for_end(self) -> None:
        """Return when the client closes the connection, or this server does."""
        with contextlib.suppress(OSError):
            while not self.closing.is_set() and self._client.recv(4096):
                pass

    def pause(self, seconds: float) -> bool:
        """Wait; return whether the server still runs."""
        return not self.closing.wait(seconds)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()


class Listener:
    """A server on a free port of loopback, for the duration of a `with` block.

    Args:
        serve: serves one connection, on a thread of its own. The connection is closed when it returns.

    Attributes:
        connections: all connections so far.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self.connections: list[Connection] = []
        self.closing = threading.Event()

    def __enter__(self) -> Listener:
        self._thread = threading.Thread(target=self._accept, name=f"listener-{self.port}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept; close alone does not
        self._socket.close()
        self._thread.join(30)
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            connection = Connection(client, self.closing)
            self.connections.append(connection)
            threading.Thread(target=self._meet, args=(connection,), name="peer", daemon=True).start()

    def _meet(self, connection: Connection) -> None:
        with contextlib.suppress(OSError, struct.error):  # the client is gone
            self._serve(connection)
        connection.close()


def description(clip: Clip, *lines: str | bytes) -> bytes:
    """Return the SDP of a camera that shows `clip` as payload type 96, with further lines at its end."""
    sets = ",".join(base64.b64encode(unit).decode() for unit in clip.parameter_sets)
    usual = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=strange", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*"]
    usual += ["m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000"]
    usual += [f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}", "a=control:track0"]
    return b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in [*usual, *lines])


def packets(clip: Clip, fps: int = 25, payload_type: int = 96) -> Iterator[list[bytes]]:
    """Yield the RTP packets of each frame of a clip, which repeats for ever."""
    sequence = k = 0
    while True:
        frame = []
        for data, last in clip.payloads[k % len(clip.payloads)]:
            kind = (0x80 if last else 0) | payload_type
            frame.append(struct.pack(">BBHII", 0x80, kind, sequence & 0xFFFF, k * 90_000 // fps, 1) + data)
            sequence += 1
        yield frame
        k += 1


def interleaved(packet: bytes, channel: int = 0) -> bytes:
    """Frame a packet for RTSP over TCP (RFC 2326, 10.12)."""
    return struct.pack(">cBH", b"$", channel, len(packet)) + packet


def live(clip: Clip, fps: int = 25, payload_type: int = 96) -> Serve:
    """Return the media of a good camera: its packets over TCP, each frame when it is due."""

    def send(connection: Connection) -> None:
        began_s = time.monotonic()
        for k, frame in enumerate(packets(clip, fps, payload_type)):
            if not connection.pause(max(0.0, began_s + k / fps - time.monotonic())):
                return
            connection.send(b"".join(map(interleaved, frame)))

    return send


def _as_it_is(method: str, answer: bytes) -> bytes:
    return answer


@dataclass
class Rtsp:
    """Serves one RTSP client over TCP.

    Args:
        sdp: the answer to DESCRIBE.
        media: sends the media after PLAY.
        change: given a method and the bytes of its answer, returns the bytes to send.

    Attributes:
        requests: all requests so far.
    """

    sdp: bytes
    media: Serve
    change: Callable[[str, bytes], bytes] = _as_it_is
    requests: list[str] = field(default_factory=list)

    def __call__(self, connection: Connection) -> None:
        while request := connection.receive_head():
            self.requests.append(request)
            method, _, rest = request.partition(" ")
            connection.send(self.change(method, self._answer(method, rest)))
            if method == "PLAY":
                self.media(connection)
                return

    def _answer(self, method: str, rest: str) -> bytes:
        url = rest.partition(" ")[0].rstrip("/")
        fields = {
            "OPTIONS": ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"],
            "DESCRIBE": [f"Content-Base: {url}/", "Content-Type: application/sdp", f"Content-Length: {len(self.sdp)}"],
            "SETUP": ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1;timeout=60"],
        }.get(method, ["Session: 1"])
        return rtsp_answer(rest, "200 OK", *fields) + (self.sdp if method == "DESCRIBE" else b"")


def rtsp_answer(request: str, status: str, *fields: str) -> bytes:
    """Return an RTSP answer without a body."""
    cseq = re.search(r"^cseq:\s*(\d+)", request, re.IGNORECASE | re.MULTILINE)
    return "\r\n".join([f"RTSP/1.0 {status}", f"CSeq: {cseq[1] if cseq else 0}", *fields, "", ""]).encode()


def http_answer(*fields: str, status: str = "200 OK", body: bytes = b"") -> bytes:
    """Return the head of an HTTP answer, and what of its body is known."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *fields, "", ""]).encode() + body
