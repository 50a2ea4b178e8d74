"""Strange RTSP cameras, by name: each function returns a camera that does one strange thing."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

from .clip import Clip
from .peer import Connection, Listener, Rtsp, description, interleaved, live, packets, rtsp_answer
from .strange import FPS, LOGIN, Strange, clip, with_sps

# Two sizes of one aspect ratio and one of another.
SIZES = ((160, 120), (320, 240), (240, 160))


def latin1_session_name() -> Strange:
    return Strange(Rtsp(description(clip()).replace(b"s=strange", b"s=K\xfcche"), live(clip())))


def unknown_codec() -> Strange:
    return Strange(Rtsp(description(clip()).replace(b"H264/90000", b"X-ODD/90000"), live(clip())))


def codec_without_a_decoder() -> Strange:
    """A codec that FFmpeg knows by name, but can't decode."""
    return Strange(Rtsp(description(clip()).replace(b"H264/90000", b"X-QDM/90000"), live(clip())))


def sdp_without_end() -> Strange:
    def endless(connection: Connection) -> None:
        while connection.pause(0.01):
            connection.send(b"a=x-line:0123456789\r\n" * 500)

    def serve(connection: Connection) -> None:
        while request := connection.receive_head():
            if not request.startswith("DESCRIBE"):
                connection.send(rtsp_answer(request, "200 OK"))
                continue
            fields = "Content-Type: application/sdp", "Content-Length: 2000000000"
            connection.send(rtsp_answer(request, "200 OK", *fields) + description(clip()))
            endless(connection)

    return Strange(serve)


def sdp_of_a_megabyte() -> Strange:
    return Strange(Rtsp(description(clip(), *[f"a=x-odd{i}:{'x' * 990}" for i in range(1000)]), live(clip())))


def odd_colour_matrix() -> Strange:
    odd = with_sps(lambda sps: sps.colour(8))
    return Strange(Rtsp(description(odd), live(odd)))


def huge_pictures() -> Strange:
    """Claims 16384 x 16000 pixels: FFmpeg itself refuses 16384 x 16384."""
    odd = with_sps(lambda sps: sps.resize(16384, 16000))
    return Strange(Rtsp(description(odd), live(odd)))


def changing_size() -> Strange:
    """Changes its size each second, in each key frame."""
    clips = [clip(size) for size in SIZES]
    pictures = [picture for each in clips for picture in each.pictures[:FPS]]
    mixed = Clip(SIZES[0], pictures)
    return Strange(Rtsp(description(mixed), live(mixed)), may_log=25)


def redirect_loop() -> Strange:
    def serve(connection: Connection) -> None:
        while request := connection.receive_head():
            moved = [f"Location: {request.split()[1]}"] if request.startswith("DESCRIBE") else []
            connection.send(rtsp_answer(request, "302 Found" if moved else "200 OK", *moved))

    return Strange(serve)


def redirect_to_a_thief() -> Strange:
    """Redirects to another port, which asks for a Basic login."""

    def ask(connection: Connection) -> None:
        while request := connection.receive_head():
            connection.send(rtsp_answer(request, "401 Unauthorized", 'WWW-Authenticate: Basic realm="yours"'))

    thief = Listener(ask)

    def serve(connection: Connection) -> None:
        while request := connection.receive_head():
            moved = [f"Location: rtsp://127.0.0.1:{thief.port}/cam"] if request.startswith("DESCRIBE") else []
            connection.send(rtsp_answer(request, "302 Found" if moved else "200 OK", *moved))

    return Strange(serve, f"rtsp://{LOGIN}@127.0.0.1:{{port}}/cam", thief)


def login_that_never_succeeds() -> Strange:
    """Asks for the login again and again, each time with another nonce."""
    numbers = random.Random(0)

    def serve(connection: Connection) -> None:
        while request := connection.receive_head():
            asked = f'WWW-Authenticate: Digest realm="odd", nonce="{numbers.getrandbits(64):x}", stale="true"'
            connection.send(rtsp_answer(request, "401 Unauthorized", asked))

    return Strange(serve, f"rtsp://{LOGIN}@127.0.0.1:{{port}}/cam", may_connect=2)


def garbage_after_play() -> Strange:
    def garbage(connection: Connection) -> None:
        numbers = random.Random(0)
        while connection.pause(0.04):
            connection.send(numbers.randbytes(2000))

    return Strange(Rtsp(description(clip()), garbage))


def unknown_payload_type() -> Strange:
    return Strange(Rtsp(description(clip()), live(clip(), payload_type=97)))


def pictures_without_end() -> Strange:
    """Sends the fragments of one unit that never ends."""

    def media(connection: Connection) -> None:
        head = next(packets(clip()))[0][:12]
        while connection.pause(0.01):
            connection.send(interleaved(head + b"\x7c\x05" + bytes(1200)) * 20)

    return Strange(Rtsp(description(clip()), media))


def no_key_frame() -> Strange:
    """Sends no key frame and no parameter sets."""
    later = Clip(clip().size, clip().pictures)
    later.payloads = [frame for k, frame in enumerate(later.payloads) if k % FPS]
    without_sets = description(clip()).replace(b"sprop-parameter-sets", b"x-sets")
    return Strange(Rtsp(without_sets, live(later)))


def udp_alone() -> Strange:
    def change(method: str, answer: bytes) -> bytes:
        return answer.replace(b"200 OK", b"461 Unsupported Transport") if method == "SETUP" else answer

    return Strange(Rtsp(description(clip()), live(clip()), change))


def stops_in_the_middle() -> Strange:
    """Closes the connection after a second of video."""

    def media(connection: Connection) -> None:
        for frame in islice(packets(clip()), FPS):
            if connection.pause(1 / FPS):
                connection.send(b"".join(map(interleaved, frame)))

    return Strange(Rtsp(description(clip()), media), may_log=25)


RTSP: dict[str, Callable[[], Strange]] = {
    make.__name__: make
    for make in (
        latin1_session_name, unknown_codec, codec_without_a_decoder, sdp_without_end, sdp_of_a_megabyte,
        odd_colour_matrix, huge_pictures, changing_size, redirect_loop, redirect_to_a_thief, login_that_never_succeeds,
        garbage_after_play, unknown_payload_type, pictures_without_end, no_key_frame, udp_alone, stops_in_the_middle,
    )
}  # fmt: skip
