"""HTTP servers that redirect, or whose motion JPEG FFmpeg rejects, opened as the program does."""

import itertools

import cv2
import numpy as np
import pytest

from realtime.errors import SourceReason

from .clips import write_clip
from .servers import Scripted, opened, reply

JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
BASIC = 'WWW-Authenticate: Basic realm="x"'


def url(server, login="admin:s3cr3t@", path="/video"):
    return f"http://{login}127.0.0.1:{server.port}{path}"


def answered(asked, status, *fields, body=""):
    return reply(asked, status, *fields, body=body, protocol="HTTP/1.1")


def motion_jpeg(*fields):
    def parts(asked):
        yield b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n"
        head = "".join(f"{field}\r\n" for field in (*fields, f"Content-Length: {len(JPEG)}"))
        for _ in range(200):
            yield b"--next\r\n" + head.encode() + b"\r\n" + JPEG + b"\r\n"

    return parts


@pytest.mark.parametrize("fields", [["Content-Type: image/jpeg"], [], ["Content-Type: image/jpg"], ["X: \x1b[2Jx"]])
def test_motion_jpeg_is_opened_whatever_its_parts_are_called(fields):
    with Scripted(motion_jpeg(*fields)) as camera:
        assert opened(url(camera)) is None


@pytest.mark.parametrize("after_login", [False, True])
def test_a_redirect_to_another_port_that_asks_for_a_login_gets_none(after_login):
    with Scripted(lambda asked: answered(asked, "401 Unauthorized", BASIC)) as other:

        def answer(asked):
            if after_login and not asked.login:
                return answered(asked, "401 Unauthorized", BASIC)
            return answered(asked, "302 Found", f"Location: {url(other, login='')}")

        with Scripted(answer) as camera:
            assert opened(url(camera)).reason is SourceReason.AUTH
    assert other.asked
    assert not other.logins


@pytest.mark.parametrize(
    "head", ["Transfer-Encoding: chunked\r\n\r\n5\r\nlogin\r\n0\r\n\r\n", "Connection: close\r\n\r\nlogin"]
)
def test_a_redirect_after_the_login_is_followed_whatever_body_asks_for_it(head):
    def answer(asked):
        if asked.url != "/video":
            return answered(asked, "404 Not Found")
        if asked.login:
            return answered(asked, "302 Found", "Location: /other")
        return f"HTTP/1.1 401 Unauthorized\r\n{BASIC}\r\n{head}".encode()

    with Scripted(answer) as server:
        assert opened(url(server)).reason is SourceReason.NOT_FOUND
    assert "/other" in [asked.url for asked in server.asked]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_followed_to_the_video(status, tmp_path):
    clip = write_clip(tmp_path / "clip.ts", frames=25).read_bytes()

    def answer(asked):
        if asked.url == "/video":
            return answered(asked, status, "Location: /clip.ts")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: {len(clip)}\r\n\r\n"
        return head.encode() + clip

    with Scripted(answer) as server:
        assert opened(url(server)) is None


def test_a_loop_of_redirects_ends_after_a_few_connections():
    locations = itertools.count()
    with Scripted(lambda asked: answered(asked, "302 Found", f"Location: /{next(locations)}")) as server:
        error = opened(url(server))
    assert error.reason is SourceReason.REDIRECT
    assert server.connections <= 7


@pytest.mark.parametrize("to", ["http://10.255.255.1/", "http://169.254.169.254/latest/meta-data", "http://127.0.0.2/"])
def test_a_stream_from_outside_leads_to_no_address_inside(to, monkeypatch):
    """The server stands for one on the internet: only the rule is told so."""
    monkeypatch.setattr("realtime.capture.redirects.why_closed", lambda *_: "this machine")
    with Scripted(lambda asked: answered(asked, "302 Found", f"Location: {to}")) as server:
        error = opened(url(server))
    assert error.reason is SourceReason.REDIRECT
    assert "this machine: not allowed, because the server is farther away" in str(error)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("401 Unauthorized", SourceReason.AUTH),
        ("404 Not Found", SourceReason.NOT_FOUND),
        ("410 Gone", SourceReason.SERVER),
        ("503 Busy", SourceReason.SERVER),
        ("304 Not Modified", SourceReason.NOT_MEDIA),
    ],
)
def test_a_refusal_has_a_reason_that_is_true(status, reason):
    with Scripted(lambda asked: answered(asked, status)) as server:
        assert opened(url(server, login="")).reason is reason


def test_a_wrong_password_is_tried_once():
    with Scripted(lambda asked: answered(asked, "401 Unauthorized", BASIC)) as server:
        assert opened(url(server)).reason is SourceReason.AUTH
    assert len(server.logins) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"ffconcat version 1.0\nfile {inside}\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5000 RTP/AVP 96\r\n",
    ],
)
def test_a_list_of_other_addresses_is_not_opened(content):
    with Scripted(lambda asked: answered(asked, "404 Not Found")) as inside:
        body = content.replace(b"{inside}", url(inside, login="").encode()).decode()
        with Scripted(lambda asked: answered(asked, "200 OK", body=body)) as server:
            error = opened(url(server))
    assert error.reason is SourceReason.NOT_MEDIA
    assert not inside.asked


@pytest.mark.parametrize("answer", [None, b"", b"\r\n\r\n", b"RTSP/1.0 302 Moved\r\n\r\n", b"HTTP/1.1 302\r\n\r\n"])
def test_an_odd_answer_fails_in_one_line(answer):
    with Scripted(lambda asked: answer) as server:
        assert opened(url(server), open_timeout_s=1.0, read_timeout_s=0.5) is not None
    assert server.connections <= 4
