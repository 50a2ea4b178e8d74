"""A small HTTP server for tests, which answers each request with whatever bytes a function writes."""

import socketserver
import threading
from collections.abc import Callable

import cv2
import numpy as np

Write = Callable[[bytes], object]


def jpeg(value: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    return cv2.imencode(".jpg", np.full((size[1], size[0], 3), value, np.uint8))[1].tobytes()


def part(body: bytes, *fields: str, boundary: str = "--frame", length: int | None = -1) -> bytes:
    """One part of a stream. `length` is the declared one: the right one if it is -1, none if it is None."""
    lines = [boundary, *(fields or ("Content-Type: image/jpeg",))]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body + b"\r\n"


class HttpCamera:
    """Serves a multipart stream on loopback.

    Args:
        respond: writes the body of a response; called with a function that sends bytes, which raises OSError once the
            client is gone.
        kind: the Content-Type.

    Attributes:
        requests: the request line of each request.
        gone: set when a client went before its response ended.
    """

    def __init__(self, respond: Callable[[Write], None], kind: str = "multipart/x-mixed-replace; boundary=frame"):
        self.requests: list[str] = []
        self.gone = threading.Event()
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                camera.requests.append(self.rfile.readline().decode())
                while self.rfile.readline().strip():
                    pass
                try:
                    self.request.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
                    respond(self.request.sendall)
                except OSError:
                    camera.gone.set()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/video"

    def __enter__(self) -> "HttpCamera":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
