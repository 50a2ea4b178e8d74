"""A small Hugging Face hub on loopback, which answers as it is told."""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


class FakeHub(ThreadingHTTPServer):
    """Serves the same files as every repository.

    Attributes:
        files: name -> content.
        status: answer everything with this status, if it is not 200.
        is_hotel: answer everything with a login page.
        sent: how many bytes of a file are sent before the connection is closed; None: all.
        lacking: how many bytes fewer than announced a file has.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.status, self.is_hotel = 200, False
        self.sent: int | None = None
        self.lacking = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a reader that is gone


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        if hub.status != 200:
            gone = {404: "RepoNotFound", 401: "RepoNotFound", 403: "GatedRepo"}.get(hub.status, "")
            return self._answer(b"no", hub.status, {"X-Error-Code": gone})
        if hub.is_hotel:
            return self._answer(b"<html>Welcome to the hotel</html>")
        if self.path == "/":
            return self._answer(b"a hub")
        if self.path.startswith("/api/models/"):
            files = [{"rfilename": name, "size": len(content)} for name, content in hub.files.items()]
            return self._answer(json.dumps({"id": "a/b", "sha": COMMIT, "siblings": files}).encode())
        content = hub.files[self.path.rpartition("/")[2]]
        etag = hashlib.sha256(content).hexdigest()
        return self._answer(content, headers={"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, is_file=True)

    def _answer(
        self, body: bytes, status: int = 200, headers: dict[str, str] | None = None, is_file: bool = False
    ) -> None:
        hub, is_head = self.server, self.command == "HEAD"
        if asked := re.match(r"bytes=(\d+)-", self.headers.get("Range", "")):
            body, status = body[int(asked[1]) :], 206
        if is_file and not is_head and hub.lacking:
            body = body[: len(body) - hub.lacking]
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not is_head:
            self.wfile.write(body[: hub.sent] if is_file else body)

    def log_message(self, text: str, *arguments: object) -> None:
        pass
