"""A live camera on loopback that sends FLV, over HTTP to each client or to an RTMP server, with marked frames.

Frame k leaves at began + k / fps and shows the number k.
"""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import subprocess
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .marks import Clock, mark

LOOP = 60_000  # far longer than any test: the numbers don't repeat
# nginx with its RTMP module: apt-get install nginx libnginx-mod-rtmp
RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


class FlvCamera:
    """Serves http://127.0.0.1:PORT/live.flv for the duration of a `with` block.

    Args:
        stored_s: seconds of stored video that each client gets first, as from a server that keeps the last frames.
        fps: frames per second.
        key_every: distance between key frames, in frames.
        size: width and height.
    """

    def __init__(
        self, stored_s: float = 0.0, fps: int = 25, key_every: int = 25, size: tuple[int, int] = (160, 120)
    ) -> None:
        self.stored_s, self.fps, self.key_every, self.size = stored_s, fps, key_every, size
        # As if it had been running for long: the stored frames have numbers, too.
        self.clock = Clock(time.monotonic() - 100.0, time.time() - 100.0, fps, LOOP)
        self.over = threading.Event()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/x-flv")
                self.end_headers()
                with contextlib.suppress(OSError, av.FFmpegError):  # the client has left
                    camera.send(self.wfile)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> FlvCamera:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/live.flv"

    def send(self, to: Any) -> None:
        """Send FLV to a file or a URL: the stored video at once, then each frame when it leaves."""
        with av.open(to, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as container:
            stream = container.add_stream("libx264", rate=self.fps)
            stream.width, stream.height, stream.pix_fmt = *self.size, "yuv420p"
            stream.options = {
                "preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": str(self.key_every), "threads": "1",
            }  # fmt: skip
            k = first = int((time.monotonic() - self.stored_s - self.clock.began_mono_s) * self.fps)
            while not self.over.is_set():
                self.over.wait(max(0.0, self.clock.left_mono_s(k) - time.monotonic()))
                image = np.full((self.size[1], self.size[0], 3), 128, np.uint8)
                mark(image, k % LOOP)
                frame = av.VideoFrame.from_ndarray(image, "bgr24")
                frame.pts, frame.time_base = k - first, Fraction(1, self.fps)
                container.mux(stream.encode(frame))
                k += 1


@contextlib.contextmanager
def rtmp_server(camera: FlvCamera, folder: Path) -> Any:
    """Run nginx as an RTMP server to which this camera sends; yield the URL of the stream."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    conf = folder / "nginx.conf"
    conf.write_text(
        f"load_module {RTMP_MODULE};\ndaemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; wait_key on; }} }} }}\n"
    )
    url = f"rtmp://127.0.0.1:{port}/live/cam"
    nginx = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-e", f"{folder}/error.log", "-c", str(conf)])
    try:
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        sender = threading.Thread(target=camera.send, args=(url,), daemon=True)
        sender.start()
        time.sleep(1.5)  # nginx accepts players before the stream is there, and leaves them without video
        yield url
        camera.over.set()
        sender.join(30)
    finally:
        nginx.kill()
        nginx.wait()
