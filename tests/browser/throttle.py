"""A slow link between a viewer and the live page: a TCP proxy on loopback with a limited rate. It needs no root.

    with Throttle(port=8080, bits_per_s=1e6) as link:
        ...  # connect to 127.0.0.1:{link.port} instead of 8080

Both directions have the same rate, and all connections share it. The proxy itself holds little: what the rate doesn't
let through stays in the sender's buffers, as on a real link.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time

# Bytes that the proxy reads at a time, and the size of its buffers in the kernel (which doubles the number): about as
# much as a home router queues for a slow link, 0.26 s at 1 Mbit/s.
CHUNK = 4096
KERNEL_BUFFER = 8192
# The rate is kept over this time (s): a burst can't be longer.
BURST_S = 0.02


class Bucket:
    """A token bucket: `take` waits until this many bytes may pass. Use one per direction, from any thread."""

    def __init__(self, bits_per_s: float) -> None:
        self._bytes_per_s = bits_per_s / 8
        self._lock = threading.Lock()
        self._free_at_s = time.monotonic()

    def take(self, count: int) -> None:
        with self._lock:
            now_s = time.monotonic()
            begins_s = max(self._free_at_s, now_s - BURST_S)
            self._free_at_s = begins_s + count / self._bytes_per_s
            wait_s = self._free_at_s - now_s
        if wait_s > 0:
            time.sleep(wait_s)


class Throttle:
    """A proxy for the duration of a `with` block. `passed` counts the bytes that went to the viewer.

    Args:
        port: the port on 127.0.0.1 to which connections are passed on.
        bits_per_s: the rate in each direction.
    """

    def __init__(self, port: int, bits_per_s: float) -> None:
        self._target = port
        self.passed = 0
        self._up, self._down = Bucket(bits_per_s), Bucket(bits_per_s)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Throttle:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="throttle", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                viewer = self._listener.accept()[0]
                self._start(self._join, viewer)

    def _join(self, viewer: socket.socket) -> None:
        """Copy both directions of one connection until either side closes it."""
        with viewer, socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BUFFER)
            with contextlib.suppress(OSError):
                server.connect(("127.0.0.1", self._target))
                for side in (viewer, server):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._copy, viewer, server, self._up)
                self._copy(server, viewer, self._down)
            for side in (viewer, server):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def _copy(self, source: socket.socket, sink: socket.socket, bucket: Bucket) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            selector.register(source, selectors.EVENT_READ)
            while not self._over.is_set():
                if not selector.select(0.1):
                    continue
                data = source.recv(CHUNK)
                if not data:
                    break
                bucket.take(len(data))
                sink.sendall(data)
                if bucket is self._down:
                    self.passed += len(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
