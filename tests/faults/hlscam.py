"""A live HLS server on loopback that fails on command: FFmpeg's own segmenter, fed with marked frames in real time.

Capture reads from it in place of a real server. Frame k leaves at began + k / fps and shows the number k % loop.
"""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from .marks import Clock, mark

LOOP = 60_000  # far longer than any test: the numbers don't repeat


class HlsCamera:
    """Serves http://127.0.0.1:PORT/live.m3u8 for the duration of a `with` block.

    Args:
        folder: where the segments are written.
        size: width and height.
        fps: frames per second.
        segment_s: duration of a segment in seconds.
        has_dates: whether the playlist has EXT-X-PROGRAM-DATE-TIME.
        fmp4: fragmented MP4 instead of MPEG-TS.
        b_frames: number of B-frames in a row.
        clock_offset_s: error of the playlist's clock in seconds.
        login: user and password that clients must send (Basic).

    Attributes:
        clock: the true times of the frames.
        asked: the path of each request, in order.
        edit: changes the text of each playlist before it is sent.
        fails: for a path, the HTTP status to answer instead of the file, or None.
        wait_s: delay of each answer in seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size: tuple[int, int] = (160, 120),
        fps: int = 25,
        segment_s: float = 1.0,
        has_dates: bool = True,
        fmp4: bool = False,
        b_frames: int = 0,
        clock_offset_s: float = 0.0,
        login: str | None = None,
    ) -> None:
        self.folder, self.size, self.fps, self.segment_s = folder, size, fps, segment_s
        self.has_dates, self.fmp4, self.b_frames, self.clock_offset_s = has_dates, fmp4, b_frames, clock_offset_s
        self.login = login
        self.asked: list[str] = []
        self.edit: Callable[[str], str] = lambda text: text
        self.fails: Callable[[str], int | None] = lambda path: None
        self.wait_s = 0.0
        self._frozen, self._is_still, self._over = threading.Event(), threading.Event(), threading.Event()
        self._restarts_with: tuple[int, int] | None = None
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.clock = Clock(time.monotonic(), time.time(), fps, LOOP)
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hls-server", daemon=True),
            threading.Thread(target=self._film, name="hls-camera", daemon=True),
        ]

    def __enter__(self) -> HlsCamera:
        self.clock = Clock(time.monotonic(), time.time(), self.fps, LOOP)
        for thread in self._threads:
            thread.start()
        end_s = time.monotonic() + 20
        while not (self.folder / "live.m3u8").exists():
            assert time.monotonic() < end_s, "the segmenter wrote no playlist"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(10)

    def url(self, userinfo: str = "", path: str = "/live.m3u8") -> str:
        return f"http://{userinfo}127.0.0.1:{self.port}{path}"

    def freeze(self) -> None:
        """Make no more segments; the playlist stays. The frame that is being made comes before this returns."""
        self._frozen.set()
        assert self._is_still.wait(20)

    def thaw(self) -> None:
        self._frozen.clear()
        self._is_still.clear()

    def restart(self, size: tuple[int, int]) -> None:
        """Go on with another size after a discontinuity, with timestamps from 0 on."""
        self._restarts_with = size

    def end(self) -> None:
        """End the stream: EXT-X-ENDLIST."""
        self._over.set()

    def text(self, name: str) -> bytes:
        """The content of a file as it is sent."""
        content = (self.folder / name).read_bytes()
        if not name.endswith(".m3u8"):
            return content
        text = content.decode()
        if not self._over.is_set():  # the segmenter writes this line when it is restarted, too
            text = text.replace("#EXT-X-ENDLIST\n", "")
        if self.clock_offset_s:
            text = re.sub(r"(?<=PROGRAM-DATE-TIME:)\S+", self._shifted, text)
        return self.edit(text).encode()

    def _shifted(self, found: re.Match[str]) -> str:
        return (datetime.fromisoformat(found[0]) + timedelta(seconds=self.clock_offset_s)).isoformat()

    def _film(self) -> None:
        k, flags = 0, ["independent_segments", "temp_file", *(["program_date_time"] if self.has_dates else [])]
        while not self._over.is_set():
            self._restarts_with, began_k = None, k
            muxer = {
                "hls_time": str(self.segment_s), "hls_list_size": "5", "hls_flags": "+".join(flags),
                "hls_segment_type": "fmp4" if self.fmp4 else "mpegts",
                "hls_segment_filename": str(self.folder / f"part{k}-%d.{'m4s' if self.fmp4 else 'ts'}"),
                "hls_fmp4_init_filename": f"init{k}.mp4",
            }  # fmt: skip
            with av.open(str(self.folder / "live.m3u8"), "w", format="hls", options=muxer) as container:
                stream = container.add_stream("libx264", rate=self.fps)
                stream.width, stream.height, stream.pix_fmt = *self.size, "yuv420p"
                key_every = max(1, round(self.segment_s * self.fps))
                tune = {"tune": "zerolatency", "bf": "0"} if not self.b_frames else {"bf": str(self.b_frames)}
                stream.options = {
                    "preset": "ultrafast",
                    "g": str(key_every),
                    "sc_threshold": "0",
                    "threads": "1",
                } | tune
                while not self._over.is_set() and not (self._restarts_with and (k - began_k) % key_every == 0):
                    if self._frozen.is_set():
                        self._is_still.set()
                        self._over.wait(0.02)
                        k = int((time.monotonic() - self.clock.began_mono_s) * self.fps) + 1
                        continue
                    self._over.wait(self.clock.left_mono_s(k) - time.monotonic())
                    image = np.full((self.size[1], self.size[0], 3), 128, np.uint8)
                    mark(image, k % LOOP)
                    frame = av.VideoFrame.from_ndarray(image, "bgr24")
                    frame.pts, frame.time_base = k - began_k, Fraction(1, self.fps)
                    container.mux(stream.encode(frame))
                    k += 1
                container.mux(stream.encode())
            if self._restarts_with:
                self.size = self._restarts_with
                flags = [*flags, "append_list", "discont_start"]
                text = (self.folder / "live.m3u8").read_text()
                (self.folder / "next.m3u8").write_text(text.replace("#EXT-X-ENDLIST\n", ""))
                (self.folder / "next.m3u8").replace(self.folder / "live.m3u8")


def _handler(camera: HlsCamera) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            camera.asked.append(self.path)
            if camera.wait_s:
                camera._over.wait(camera.wait_s)
            if camera.login is not None and self.headers.get("Authorization") != camera.login:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="hls"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = camera.fails(path)
            try:
                content = camera.text(path) if status is None else b""
            except OSError:
                status, content = 404, b""
            self.send_response(status or 200)
            self.send_header("Content-Length", str(len(content)))
            if content.startswith(b"#EXTM3U"):
                self.send_header("Content-Type", "application/vnd.apple.mpegurl")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
