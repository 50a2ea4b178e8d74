"""A peer that speaks ZMTP, ZeroMQ's protocol, over a plain socket, and floods of all kinds.

    python -m tests.faults.rawpeer KIND ENDPOINT SECONDS [FOLDER]

FOLDER: with the keys of a permitted reader (reader.key_secret) and of the publisher (publisher.key). The flood then
comes from libzmq itself, which can encrypt it.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zmq

from realtime.keys import load_public, load_secret

ROOT = Path(__file__).parents[2]
SUBSCRIBE, CANCEL = b"\x01", b"\x00"
_COMMAND = 4  # flag of a frame
_BLOCK = 1000  # messages per call of the system


def frame(body: bytes, flags: int = 0) -> bytes:
    """A message of one part, or a command."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return struct.pack(">BQ", flags | 2, len(body)) + body


def command(name: bytes, body: bytes = b"") -> bytes:
    return frame(bytes([len(name)]) + name + body, _COMMAND)


def greeting(minor: int = 1) -> bytes:
    """The first 64 bytes, without encryption. Since 3.1, subscriptions are commands instead of messages."""
    return b"\xff" + bytes(8) + b"\x7f\x03" + bytes([minor]) + b"NULL".ljust(20, b"\0") + bytes(32)


READY = command(b"READY", b"\x0bSocket-Type\0\0\0\x03SUB")


class RawPeer:
    """A connection whose handshake is complete, for the duration of a `with` block."""

    def __init__(self, endpoint: str, minor: int = 1) -> None:
        if endpoint.startswith("ipc://"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(5)
            name = endpoint.removeprefix("ipc://")
            self.socket.connect("\0" + name[1:] if name.startswith("@") else name)
        else:
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        self.socket.sendall(greeting(minor) + READY)
        answer = b""
        while len(answer) < 64 + 2 or len(answer) < 64 + 2 + answer[65]:  # libzmq refuses messages before its own READY
            part = self.socket.recv(256)
            if not part:
                self.socket.close()
                raise ConnectionError("the publisher ended the handshake")
            answer += part

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(map(frame, messages)))

    def is_cut_off(self, timeout_s: float = 10.0) -> bool:
        """Whether the publisher closes the connection within this time."""
        end_s = time.monotonic() + timeout_s
        self.socket.settimeout(timeout_s)
        try:
            while time.monotonic() < end_s:
                if not self.socket.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False


def _topics(size: int) -> Iterator[bytes]:
    numbers = random.randrange(2**40)
    for number in itertools.count(numbers):
        yield b"%011x" % number + random.randbytes(size - 11)


# Each yields the messages of a flood, without end.
FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "same topic": lambda: itertools.repeat(SUBSCRIBE + b"pose/"),
    "one letter": lambda: itertools.repeat(SUBSCRIBE + b"p"),
    "distinct topics": lambda: (SUBSCRIBE + topic for topic in _topics(110)),
    "unsubscribe": lambda: (CANCEL + topic for topic in _topics(20)),
    "subscribe and unsubscribe": lambda: itertools.cycle(
        kind + topic for topic in (b"pose/", b"picture/cam0/full/") for kind in (SUBSCRIBE, CANCEL)
    ),
    "empty": lambda: itertools.repeat(b""),
    "garbage": lambda: (b"\x07" + topic for topic in _topics(100)),
    "long topics": lambda: (SUBSCRIBE + topic for topic in _topics(4000)),
}


def _flood(kind: str, endpoint: str, end_s: float) -> None:
    """Send on one connection as fast as possible, and connect again at once when it is cut off."""
    messages = FLOODS[kind]()
    blocks = [b"".join(map(frame, itertools.islice(messages, _BLOCK))) for _ in range(20)]
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), RawPeer(endpoint, minor=0) as peer:
            for block in itertools.cycle(blocks):
                peer.socket.sendall(block)
                if time.monotonic() > end_s:
                    return


def _commands(endpoint: str, end_s: float) -> None:
    """The same with the commands of ZMTP 3.1: pings, and subscriptions."""
    block = b"".join(
        command(b"PING", bytes(2)) + command(b"SUBSCRIBE", topic) for topic in itertools.islice(_topics(60), _BLOCK)
    )
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), RawPeer(endpoint) as peer:
            while time.monotonic() < end_s:
                peer.socket.sendall(block)


def _short(endpoint: str, end_s: float) -> int:
    """Connect, subscribe and leave, over and over."""
    count = 0
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), RawPeer(endpoint) as peer:
            peer.send(SUBSCRIBE + b"pose/")
            count += 1
    return count


def _scan(endpoint: str, end_s: float) -> int:
    """Connect and leave, over and over."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    count = 0
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError):
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            count += 1
    return count


def _below(endpoint: str, end_s: float, connections: int = 300, each_bytes: int = 50_000) -> None:
    """Many connections, each with distinct topics that are just within its allowance, again when it is cut off."""
    size = 100
    open_: list[RawPeer] = []
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError):
            peer = RawPeer(endpoint, minor=0)
            open_.append(peer)
            topics = itertools.islice(_topics(size), each_bytes // (size + 3))
            peer.send(*(SUBSCRIBE + topic for topic in topics))
        if len(open_) > connections:
            open_.pop(0).socket.close()
    for peer in open_:
        peer.socket.close()


def _many_short(endpoint: str, end_s: float, threads: int = 120) -> None:
    """Many subscribers at once, each of which subscribes to a few topics, stays for a moment and leaves."""

    def come_and_go() -> None:
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), RawPeer(endpoint, minor=0) as peer:
                peer.send(*[SUBSCRIBE + b"abcd"] * 40)
                time.sleep(0.05)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(come_and_go)


def _encrypted(kind: str, endpoint: str, end_s: float, folder: Path) -> None:
    """A flood of a reader that has a key. XSUB sends any message upstream; libzmq connects again at once."""
    reader, publisher = load_secret(folder / "reader.key_secret"), load_public(folder / "publisher.key")
    with zmq.Context() as context, context.socket(zmq.XSUB) as flooder:
        flooder.linger, flooder.reconnect_ivl, flooder.sndtimeo = 0, 1, 50
        flooder.curve_publickey, flooder.curve_secretkey = reader.public, reader.secret
        flooder.curve_serverkey = publisher.public
        flooder.connect(endpoint)
        for message in FLOODS[kind]():
            if time.monotonic() > end_s:
                return
            with contextlib.suppress(zmq.Again):
                flooder.send(message)


def _resets(endpoint: str, end_s: float) -> None:
    """Send subscriptions and pings at once and reset the connection, which aborts a libzmq that has stopped reading."""
    for counted in itertools.count():
        if time.monotonic() > end_s:
            return
        count = (20, 100, 300, 2000)[counted % 4]
        block = b"".join(
            command(b"SUBSCRIBE", topic) + command(b"PING", bytes(2)) for topic in itertools.islice(_topics(12), count)
        )
        with contextlib.suppress(OSError), RawPeer(endpoint) as peer:
            peer.socket.sendall(block)
            time.sleep(0.002 * (counted % 5))
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.02)


OTHERS: dict[str, Callable[[str, float], object]] = {
    "commands": _commands,
    "pings and resets": _resets,
    "connections": _short,
    "connections without a handshake": _scan,
    "many within their allowance": _below,
    "many short subscribers": _many_short,
}


def start(kind: str, endpoint: str, seconds: float, folder: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a flood in a process of its own, which ends after these seconds."""
    words = [kind, endpoint, str(seconds), *([str(folder)] if folder else [])]
    return subprocess.Popen([sys.executable, "-m", "tests.faults.rawpeer", *words], cwd=ROOT)


if __name__ == "__main__":
    _kind, _endpoint, _seconds, *_folder = sys.argv[1:]
    _end_s = time.monotonic() + float(_seconds)
    if _folder:
        _encrypted(_kind, _endpoint, _end_s, Path(_folder[0]))
    elif _kind in FLOODS:
        _flood(_kind, _endpoint, _end_s)
    else:
        print(OTHERS[_kind](_endpoint, _end_s))
