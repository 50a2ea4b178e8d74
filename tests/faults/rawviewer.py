"""Hostile visitors of the live page: connections that send nothing, too much or nonsense, over plain sockets.

    python -m tests.faults.rawviewer KIND PORT SECONDS

Each kind goes on for these seconds and connects again whenever it is cut off. The page listens on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT, BINARY, PING = 1, 2, 9
FINAL = 0x80
MB = 1 << 20


def frame(
    body: bytes, opcode: int = TEXT, *, first: int = FINAL, mask: bool = True, length: int | None = None
) -> bytes:
    """A WebSocket frame as a client sends it. `length` replaces the true length in the header."""
    size = len(body) if length is None else length
    bit = 0x80 if mask else 0
    if size < 126:
        head = bytes([first | opcode, bit | size])
    elif size < 1 << 16:
        head = struct.pack(">BBH", first | opcode, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first | opcode, bit | 127, size)
    return head + (bytes(4) if mask else b"") + body  # a mask of zeros changes nothing


def text(**message: object) -> bytes:
    return frame(json.dumps(message).encode())


def request(port: int, path: str = "/ws", method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """A request; for /ws, one that asks for a WebSocket."""
    lines = {"Host": f"127.0.0.1:{port}"}
    if path == "/ws":
        key = base64.b64encode(os.urandom(16)).decode()
        lines |= {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        lines |= {"Sec-WebSocket-Key": key}
    lines |= headers
    return (
        f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
    ).encode() + body


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


@contextlib.asynccontextmanager
async def _websocket(port: int) -> Iterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await _connect(port)
    try:
        writer.write(request(port))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise ConnectionError(answer.partition(b"\r\n")[0].decode())
        yield reader, writer
    finally:
        writer.transport.abort()


_TROUBLE = (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError)


async def _again(once: Callable[[], Awaitable[None]], end_s: float) -> int:
    """Do it again and again; return how often. A refusal or a cut connection is what is expected."""
    for count in itertools.count():
        if time.monotonic() > end_s:
            return count
        with contextlib.suppress(*_TROUBLE):
            await asyncio.wait_for(once(), max(0.1, end_s - time.monotonic()))
        await asyncio.sleep(0.01)
    return 0


# ---- plain connections


async def _silent(port: int, end_s: float, connections: int = 1000) -> int:
    """Open this many connections and send nothing; replace those that are closed."""

    async def one() -> None:
        reader, writer = await _connect(port)
        try:
            await reader.read(1)
        finally:
            writer.transport.abort()

    return sum(await asyncio.gather(*(_again(one, end_s) for _ in range(connections))))


async def _slow(port: int, end_s: float, connections: int = 200) -> int:
    """Send the lines of a request one byte at a time, as slow-loris does."""

    async def one() -> None:
        _, writer = await _connect(port)
        try:
            for byte in itertools.cycle(request(port, "/") + b"X-More: 1\r\n"):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.5)
        finally:
            writer.transport.abort()

    return sum(await asyncio.gather(*(_again(one, end_s) for _ in range(connections))))


async def _requests(port: int, end_s: float) -> int:
    """Send requests that no browser sends: endless headers, large bodies, other methods, nonsense."""
    blocks = [
        request(port, "/" + "a" * MB),
        request(port, "/", **{f"X-{i}": "v" * 1000 for i in range(2000)}),
        request(port, "/login", "POST", bytes(10 * MB), **{"Content-Length": str(10 * MB)}),
        request(port, "/login", "POST", b"fffffff\r\n" + bytes(2 * MB), **{"Transfer-Encoding": "chunked"}),
        request(port, "/login", "POST", b"token=" + b"a" * 5000, **{"Content-Length": "99999999999"}),
        request(port, "/", "DELETE") + request(port, "/api/cameras", "PUT") + request(port, "/", "TRACE"),
        request(port, "/ws", "POST"),
        request(port, "/") * 500,  # pipelined
        random.randbytes(MB),
        b"\x16\x03\x01" + random.randbytes(500),  # the beginning of TLS
    ]

    async def one() -> None:
        reader, writer = await _connect(port)
        try:
            writer.write(random.choice(blocks))
            await asyncio.wait_for(writer.drain(), 1)
            await asyncio.wait_for(reader.read(1 << 16), 1)
        finally:
            writer.transport.abort()

    return sum(await asyncio.gather(*(_again(one, end_s) for _ in range(8))))


# ---- WebSockets


def _sending(*messages: bytes, connections: int = 4, pause_s: float = 0.0) -> Callable[[int, float], Awaitable[int]]:
    """Return a kind that opens WebSockets, sends one of these at a time, and connects again when it is cut off."""

    async def kind(port: int, end_s: float) -> int:
        async def one() -> None:
            async with _websocket(port) as (reader, writer):
                drain = asyncio.create_task(_discard(reader))
                message = random.choice(messages)
                while not drain.done():
                    writer.write(message)
                    await writer.drain()
                    await asyncio.sleep(pause_s)

        return sum(await asyncio.gather(*(_again(one, end_s) for _ in range(connections))))

    return kind


async def _discard(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(*_TROUBLE):
        while await reader.read(1 << 16):
            pass


async def _never_shown(port: int, end_s: float, connections: int = 500) -> int:
    """Open WebSockets that watch every camera and acknowledge nothing; half of them read nothing either."""

    async def one(number: int) -> None:
        async with _websocket(port) as (reader, writer):
            tiles = [{"name": f"cam{i}", "width": 1280} for i in range(20)]
            writer.write(text(type="watch", cameras=tiles, pictures=True))
            await writer.drain()
            if number % 2:
                await _discard(reader)
            await asyncio.sleep(max(0.0, end_s - time.monotonic()))

    tasks = (_again(lambda n=n: one(n), end_s) for n in range(connections))
    return sum(await asyncio.gather(*tasks))


_LARGE = frame(bytes(10 * MB), BINARY)
_NESTED = frame(b'{"type":"watch","cameras":' + b"[" * 15_000)
_WIDTHS: list[object] = [-1, 0, 1e308, 2**70, "320", None, [], float("nan")]
_NAMES: list[object] = ["../../etc/passwd", "cam0/full", "", "a" * 10_000, 7, None, {"a": 1}, "cam0\0", "\ud800"]
_ODD = [
    b"null", b"[]", b"7", b'"watch"', b"{}", b'{"type":7}', b'{"type":"watch"}', b'{"type":"watch","cameras":{}}',
    b'{"type":"watch","cameras":[[]]}', b'{"type":"shown"}', b'{"type":"shown","camera":"cam0","seq":-1e999}',
    b'{"type":"shown","camera":"cam0","seq":99999999999999999999999,"width":320}', b'{"type":"ping","id":{"a":[1]}}',
    b'{"type":"ping"}', b'{"type":"details","camera":7}', b'{"type":"hello"}', b"\xff\xfe", b"{", b"",
    *(json.dumps({"type": "watch", "cameras": [{"name": "cam0", "width": w}]}).encode() for w in _WIDTHS),
    *(json.dumps({"type": "watch", "cameras": [{"name": n, "width": 320}]}).encode() for n in _NAMES),
]  # fmt: skip
_SIZES = [text(type="watch", cameras=[{"name": "cam0", "width": w}], pictures=True) for w in (100, 600, 1200, 4000)]
_MALFORMED = [
    frame(b"{}", mask=False),
    frame(b"{}", opcode=3),
    frame(b"{}", first=FINAL | 0x70),  # reserved bits: compression that was not agreed on
    frame(b"x" * 126, opcode=PING),  # a control frame that is too long
    frame(b"{}", first=0, opcode=PING),  # a control frame in parts
    frame(b"{}", opcode=0),  # goes on with nothing
    frame(b"{}", length=2**62),
    frame(b"{}", length=2**64 - 1),
    frame(b"\x03\xe8" + b"\xff", opcode=8),  # closes with a reason that is not UTF-8
    random.randbytes(4000),
]

KINDS: dict[str, Callable[[int, float], Awaitable[int]]] = {
    "1,000 silent connections": _silent,
    "200 requests sent byte by byte": _slow,
    "requests that no browser sends": _requests,
    "WebSocket frames of 10 MB": _sending(_LARGE),
    "malformed frames": _sending(*_MALFORMED, connections=8),
    "messages with odd content": _sending(*map(frame, _ODD), connections=8),
    "nested JSON": _sending(_NESTED),
    "a message without end": _sending(frame(bytes(1000), first=0) + frame(bytes(1000), opcode=0, first=0) * 100),
    "pings": _sending(frame(b"x" * 125, PING) * 100),
    "a flood of watch": _sending(*_SIZES),
    "100 sizes per second": _sending(*_SIZES, pause_s=0.01),  # within the limit
    "500 viewers that never acknowledge": _never_shown,
}


def start(kind: str, port: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start a kind in a process of its own, which ends after these seconds."""
    command = [sys.executable, "-m", "tests.faults.rawviewer", kind, str(port), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT)


if __name__ == "__main__":
    _kind, _port, _seconds = sys.argv[1:]
    print(asyncio.run(KINDS[_kind](int(_port), time.monotonic() + float(_seconds))))
