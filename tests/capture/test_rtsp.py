"""RTSP servers that redirect, ask for a login or send too much, opened as the program does."""

import asyncio
import itertools
import socket
import time

import pytest

from realtime.capture.stream import StreamSource
from realtime.errors import SourceReason
from tests.faults.fakecam import FakeCamera
from tests.faults.session import GROUP

from .servers import SDP, Scripted, opened, reply

BASIC = 'WWW-Authenticate: Basic realm="x"'


def url(server, login="admin:s3cr3t@", path="/cam"):
    return f"rtsp://{login}127.0.0.1:{server.port}{path}"


def answering(status, *fields, body="", method="DESCRIBE"):
    """Answer one method so, and all others with 200."""
    return lambda asked: reply(asked, status, *fields, body=body) if asked.method == method else reply(asked, "200 OK")


def wants_login(asked):
    return reply(asked, "401 Unauthorized", BASIC)


def redirecting(to, only_with_login=False, method="DESCRIBE"):
    def answer(asked):
        if asked.method != method:
            return reply(asked, "200 OK")
        if only_with_login and not asked.login:
            return wants_login(asked)
        return reply(asked, "302 Moved", f"Location: {to}")

    return answer


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
@pytest.mark.parametrize("only_with_login", [False, True])
def test_a_redirect_to_another_port_that_asks_for_a_login_gets_none(only_with_login, method):
    with Scripted(wants_login) as other:
        redirects = redirecting(url(other, login=""), only_with_login and method == "DESCRIBE", method)
        with Scripted(redirects) as camera:
            error = opened(url(camera))
    assert error.reason is SourceReason.AUTH
    assert "requires a login: configure that address directly" in str(error)
    assert other.asked
    assert not other.logins


PACKET = b"$\x00\x00\x05hello"
REQUEST = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (b"", "RTSP/1.0  302 Moved"),
        (b"", "RTSP/1.0\t302"),
        (b"", " RTSP/1.0 +0302x Moved"),
        (b"", "RTSP/2.0 302"),
        (PACKET + PACKET, "RTSP/1.0 302 Moved"),
        (REQUEST, "RTSP/1.0 302 Moved"),
        (REQUEST + PACKET, "RTSP/1.0 302 Moved"),
    ],
)
def test_a_redirect_that_ffmpeg_would_understand_is_understood(before, line):
    """FFmpeg would take the login along."""
    with Scripted(wants_login) as other:

        def answer(asked):
            if asked.method != "DESCRIBE":
                return reply(asked, "200 OK")
            cseq = asked.fields["cseq"]
            return before + f"{line}\r\nCSeq: {cseq}\r\nLocation: {url(other, login='')}\r\n\r\n".encode()

        with Scripted(answer) as camera:
            assert opened(url(camera)).reason is SourceReason.AUTH
    assert other.asked
    assert not other.logins


def test_after_an_answer_that_only_ffmpeg_understands_no_login_is_sent():
    with Scripted(wants_login) as other:

        def answer(asked):
            if asked.method != "DESCRIBE":
                return reply(asked, "200 OK")
            odd = f"R\rTSP/1.0 302 Moved\r\nCSeq: {asked.fields['cseq']}\r\nLocation: {url(other, login='')}\r\n\r\n"
            return odd.encode()

        with Scripted(answer) as camera:
            error = opened(url(camera))
    assert error.reason is SourceReason.AUTH
    assert "none was sent" in str(error)
    assert other.asked
    assert not other.logins
    assert not camera.logins


def test_a_redirect_to_another_server_without_login_is_followed():
    with FakeCamera() as other, Scripted(redirecting(other.url())) as camera:
        assert opened(url(camera)) is None


def test_a_redirect_on_the_same_server_takes_the_login_along():
    with FakeCamera(("admin", "s3cr3t"), scheme="basic") as other:
        # Every scripted server has its own port, so this one only notes what it is asked after its redirect.
        def answer(asked):
            if asked.url.endswith("/cam") and asked.method == "DESCRIBE":
                return reply(asked, "302 Moved", "Location: /other")
            return reply(asked, "200 OK") if asked.login or asked.method == "OPTIONS" else wants_login(asked)

        with Scripted(answer) as camera:
            opened(url(camera), open_timeout_s=5.0)
        assert {asked.login[:6] for asked in camera.asked if asked.url.endswith("/other")} == {"", "Basic "}
        assert not other.connections


def test_a_loop_of_redirects_ends_after_a_few_connections():
    locations = itertools.count()
    with Scripted(lambda asked: reply(asked, "302 Moved", f"Location: /{next(locations)}")) as camera:
        error = opened(url(camera))
    assert error.reason is SourceReason.REDIRECT
    assert "more than 5 times" in str(error)
    assert camera.connections <= 6


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_a_wrong_password_is_tried_once(scheme):
    with FakeCamera(("admin", "other"), scheme=scheme) as camera:
        error = opened(camera.url("admin:s3cr3t@"))
    assert error.reason is SourceReason.AUTH
    assert camera.requests == ["OPTIONS", "DESCRIBE", "DESCRIBE"]  # the first DESCRIBE is without the login


@pytest.mark.parametrize("scheme", ["digest", "basic"])
def test_a_right_password_opens_the_camera(scheme):
    with FakeCamera(("admin", "s3cr3t"), scheme=scheme) as camera:
        assert opened(camera.url("admin:s3cr3t@")) is None


def test_a_stale_nonce_is_no_failed_login():
    nonces = itertools.count()
    seen = []

    def answer(asked):
        if asked.method == "OPTIONS":
            return reply(asked, "200 OK")
        seen.append(asked.login)
        if len(seen) == 3:
            return reply(asked, "404 Not Found")
        stale = ", stale=true" if len(seen) == 2 else ""
        return reply(asked, "401 Unauthorized", f'WWW-Authenticate: Digest realm="x", nonce="{next(nonces)}"{stale}')

    with Scripted(answer) as camera:
        assert opened(url(camera)).reason is SourceReason.NOT_FOUND
    assert 'nonce="0"' in seen[1]
    assert 'nonce="1"' in seen[2]


def test_a_server_whose_nonces_are_always_stale_is_asked_a_few_times_only():
    asked_for = answering("401 Unauthorized", 'WWW-Authenticate: Digest realm="x", nonce="1", stale=true')
    with Scripted(asked_for) as camera:
        assert opened(url(camera)).reason is SourceReason.AUTH
    assert len(camera.asked) <= 4


def test_a_kind_of_login_that_ffmpeg_lacks_is_named_and_no_login_is_sent():
    asked_for = answering("401 Unauthorized", 'WWW-Authenticate: Digest realm="x", nonce="1", algorithm=SHA-256')
    with Scripted(asked_for) as camera:
        error = opened(url(camera))
    assert error.reason is SourceReason.AUTH
    assert "Digest with MD5" in str(error)
    assert not camera.logins


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 Unauthorized", SourceReason.AUTH),
        ("403 Forbidden", SourceReason.AUTH),
        ("404 Not Found", SourceReason.NOT_FOUND),
        ("454 Session Not Found", SourceReason.SERVER),
        ("500 Internal Error", SourceReason.SERVER),
        ("503 Service Unavailable", SourceReason.SERVER),
    ],
)
def test_a_refusal_has_a_reason_that_is_true(status, reason):
    with Scripted(answering(status)) as camera:
        assert opened(url(camera)).reason is reason


@pytest.mark.parametrize("transport", ["tcp", "udp", "multicast"])
def test_a_transport_that_the_server_lacks_is_named_with_another_to_try(transport):
    with FakeCamera(transport="udp" if transport == "tcp" else "tcp") as camera:
        error = opened(camera.url(), transport=transport)
    assert error.reason is SourceReason.TRANSPORT
    assert str(error).endswith(f"over {transport}: try transport: {'udp' if transport == 'tcp' else 'tcp'}")


def endless(chunk):
    def answer(asked):
        if asked.method == "OPTIONS":
            return [reply(asked, "200 OK")]
        return itertools.chain([b"RTSP/1.0 200 OK\r\n"], itertools.repeat(chunk))

    return answer


@pytest.mark.parametrize("chunk", [b"X-Field: y\r\n" * 100, b"x" * 1000])
def test_an_answer_without_end_is_refused(chunk):
    with Scripted(endless(chunk)) as camera:
        error = opened(url(camera))
    assert error.reason is SourceReason.TOO_LARGE
    assert "more than 16 kB" in str(error)


@pytest.mark.parametrize("length", [str(64 * 1024 + 1), str(2**31), str(2**64 - 1), 5000 * "9"])
def test_a_description_that_is_too_large_is_refused_before_it_is_read(length):
    def answer(asked):
        if asked.method == "OPTIONS":
            return reply(asked, "200 OK")
        return f"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {length}\r\n\r\nv=0".encode()

    with Scripted(answer) as camera:
        assert opened(url(camera)).reason is SourceReason.TOO_LARGE


@pytest.mark.parametrize(
    "answer",
    [
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: many\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 4294967299\r\n\r\n",
        b"RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 20 OK\r\n\r\n",
        "RTSP/1.0 ²00 OK\r\n\r\n".encode(),
        b"RTSP/1.0 99999999999999999999 OK\r\n\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        bytes(range(256)) + b"\r\n\r\n",
        b"$\x00\x00\x10" + bytes(16) + b"\r\n\r\n",
        None,
    ],
)
def test_an_odd_answer_fails_in_one_line(answer):
    with Scripted(lambda asked: answer) as camera:
        error = opened(url(camera), open_timeout_s=1.0, read_timeout_s=0.5)
    assert error is not None
    assert camera.connections <= 3


def test_a_server_that_sends_a_byte_at_a_time_times_out():
    def slowly(asked):
        yield b"RTSP/1.0 200 OK\r\n"
        while True:
            time.sleep(0.05)
            yield b"X"

    with Scripted(slowly) as camera:
        assert opened(url(camera), open_timeout_s=0.5).reason is SourceReason.TIMEOUT


def test_a_camera_is_read_although_its_host_has_an_address_that_does_not_answer():
    with FakeCamera() as camera:  # localhost is ::1 too, where no camera listens
        assert opened(camera.url().replace("127.0.0.1", "localhost")) is None


def test_a_server_that_is_busy_with_what_it_opened_for_our_look_gets_a_moment():
    described = itertools.count()

    def answer(asked):
        if asked.method != "DESCRIBE":
            return reply(asked, "200 OK")
        return reply(asked, {0: "200 OK", 1: "503 Service Unavailable"}.get(next(described), "404 Not Found"))

    with Scripted(answer) as camera:
        assert opened(url(camera, login="")).reason is SourceReason.NOT_FOUND
    assert camera.connections == 3


def test_a_server_that_is_always_busy_is_asked_a_few_times_only():
    described = itertools.count()

    def answer(asked):
        is_busy = asked.method == "DESCRIBE" and next(described)
        return reply(asked, "503 Service Unavailable" if is_busy else "200 OK")

    with Scripted(answer) as camera:
        assert opened(url(camera, login="")).reason is SourceReason.SERVER
    assert camera.connections == 5


class Narrow(FakeCamera):
    """A camera that admits one connection at a time, and takes a moment to notice that one has ended."""

    async def _meet(self, reader, writer):
        read = reader.readexactly

        async def read_slowly(size):
            try:
                return await read(size)
            except asyncio.IncompleteReadError:
                await asyncio.sleep(0.05)
                raise

        reader.readexactly = read_slowly
        if self._sessions:
            writer.transport.abort()
        else:
            await super()._meet(reader, writer)


def test_a_camera_that_admits_one_connection_at_a_time_is_opened():
    with Narrow() as camera:
        assert opened(camera.url()) is None


def test_a_server_that_ends_its_lines_without_carriage_returns_is_understood():
    def answer(asked):
        status = b"200 OK" if asked.method == "OPTIONS" else b"404 Not Found"
        return b"RTSP/1.0 " + status + f"\nCSeq: {asked.fields['cseq']}\n\n".encode()

    with Scripted(answer) as camera:
        assert opened(url(camera)).reason is SourceReason.NOT_FOUND


def test_an_ipv6_address_is_asked_too():
    with Scripted(answering("404 Not Found"), host="::1") as camera:
        assert opened(f"rtsp://admin:s3cr3t@[::1]:{camera.port}/cam").reason is SourceReason.NOT_FOUND


def test_a_description_without_video_is_named():
    sdp = SDP.replace("m=video", "m=audio").replace("H264/90000", "opus/48000")
    with Scripted(answering("200 OK", "Content-Type: application/sdp", body=sdp)) as camera:
        assert opened(url(camera)).reason is SourceReason.NO_VIDEO


def has_multicast():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + bytes(4))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not has_multicast(), reason="NOT TESTED: no network interface with multicast")
def test_video_is_read_from_a_multicast_group():
    with FakeCamera(transport="multicast") as camera:
        source = StreamSource(camera.url(), network=True, transport="multicast")
        pictures = [source.read() for _ in range(5)]
        source.close()
    assert source.size == (160, 120)
    assert pictures[-1].fault is None


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize("host", ["127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:x", "[::1", "admin:s3cr3t/x@127.0.0.1"])
def test_a_host_or_port_that_cannot_be_read_is_named(scheme, host):
    error = opened(f"{scheme}://{host}/cam")
    assert "not a valid address: check host and port, and write %23 %2F" in str(error)
