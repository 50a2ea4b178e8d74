"""Makes inputs: valid answers of cameras with a few changes, and the servers that send them.

Each kind is a function that takes a Mutator and a folder, and yields the address to open while its servers run.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.capture.clips import write_clip
from tests.faults.peer import Connection, Listener, Rtsp, Serve, description, http_answer, interleaved, packets
from tests.faults.sps import Sps
from tests.faults.strange import clip, jpeg, part, with_sps
from tests.faults.strange_http import MOTION_JPEG

from .mutate import Mutator

# Frames that a camera sends at once. Tests read no more, so nothing has to be paced.
FRAMES = 16
SOUND = (
    "m=audio 0 RTP/AVP 97",
    "a=rtpmap:97 MPEG4-GENERIC/16000/1",
    "a=fmtp:97 mode=AAC-hbr;config=1408",
    "a=control:1",
)
Make = Callable[[Mutator, Path], "contextlib.AbstractContextManager[str]"]


def _rtsp(sdp: bytes, media: Serve, change: Callable[[str, bytes], bytes] | None = None) -> Iterator[str]:
    rtsp = Rtsp(sdp, media) if change is None else Rtsp(sdp, media, change)
    with Listener(rtsp) as server:
        yield f"rtsp://127.0.0.1:{server.port}/cam"


def _burst(mutator: Mutator, data: bytes) -> Serve:
    """Send all media at once; then half of the cameras close the connection and half are silent."""
    closes = mutator.random.random() < 0.5

    def send(connection: Connection) -> None:
        connection.send(data)
        if not closes:
            connection.wait_for_end()

    return send


def _media(frames: list[list[bytes]]) -> bytes:
    return b"".join(interleaved(packet) for frame in frames for packet in frame)


@functools.cache
def _good_media() -> bytes:
    return _media(list(itertools.islice(packets(clip()), FRAMES)))


@contextlib.contextmanager
def sdp(mutator: Mutator, folder: Path) -> Iterator[str]:
    more = ("i=gate", "b=AS:500", "a=range:npt=0-", "a=framerate:25.0", "a=x-dimensions:160,120", *SOUND)
    good = description(clip(), *mutator.random.choice((more, more, ()))).replace(b"s=strange", b"s=a camera (1)")
    yield from _rtsp(mutator.text(good), _burst(mutator, _good_media()))


@contextlib.contextmanager
def rtsp(mutator: Mutator, folder: Path) -> Iterator[str]:
    """Change the answer to one of the requests."""
    changed = mutator.random.choice(("OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"))
    good = description(clip())
    seed = mutator.random.getrandbits(32)

    def change(method: str, answer: bytes) -> bytes:
        if method != changed:
            return answer
        head, end, body = answer.partition(b"\r\n\r\n")
        return Mutator(seed).text(head + end) + body

    mutator.done.append(changed)
    yield from _rtsp(good, _burst(mutator, _good_media()), change)


@contextlib.contextmanager
def rtp(mutator: Mutator, folder: Path) -> Iterator[str]:
    """Change some packets, and lose, repeat or move others."""
    frames = list(itertools.islice(packets(clip()), FRAMES))
    flat = [packet for frame in frames for packet in frame]
    for _ in range(mutator.random.randint(1, 6)):
        at = mutator.random.randrange(len(flat))
        packet = flat.pop(at)
        changed = mutator.binary(packet, within=mutator.random.choice((12, 16, 60, None)))[:65535]
        flat[at:at] = mutator.random.choice(([], [changed], [changed], [changed], [packet, packet]))
    data = b"".join(interleaved(packet, mutator.random.choice((0, 0, 0, 0, 0, 0, 1, 7))) for packet in flat)
    if mutator.random.random() < 0.2:
        data = mutator.binary(data)  # the frames around the packets too
    yield from _rtsp(description(clip()), _burst(mutator, data))


@contextlib.contextmanager
def sps(mutator: Mutator, folder: Path) -> Iterator[str]:
    """Change fields or bits of the parameter set."""

    def change(unit: Sps) -> None:
        way = mutator.random.randrange(4)
        if way == 0:
            unit.colour(mutator.random.randrange(256))
        elif way == 1:
            unit.resize(*(16 * mutator.random.choice((1, 2, 8, 100, 600, 1000, 1023)) for _ in range(2)))
        elif way == 2:
            at = mutator.random.randrange(len(unit.rest))
            unit.rest = unit.rest[:at] + str(1 - int(unit.rest[at])) + unit.rest[at + 1 :]
        else:
            name = mutator.random.choice(list(unit.fields))
            unit.fields[name] = mutator.random.choice((0, 1, 2, 3, 16, 32, 100, 244, 255, 65535))
        mutator.done.append(("colour", "resize", "bit", "field")[way])

    odd = with_sps(change)
    frames = list(itertools.islice(packets(odd), FRAMES))
    yield from _rtsp(description(odd), _burst(mutator, _media(frames)))


def _http(mutator: Mutator, answer: bytes) -> Iterator[str]:
    send = _burst(mutator, answer)

    def serve(connection: Connection) -> None:
        if connection.receive_head():
            send(connection)

    with Listener(serve) as server:
        yield f"http://127.0.0.1:{server.port}/video"


@contextlib.contextmanager
def mjpeg(mutator: Mutator, folder: Path) -> Iterator[str]:
    """Change the headers of the answer, of a part, or of a picture."""
    pictures = [jpeg()] * 4
    head = http_answer(MOTION_JPEG)
    parts = [part(data) for data in pictures]
    where = mutator.random.choice(("answer", "part", "part", "picture", "picture"))
    mutator.done.append(where)
    at = mutator.random.randrange(len(parts))
    if where == "answer":
        head = mutator.text(head)
    elif where == "part":
        header, end, body = parts[at].partition(b"\r\n\r\n")
        parts[at] = mutator.text(header + end) + body
    else:
        parts[at] = part(mutator.binary(pictures[at], within=mutator.random.choice((20, 200, 620, None))))
    yield from _http(mutator, head + b"".join(parts))


@contextlib.contextmanager
def http(mutator: Mutator, folder: Path) -> Iterator[str]:
    """A file or a live stream over HTTP, of which the headers or the content changed."""
    data = _clip(mutator.random.choice(("ts", "mp4", "mkv", "jpg")), folder).read_bytes()
    fields = ["Content-Type: video/mp2t", f"Content-Length: {len(data)}"][: mutator.random.randint(0, 2)]
    if mutator.random.random() < 0.5:
        yield from _http(mutator, mutator.text(http_answer(*fields)) + data)
    else:
        yield from _http(mutator, http_answer(*fields) + mutator.binary(data, within=400))


@contextlib.contextmanager
def hls(mutator: Mutator, folder: Path) -> Iterator[str]:
    """A live playlist, changed, or one with changed segments."""
    segment = _clip("ts", folder).read_bytes()
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:7"]
    for i in range(3):
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:2026-11-28T12:00:0{i}.000Z", "#EXTINF:1.0,", f"/{i}.ts"]
    playlist = "\n".join([*lines, ""]).encode()
    if mutator.random.random() < 0.7:
        playlist = mutator.text(playlist)
    else:
        segment = mutator.binary(segment, within=400)

    def serve(connection: Connection) -> None:
        if request := connection.receive_head():
            is_playlist = ".m3u8" in request.partition("\n")[0]
            kind = "Content-Type: " + ("application/vnd.apple.mpegurl" if is_playlist else "video/mp2t")
            connection.send(http_answer(kind, body=playlist if is_playlist else segment))

    with Listener(serve) as server:
        yield f"http://127.0.0.1:{server.port}/live.m3u8"


@functools.cache
def _clip(suffix: str, folder: Path) -> Path:
    path = folder / f"good.{suffix}"
    if suffix == "jpg":
        path.write_bytes(jpeg())
        return path
    return write_clip(
        path, codec="mjpeg" if suffix == "avi" else "libx264", pix_fmt="yuvj420p" if suffix == "avi" else "yuv420p"
    )


@contextlib.contextmanager
def file(mutator: Mutator, folder: Path) -> Iterator[str]:
    """A video or an image, changed near its start or anywhere."""
    suffix = mutator.random.choice(("mp4", "mkv", "avi", "ts", "jpg"))
    mutator.done.append(suffix)
    path = folder / f"odd.{suffix}"
    path.write_bytes(mutator.binary(_clip(suffix, folder).read_bytes(), within=mutator.random.choice((64, 1000, None))))
    yield str(path)


@contextlib.contextmanager
def playlist_file(mutator: Mutator, folder: Path) -> Iterator[str]:
    """A local file that names another address, which must not be opened.

    Raises:
        AssertionError: it was opened.
    """
    suffix = mutator.random.choice(("m3u8", "ffconcat", "mpd", "sdp", "mp4", "avi", "txt"))
    with Listener(Connection.wait_for_end) as server:
        url = f"http://127.0.0.1:{server.port}/0.ts"
        kinds = {
            "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{url}\n#EXT-X-ENDLIST\n",
            "ffconcat": f"ffconcat version 1.0\nfile '{url}'\nfile '/etc/hostname'\n",
            "sdp": f"v=0\nc=IN IP4 127.0.0.1\nm=video {server.port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        }
        kind = mutator.random.choice(list(kinds))
        text = kinds[kind].encode()
        mutator.done += [kind, suffix]
        path = folder / f"odd.{suffix}"
        path.write_bytes(text if mutator.random.random() < 0.4 else mutator.text(text))
        yield str(path)
        assert not server.connections, "a local playlist opened another address"


# Inputs take these in turns.
KINDS: list[Make] = [sdp, rtp, mjpeg, sps, rtsp, sdp, rtp, mjpeg, sps, http, hls, file, playlist_file]
