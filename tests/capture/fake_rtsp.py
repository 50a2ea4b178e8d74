"""A small RTSP camera on loopback: H.264 over TCP, digest login, wrong paths, silence, kicks."""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

FPS = 25
# A key frame five times a second: tests need not wait for one.
KEY_EVERY = 5


def encode(size: tuple[int, int], frames: int = 50) -> list[list[bytes]]:
    """Pictures as lists of H.264 units without start codes; parameter sets come with each key frame."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, FPS), FPS
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(KEY_EVERY), "bf": "0"}
    pictures = []
    for i in range(frames):
        frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 5 * i, np.uint8), "bgr24")
        for packet in encoder.encode(frame):
            units = re.split(b"\x00\x00\x00\x01|\x00\x00\x01", bytes(packet))
            pictures.append([unit for unit in units if unit])
    return pictures


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def kind(unit: bytes) -> int:
    return unit[0] & 31


class FakeCamera:
    """Serves rtsp://127.0.0.1:PORT/cam to any number of clients while the `with` block lasts.

    Args:
        login: user and password that it asks for.
        silent: accept connections and never answer.
        port: 0 for a free one.
    """

    def __init__(self, login: tuple[str, str] | None = None, silent: bool = False, port: int = 0) -> None:
        self.login = login
        self.silent = silent
        self.pictures = encode((160, 120))
        self.closing = threading.Event()
        self.kicks = 0
        self.frozen = threading.Event()
        self.requests: list[str] = []
        camera = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                Session(camera, self.request).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, userinfo: str = "", path: str = "/cam") -> str:
        return f"rtsp://{userinfo}127.0.0.1:{self.port}{path}"

    def kick(self) -> None:
        """Reset every client's connection."""
        self.kicks += 1


class Session:
    """One client."""

    def __init__(self, camera: FakeCamera, sock: socket.socket) -> None:
        self.camera, self.sock, self.nonce = camera, sock, "5f3a"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets

    def run(self) -> None:
        try:
            if self.camera.silent:
                self.camera.closing.wait()
                return
            for head in self.requests():
                if not self.answer(head):
                    break
            else:
                return
            self.play()
        except OSError:
            pass  # the client went away

    def requests(self) -> Iterator[str]:
        data = b""
        while chunk := self.sock.recv(4096):
            data += chunk
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                yield head.decode()

    def answer(self, head: str) -> bool:
        """Answer a request; False once the client asked to play."""
        method, url, *_ = head.split()
        self.camera.requests.append(method)
        fields = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in head.split("\r\n")[1:])}
        if method == "OPTIONS":
            self.reply(fields, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY")
        elif not self.may_enter(method, fields.get("authorization", "")):
            self.reply(fields, "401 Unauthorized", f'WWW-Authenticate: Digest realm="fake", nonce="{self.nonce}"')
        elif "/cam" not in url:
            self.reply(fields, "404 Not Found")
        elif method == "DESCRIBE":
            self.reply(
                fields, "200 OK", f"Content-Base: {self.camera.url()}/\r\nContent-Type: application/sdp", self.sdp()
            )
        elif method == "SETUP":
            self.reply(fields, "200 OK", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7")
        else:
            self.reply(fields, "200 OK", "Session: 7")
        return method != "PLAY"

    def reply(self, fields: dict[str, str], status: str, more: str = "", body: str = "") -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {fields['cseq']}", *([more] if more else [])]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def may_enter(self, method: str, authorization: str) -> bool:
        if self.camera.login is None:
            return True
        given = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        user, password = self.camera.login
        who, what = md5(f"{user}:fake:{password}"), md5(f"{method}:{given.get('uri')}")
        return given.get("response") == md5(f"{who}:{self.nonce}:{what}")

    def sdp(self) -> str:
        sets = [unit for unit in self.camera.pictures[0] if kind(unit) in (7, 8)]
        spelled = ",".join(base64.b64encode(unit).decode() for unit in sets)
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=fake\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 H264/90000\r\na=framerate:{FPS}\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={spelled}\r\na=control:track0\r\n"
        )

    def play(self) -> None:
        """Send pictures at FPS until kicked or closed; the clock of this session begins anew."""
        kicks, sequence, began_s = self.camera.kicks, 0, time.monotonic()
        for k in range(10**6):
            while (wait_s := began_s + k / FPS - time.monotonic()) > 0 or self.camera.frozen.is_set():
                if self.camera.closing.wait(min(max(wait_s, 0.01), 0.05)) or self.camera.kicks != kicks:
                    self.sock.close()
                    return
                if select.select([self.sock], [], [], 0)[0] and not self.sock.recv(4096):
                    return
            for unit, last in self.pieces(self.camera.pictures[k % len(self.camera.pictures)]):
                sequence = (sequence + 1) & 0xFFFF
                rtp = struct.pack(">BBHII", 0x80, (0x80 if last else 0) | 96, sequence, 3600 * k, 1) + unit
                self.sock.sendall(b"$\x00" + struct.pack(">H", len(rtp)) + rtp)

    @staticmethod
    def pieces(units: list[bytes]) -> Iterator[tuple[bytes, bool]]:
        """RTP payloads of one picture, RFC 6184: units whole, or in fragments (FU-A) of 1200 bytes."""
        for i, unit in enumerate(units):
            last = i == len(units) - 1
            if len(unit) <= 1200:
                yield unit, last
                continue
            body = unit[1:]
            for at in range(0, len(body), 1200):
                ends = at + 1200 >= len(body)
                flags = (0x80 if at == 0 else 0) | (0x40 if ends else 0) | kind(unit)
                yield bytes([(unit[0] & 0xE0) | 28, flags]) + body[at : at + 1200], last and ends
