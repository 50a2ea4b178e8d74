"""The same files over a pipe and over HTTP: they give what the file gives, or one line."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from realtime.capture.timeline import NUDGE_S
from realtime.errors import RealtimeError, SourceReason
from realtime.types import Frame

from .check import Played, play
from .clip import NotMade
from .combination import Combination, Outcome, combinations
from .containers import CONTAINERS

# How a file is sent, and the row of the table.
WAYS = {
    "pipe": "over a pipe",
    "http": "over HTTP",
    "http-without-length": "over HTTP, without a length",
    "http-cut": "over HTTP, connection cut",
}
# Besides a plain file of each container: what needs the start or the end of a file, or its times.
TRAITS = ("b_frames_2", "starts_at_5s", "gap_of_an_hour", "matrix_6", "no_index", "cut_at_60")
KEPT = 0.6


@dataclass(frozen=True)
class Sent:
    """A combination, and the way in which its file is sent: a key of WAYS."""

    combination: Combination
    way: str

    @property
    def name(self) -> str:
        return f"{self.combination.name}-over-{self.way}"

    @property
    def group(self) -> str:
        return WAYS[self.way]

    def run(self, folder: Path) -> Outcome:
        """Write the file, read it and what is sent of it, and compare the two."""
        try:
            path, _, right = self.combination.write(folder)
        except NotMade as error:
            return Outcome(self.name, self.group, "not made", str(error))
        whole = play(path)
        with _piped(path) if self.way == "pipe" else _served(path, self.way) as address:
            got = play(address)
        faults = "; ".join(_faults(got, whole, self, len(right.numbers)))
        refused = str(got.error or got.lost or "")
        return Outcome(
            self.name, self.group, "wrong" if faults else "refused" if refused else "right", faults or refused
        )


@cache
def sent() -> list[Sent]:
    """Return all files that are sent: those of each container, and the oddest of three."""
    names = [f"{name}-{container.codecs[0]}-plain" for name, container in CONTAINERS.items() if name != "avif"]
    names += [f"{container}-h264-{trait}" for container in ("mp4", "faststart", "mkv", "ts") for trait in TRAITS]
    return [
        Sent(combinations()[name], way)
        for name in names
        for way in WAYS
        if way == "pipe" or not name.startswith(("gif", "apng"))  # an image at a URL is a snapshot
    ]


def _faults(got: Played, whole: Played, of: Sent, written: int) -> Iterator[str]:
    """Yield how the result differs from that of the file, in which this many pictures were written."""
    container = CONTAINERS[of.combination.container]
    must_be_whole = of.way == "http" or (of.way == "pipe" and container.piped)
    error = got.error
    if error is not None:
        if not isinstance(error, RealtimeError) or getattr(error, "reason", None) is SourceReason.INTERNAL:
            yield f"a traceback: {type(error).__name__}: {error}"
        elif "\n" in str(error):
            yield f"an error of several lines: {error!r}"
        elif must_be_whole and whole.error is None:
            yield f"exit {got.code}, expected 0: {error}"
    elif (
        got.lost is None
        and (whole.error is not None or of.way == "http-cut")
        and (container.declares or of.way == "pipe")  # over HTTP, only FFmpeg sees the parts of the file
        and len(got.frames) < written - 2  # capture.complete: two may lack
    ):
        yield f"{written - len(got.frames)} pictures lack, but it ends with exit 0"
    places = _places(got.frames, whole.frames)
    if len(places) < len(got.frames) - (of.way == "http-cut"):  # the connection may be cut within a picture
        yield f"picture {len(places)} is none of the file, or in the wrong place"
    elif got.live:
        return  # it drops what comes late, and is read as of its arrival
    elif places != list(range(len(places))) or (error is None and got.lost is None and len(places) < len(whole.frames)):
        yield f"pictures: got {places}, the file gives {len(whole.frames)}"
    elif not container.is_sparse:
        yield from _times(got.frames[: len(places)], whole.frames, container.shifts)


def _places(frames: list[Frame], whole: list[Frame]) -> list[int]:
    """Return where the pictures are among those of the file, up to the first that isn't there."""
    places: list[int] = []
    for frame in frames:
        later = range(places[-1] + 1 if places else 0, len(whole))
        place = next((place for place in later if np.array_equal(whole[place].image, frame.image)), None)
        if place is None:
            break
        places.append(place)
    return places


def _times(frames: list[Frame], whole: list[Frame], shifts: bool) -> Iterator[str]:
    """Yield the first `media_s` that differs; by a constant it may if the container doesn't store where it begins."""
    pairs = [(frame.media_s, same.media_s) for frame, same in zip(frames, whole, strict=False)]
    if not pairs or pairs[0] == (None, None):
        return
    offset_s = pairs[0][0] - pairs[0][1] if shifts else 0.0
    for place, (got, same) in enumerate(pairs):
        if abs(got - same - offset_s) > NUDGE_S:
            yield f"media_s of picture {place}: got {got}, the file gives {same}"
            return


@contextlib.contextmanager
def _piped(path: Path) -> Iterator[str]:
    """A named pipe, and a thread that writes the file to it until its reader is gone."""
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), pipe.open("wb") as out:
            out.write(path.read_bytes())

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield str(pipe)
    writer.join(10)


@contextlib.contextmanager
def _served(path: Path, way: str) -> Iterator[str]:
    """A server of one file. It can seek only if it tells the length."""
    data = path.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(asked[1]) if asked and way == "http" else 0
            if asked and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if asked and way == "http" else 200)
            if way != "http-without-length":
                self.send_header("Content-Length", str(len(data) - start))
            if way == "http":
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            end = int(len(data) * KEPT) if way == "http-cut" else len(data)
            with contextlib.suppress(OSError):  # the client has left
                self.wfile.write(data[start:end])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
    finally:
        server.shutdown()
        server.server_close()
