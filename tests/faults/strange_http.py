"""Strange cameras that answer HTTP, or that answer nothing sensible: each function returns one."""

from __future__ import annotations

import struct
from collections.abc import Callable

from .peer import Connection, Listener, http_answer
from .strange import FPS, LOGIN, Strange, jpeg, part, resized

URL = "http://127.0.0.1:{port}/video"
MOTION_JPEG = "Content-Type: multipart/x-mixed-replace;boundary=b"


def _motion_jpeg(data: bytes, *fields: str) -> Strange:
    """Sends one JPEG again and again, with these header fields."""

    def serve(connection: Connection) -> None:
        if connection.receive_head():
            connection.send(http_answer(MOTION_JPEG))
            while connection.pause(1 / FPS):
                connection.send(part(data, *fields))

    return Strange(serve, URL)


def parts_without_content_type() -> Strange:
    return _motion_jpeg(jpeg(), f"Content-Length: {len(jpeg())}")


def parts_with_a_wrong_length() -> Strange:
    return _motion_jpeg(jpeg(), "Content-Type: image/jpeg", "Content-Length: -1")


def huge_jpeg() -> Strange:
    return _motion_jpeg(resized(jpeg(), (16000, 16000)))


def part_without_end() -> Strange:
    """Sends one part at 10 MB/s, and never its end."""

    def serve(connection: Connection) -> None:
        if connection.receive_head():
            connection.send(http_answer(MOTION_JPEG) + b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg()[:600])
            while connection.pause(0.01):
                connection.send(b"\x55" * 100_000)

    return Strange(serve, URL)


def text() -> Strange:
    def serve(connection: Connection) -> None:
        if connection.receive_head():
            connection.send(http_answer("Content-Type: text/html", body=b"<h1>Welcome to your camera</h1>" * 100))

    return Strange(serve, URL)


def endless_header() -> Strange:
    def serve(connection: Connection) -> None:
        if connection.receive_head():
            connection.send(b"HTTP/1.1 200 OK\r\n")
            while connection.pause(0.01):
                connection.send(b"X-Odd: 0123456789\r\n" * 500)

    return Strange(serve, URL)


def redirect_loop() -> Strange:
    def serve(connection: Connection) -> None:
        if request := connection.receive_head():
            connection.send(http_answer(f"Location: {request.split()[1]}x", status="302 Found"))

    return Strange(serve, URL, may_connect=100)  # FFmpeg follows 8 of them at each attempt


def redirect_to_a_thief() -> Strange:
    """Redirects to another port, which asks for a Basic login."""

    def ask(connection: Connection) -> None:
        while connection.receive_head():
            connection.send(http_answer('WWW-Authenticate: Basic realm="yours"', status="401 Unauthorized"))

    thief = Listener(ask)

    def serve(connection: Connection) -> None:
        if connection.receive_head():
            connection.send(http_answer(f"Location: http://127.0.0.1:{thief.port}/video", status="302 Found"))

    return Strange(serve, f"http://{LOGIN}@127.0.0.1:{{port}}/video", thief)


def playlist_of_another_port() -> Strange:
    """An HLS playlist whose segments are on another port, which never answers."""
    silent = Listener(Connection.wait_for_end)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines += [f"#EXTINF:1.0,\nhttp://127.0.0.1:{silent.port}/{i}.ts" for i in range(3)]

    def serve(connection: Connection) -> None:
        if connection.receive_head():
            kind = "Content-Type: application/vnd.apple.mpegurl"
            connection.send(http_answer(kind, body="\n".join([*lines, ""]).encode()))

    return Strange(serve, "http://127.0.0.1:{port}/live.m3u8", silent, may_connect=60)


def closes_at_once() -> Strange:
    return Strange(lambda connection: None)


def a_byte_a_second() -> Strange:
    def serve(connection: Connection) -> None:
        for byte in http_answer(MOTION_JPEG) + b"x" * 1000:
            connection.send(bytes([byte]))
            if not connection.pause(1.0):
                return

    return Strange(serve, URL)


def rtmp_garbage() -> Strange:
    """Answers the RTMP handshake with a message that claims 16 MB."""

    def serve(connection: Connection) -> None:
        connection.send(b"\x03" + bytes(3072) + struct.pack(">BI", 3, 0) + b"\xff\xff\xff\x14" + bytes(1000))
        connection.wait_for_end()

    return Strange(serve, "rtmp://127.0.0.1:{port}/live/cam")


HTTP: dict[str, Callable[[], Strange]] = {
    f"http_{make.__name__}": make
    for make in (
        parts_without_content_type, parts_with_a_wrong_length, huge_jpeg, part_without_end, text, endless_header,
        redirect_loop, redirect_to_a_thief, playlist_of_another_port, closes_at_once, a_byte_a_second, rtmp_garbage,
    )
}  # fmt: skip
