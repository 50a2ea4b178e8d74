"""Files that a small HTTP server hands out as it is told, for tests of sources that read over HTTP."""

import contextlib
import http.server
import threading

import pytest

from realtime.capture import follow
from realtime.capture.open import open_source
from realtime.config import CameraConfig


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Load playlists more often than real streams need."""
    monkeypatch.setattr(follow, "SOONEST_S", 0.05)


def opened(url, **keys):
    keys = {"open_timeout_s": 5.0, "read_timeout_s": 5.0} | keys
    return open_source(CameraConfig(name="cam0", source=url, **keys))


@contextlib.contextmanager
def reading(url, **keys):
    source = opened(url, **keys)
    try:
        yield source
    finally:
        source.close()


class Files:
    """Serves files over HTTP, for the duration of a `with` block.

    Args:
        files: by path, with "_" for ".": the content; a number is a status, a text with :// a redirect, and a function
            returns one of these.

    Attributes:
        asked: the path of each request.
        headers: its headers.
    """

    def __init__(self, **files):
        self.files, self.asked, self.headers = files, [], []
        served = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                served.asked.append(self.path)
                served.headers.append(self.headers)
                content = served.files.get(self.path.strip("/").replace(".", "_"), 404)
                content = content() if callable(content) else content
                is_redirect = isinstance(content, str) and "://" in content[:8]
                self.send_response(302 if is_redirect else content if isinstance(content, int) else 200)
                if is_redirect:
                    self.send_header("Location", content)
                body = b"" if is_redirect or isinstance(content, int) else content
                body = body.encode() if isinstance(body, str) else body
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the client has left
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def url(self, path="/live.m3u8", userinfo=""):
        return f"http://{userinfo}127.0.0.1:{self.port}{path}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def growing(name="{}.ts", tags="", first=0):
    """A live playlist that has one more segment each time that it is loaded."""
    count = iter(range(1000))

    def text():
        n = next(count)
        oldest = max(0, n - 4)
        names = "".join(f"#EXTINF:0.4,\n{name.format(first + k)}\n" for k in range(oldest, n + 1))
        return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first + oldest}\n{tags}{names}"

    return text
