"""What odd and hostile HTTP servers answer to a download."""

import itertools
import threading
import time

import pytest

from realtime.capture import connection, redirects
from realtime.capture.download import Downloads, Part
from realtime.capture.tls import Tls
from realtime.errors import SourceError, SourceReason

from .servers import Scripted, reply, self_signed

BASIC = 'WWW-Authenticate: Basic realm="x"'
DIGEST = 'WWW-Authenticate: Digest realm="x", nonce="1"'


def url(server, path="/live.m3u8", login="", scheme="http"):
    return f"{scheme}://{login}127.0.0.1:{server.port}{path}"


def answered(asked, status="200 OK", *fields, body="hello"):
    return reply(asked, status, *fields, body=body, protocol="HTTP/1.1")


def get(address, *, root=None, most=1 << 20, limit_s=5.0, **keys):
    return Downloads(root or address).get(address, most, time.monotonic() + limit_s, **keys)[0]


def reason(*arguments, **keys):
    with pytest.raises(SourceError) as caught:
        get(*arguments, **keys)
    assert "s3cr3t" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None
    return caught.value.reason


def chunked(*chunks, end="0\r\n\r\n"):
    return ("".join(f"{len(chunk):x}; ext\r\n{chunk}\r\n" for chunk in chunks) + end).encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
        b"HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("hel", "lo"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunked("hel", "lo", end="00\r\nX: y\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        b"HTTP/1.1  200\tOK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_file_is_read_to_its_end_however_that_is_marked(answer):
    with Scripted(lambda asked: answer) as server:
        assert get(url(server)) == b"hello"


def test_a_file_without_a_length_ends_with_the_connection():
    def answer(asked):
        yield b"HTTP/1.0 200 OK\r\n\r\nhel"
        yield b"lo"
        raise OSError

    with Scripted(answer) as server:
        assert get(url(server)) == b"hello"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("hello", end=""),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked("hello", end="5\r\nhel"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello",
        b"hello\r\n\r\n",
        b"",
    ],
)
def test_a_file_that_breaks_off_is_lost(answer):
    def answers(asked):
        yield answer
        raise OSError

    with Scripted(answers) as server:
        assert reason(url(server)) is SourceReason.LOST


@pytest.mark.parametrize("head", ["Content-Length: 99999", "Content-Length: " + 5000 * "9", "X: y", "chunks"])
def test_a_file_that_is_too_large_is_refused(head):
    def answer(asked):
        fields = "Transfer-Encoding: chunked" if head == "chunks" else head
        yield f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()
        yield from itertools.repeat(chunked(1000 * "x", end="") if head == "chunks" else 1000 * b"x")

    with Scripted(answer) as server:
        assert reason(url(server), most=5000) is SourceReason.TOO_LARGE


def test_a_chunk_whose_length_never_ends_is_refused():
    def answer(asked):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield from itertools.repeat(1000 * b"0")

    with Scripted(answer) as server:
        assert reason(url(server)) is SourceReason.TOO_LARGE


@pytest.mark.parametrize("path", ["/front door.ts", "/Tür.ts?a=b c", "/a%20b.ts"])
@pytest.mark.parametrize("is_root", [False, True])
def test_an_address_with_spaces_and_other_letters_is_asked_for_in_ascii(path, is_root):
    with Scripted(answered) as server:
        get(url(server, path), root=None if is_root else url(server))
    encoded = path.replace("/Tür.ts?a=b c", "/T%C3%BCr.ts?a=b%20c").replace("front door", "front%20door")
    assert [asked.url for asked in server.asked] == [encoded]


def test_a_redirect_to_another_scheme_host_or_port_gets_no_login(tmp_path):
    certificate = self_signed(tmp_path)

    def wants_login(asked):
        return answered(asked, "401 Unauthorized", BASIC, DIGEST)

    with Scripted(wants_login) as other:
        for keys in ({}, {"certificate": certificate}):
            scheme = "https" if keys else "http"
            with Scripted(lambda asked: answered(asked, "302 Found", f"Location: {url(other)}"), **keys) as server:
                assert reason(url(server, login="admin:s3cr3t@", scheme=scheme)) is SourceReason.AUTH
        # The same port, which is not the scheme's own, without TLS: as cameras answer plain HTTP on their TLS port.
        assert reason(url(other), root=url(other, login="admin:s3cr3t@", scheme="https")) is SourceReason.AUTH
    assert len(other.asked) == 3
    assert not other.logins


def test_a_playlist_on_the_same_server_takes_the_login_along_and_another_s_own_is_ignored():
    def answer(asked):
        return answered(asked) if asked.login.startswith("Basic YWRtaW46czNjcjN0") else wants(asked)

    def wants(asked):
        return answered(asked, "401 Unauthorized", "WWW-Authenticate: Negotiate", BASIC)

    with Scripted(answer) as server, Scripted(wants) as other:
        root = url(server, login="admin:s3cr3t@")
        assert get(url(server, "/a.ts"), root=root) == b"hello"
        assert get(url(server, "/a.ts", login="x:y@"), root=root) == b"hello"
        assert reason(url(other, "/a.ts", login="x:y@"), root=root) is SourceReason.AUTH
    assert not other.logins


@pytest.mark.parametrize("challenge", [BASIC, DIGEST])
def test_a_wrong_password_is_sent_once(challenge):
    with Scripted(lambda asked: answered(asked, "401 Unauthorized", challenge)) as server:
        assert reason(url(server, login="admin:s3cr3t@")) is SourceReason.AUTH
    assert len(server.logins) == 1


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nlogin\r\n0\r\n\r\n",
        "Connection: close\r\n\r\nlogin",
        "\r\n",
        "Content-Length: 999999999\r\n\r\nlogin",
    ],
)
def test_the_login_is_sent_whatever_body_asks_for_it(head):
    def answer(asked):
        if asked.login:
            return answered(asked)
        return f"HTTP/1.1 401 Unauthorized\r\n{BASIC}\r\n{head}".encode()

    with Scripted(answer) as server:
        assert get(url(server, login="admin:s3cr3t@")) == b"hello"


def test_the_body_of_a_redirect_is_not_read():
    def answer(asked):
        if asked.url == "/b":
            yield answered(asked)
        else:
            yield b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"
            yield from itertools.repeat(1000 * b"x")

    with Scripted(answer) as server:
        assert get(url(server)) == b"hello"


@pytest.mark.parametrize("location", ["Location: /{}", "Location: ftp://127.0.0.1/", "X: y", "Location: rtsp://h/"])
def test_a_redirect_that_leads_nowhere_is_refused(location):
    count = itertools.count()
    with Scripted(lambda asked: answered(asked, "302 Found", location.format(next(count)))) as server:
        assert reason(url(server)) is SourceReason.REDIRECT
    assert len(server.asked) <= 6


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("401 No", SourceReason.AUTH),
        ("403 No", SourceReason.AUTH),
        ("404 No", SourceReason.NOT_FOUND),
        ("206 Part", SourceReason.SERVER),
        ("503 Busy", SourceReason.SERVER),
        ("304 Same", SourceReason.SERVER),
    ],
)
def test_a_refusal_has_its_reason(status, expected):
    with Scripted(lambda asked: answered(asked, status)) as server:
        assert reason(url(server)) is expected


def test_each_address_is_compared_with_the_one_that_led_there(monkeypatch):
    steps = []
    monkeypatch.setattr(redirects, "why_closed", lambda at, to, _: steps.append((at[-2:], to[-2:])))

    def answer(asked):
        return answered(asked) if asked.url == "/d" else answered(asked, "302 Found", f"Location: {url(server, '/d')}")

    with Scripted(answer) as server:
        get(url(server, "/c"), root=url(server, "/a"), led_from=url(server, "/b"))
    assert steps == [("/b", "/c"), ("/c", "/d")]


def test_an_address_that_is_too_long_is_refused_without_being_shown():
    with pytest.raises(SourceError) as caught:
        get("http://127.0.0.1/" + 3000 * "a", root="http://127.0.0.1/", led_from="http://127.0.0.1/")
    assert caught.value.reason is SourceReason.REDIRECT
    assert len(str(caught.value)) < 200


def test_all_addresses_of_a_host_share_the_time(monkeypatch):
    now_s, waits_s = [100.0], []

    class Dead:
        def __init__(self, *_):
            pass

        def settimeout(self, seconds):
            waits_s.append(seconds)

        def connect(self, address):
            now_s[0] += waits_s[-1]
            raise TimeoutError

        def close(self):
            pass

    monkeypatch.setattr(connection.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(connection, "addresses_of", lambda url, ends_s: ("10.0.0.1", "10.0.0.2", "fd00::1"))
    monkeypatch.setattr(connection.socket, "socket", Dead)
    assert reason("http://cam/live.m3u8", limit_s=9.0) is SourceReason.TIMEOUT
    assert waits_s == pytest.approx([3.0, 3.0, 3.0])


def test_the_certificates_are_read_once_for_all_files(tmp_path, monkeypatch):
    loaded = []
    context = Tls.context
    monkeypatch.setattr(Tls, "context", lambda self: loaded.append(self) or context(self))
    with Scripted(answered, self_signed(tmp_path)) as server:
        address = url(server, scheme="https")
        downloads = Downloads(address)
        for _ in range(3):
            downloads.get(address, 1000, time.monotonic() + 5)
    assert len(loaded) == 1


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n\r\nhel"])
def test_another_thread_can_end_a_download(begins):
    asked, over, errors = threading.Event(), threading.Event(), []

    def answer(_):
        yield begins
        asked.set()
        over.wait(10)

    def download():
        try:
            downloads.get(address, 1000, time.monotonic() + 60)
        except SourceError as error:
            errors.append(error.reason)

    with Scripted(answer) as server:
        address = url(server)
        downloads = Downloads(address)
        thread = threading.Thread(target=download)
        thread.start()
        asked.wait(10)
        downloads.stop()
        thread.join(10)
        over.set()
    assert errors == [SourceReason.LOST]
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("status", "field", "expected"),
    [
        ("206 Partial", "Content-Range: bytes 3-6/100", b"0123456789"[:4]),  # the part
        ("200 OK", "X: y", b"3456"),  # all of it
    ],
)
def test_a_part_of_a_file_is_the_right_one(status, field, expected):
    body = "0123" if status.startswith("206") else "0123456789"
    with Scripted(lambda asked: answered(asked, status, field, body=body)) as server:
        file = Downloads(url(server)).open(url(server), time.monotonic() + 5, part=Part(3, 7))
        assert file.rest(100) == expected
        file.close()
    assert server.asked[0].fields["range"] == "bytes=3-6"


def test_another_part_than_the_one_that_was_asked_for_is_refused():
    with Scripted(lambda asked: answered(asked, "206 Partial", "Content-Range: bytes 0-3/100")) as server:
        downloads = Downloads(url(server))
        with pytest.raises(SourceError, match="206"):
            downloads.open(url(server), time.monotonic() + 5, part=Part(3, 7))
