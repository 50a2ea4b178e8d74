"""Replies with random faults: each ends in an address or in one line."""

import random
import time

import pytest

from realtime.capture import connection, rtsp, web
from realtime.capture.download import Downloads
from realtime.capture.tls import Tls
from realtime.errors import SourceError

REPLIES = (
    b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n"
    b'WWW-Authenticate: Digest realm="x", nonce="1"\r\nContent-Length: 5\r\n\r\n'
    b"helloRTSP/1.0 302 Found\r\nLocation: rtsp://127.0.0.1:5/x\r\nContent-Length: 0\r\n\r\n"
    b"RTSP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nv=0\r\no=- 0"
)
HTTP_REPLIES = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n"
    b'WWW-Authenticate: Basic realm="x"\r\n\r\n5\r\nhello\r\n0\r\n\r\n'
    b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nab"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na; b=c\r\n0123456789\r\n0\r\nX: y\r\n\r\n"
)
PIECES = [b"\r\n", b"\n", b"\0", 30 * b"9", b":", b"Content-Length: 99999999999\r\n", 20_000 * b"x"]


class Played:
    """A socket that receives these bytes, in pieces of random length, and then the end."""

    def __init__(self, data, chance):
        self.data, self.chance = data, chance

    def recv(self, size):
        size = min(size, self.chance.randint(1, 4096))
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def settimeout(self, seconds):
        assert seconds > 0

    def sendall(self, data):
        assert data.endswith(b"\r\n\r\n")

    def shutdown(self, how):
        pass

    def close(self):
        pass


def damaged(chance, replies):
    data = bytearray(replies * chance.randint(1, 3))
    for _ in range(chance.randint(0, 12)):
        at, kind = chance.randrange(len(data) or 1), chance.random()
        if kind < 0.5 and data:
            data[at] = chance.randrange(256)
        elif kind < 0.75:
            del data[at : at + chance.randint(1, 40)]
        else:
            data[at:at] = chance.choice(PIECES)
    return bytes(data)


def download(url, ends_s, tls):
    return Downloads(url, tls).get(url, 1 << 16, ends_s)


@pytest.mark.parametrize(
    ("look", "replies"),
    [(rtsp.look, REPLIES), (web.final_address, REPLIES), (web.final_address, HTTP_REPLIES), (download, HTTP_REPLIES)],
)
def test_a_damaged_reply_ends_in_an_address_or_in_one_line(look, replies, monkeypatch):
    chance = random.Random(1)
    url = f"{'rtsp' if look is rtsp.look else 'http'}://u:s3cr3t@127.0.0.1/a"
    monkeypatch.setattr(
        connection.Connection, "_connected", lambda self, origin: Played(damaged(chance, replies), chance)
    )
    for _ in range(1000):
        try:
            look(url, time.monotonic() + 10, Tls())
        except SourceError as error:
            text = str(error)
            if not text.isprintable() or "s3cr3t" in text:
                pytest.fail(repr(text))
