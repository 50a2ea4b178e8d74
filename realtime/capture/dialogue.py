"""Our own requests to an RTSP or HTTP server: limited in time and size, and worded like FFmpeg's.

FFmpeg follows RTSP redirects with the login, and its errors don't say what a server answered. So capture.rtsp sends
requests before FFmpeg opens a stream, and capture.web after FFmpeg has failed to. capture.download gets the files of
HLS streams in this way.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from realtime.capture.addresses import encoded, without_login
from realtime.capture.body import Body
from realtime.capture.connection import Connection, OddAnswerError
from realtime.capture.login import authorization, challenge_of, has_login

# Largest header of a reply (with the status line) and largest description of a stream, in bytes. Those of cameras have
# less than 1 kB and 2 kB.
HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
_HEAD = "the header of its reply"
# As lenient as FFmpeg: any white space around the protocol, a plus sign or zeros before the status code, any text after
# it.
_STATUS = re.compile(r"\s*(RTSP|HTTP)/\S*\s+\+?0*(\d{3})(?!\d)", re.ASCII)
_LENGTH = re.compile(r"0*(\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reply:
    """The header of a server's reply.

    Attributes:
        status: the status code, 0..999.
        fields: pairs of name (in lower case) and value, in the order in which they were sent.
    """

    status: int
    fields: Sequence[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]

    def get(self, name: str) -> str:
        """Return the first value of a field; empty if there is none."""
        return next(iter(self.all(name)), "")


class Dialogue:
    """Sends requests to the server of a URL and reads its replies. A context manager.

    Args:
        url: the stream's address: rtsp, rtsps, http or https. Its login is sent only by `ask(..., login=True)`.
        ends_s: deadline for the whole dialogue, in monotonic seconds.
        context: returns the TLS settings.
        opening: called with each connection before it waits for anything.

    Raises:
        SourceError: the server can't be reached in time, or its certificate isn't trusted.
        OddAnswerError: the URL can't be read, or the connection failed for another reason.
    """

    def __init__(
        self,
        url: str,
        ends_s: float,
        context: Callable[[], ssl.SSLContext],
        opening: Callable[[Connection], object] = lambda connection: None,
    ) -> None:
        self._url = url
        self._is_rtsp = url.lower().startswith("rtsp")
        self._ends_s = ends_s
        self._connect = functools.partial(Connection, url, context=context, opening=opening)
        self._connection = self._connect(ends_s=ends_s)
        self._asked = 0
        self._body = Body(self._connection, 0)
        self._closes = False  # the server closes the connection after its reply

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._connection.leave()
        else:
            self._connection.close()

    def ask(self, method: str, *fields: str, login: bool = False) -> Reply:
        """Send a request and return the header of the reply.

        Args:
            method: OPTIONS or DESCRIBE (RTSP), GET (HTTP).
            fields: more lines of the request.
            login: if the server asks for a login, send the one in the URL, once. It is sent a second time only if the
                server rejected nothing but an expired nonce.

        Raises:
            SourceError: there was no reply in time, or it is too large.
            OddAnswerError: the server sent no reply.
        """
        reply = self._exchange(method, fields)
        if not (login and reply.status == 401 and has_login(self._url)):
            return reply
        for _ in range(2):
            challenge = challenge_of(reply.all("www-authenticate"))
            if challenge is None:
                return reply
            userinfo = urlsplit(self._url).netloc.rpartition("@")[0]
            answer = authorization(challenge, userinfo, method, self._target)
            reply = self._exchange(method, (*fields, f"Authorization: {answer}"))
            again = challenge_of(reply.all("www-authenticate"))
            if reply.status != 401 or again is None or not again.is_stale:
                break
        return reply

    def read(self, size: int) -> bytes:
        """Return the next bytes of the reply's body, at least one and at most `size`; none at its end.

        Raises:
            SourceError: no byte arrives in time.
            OddAnswerError: the connection ended within the body.
        """
        return self._body.read(size)

    def body(self, most: int) -> bytes:
        """Return the rest of the reply's body.

        Args:
            most: largest size in bytes.

        Raises:
            SourceError: it is too large, or doesn't arrive in time.
            OddAnswerError: the connection ended within it.
        """
        body = b"" if (self._body.left or 0) > most else self._body.rest(most + 1)
        if (self._body.left or 0) > most or len(body) > most:
            raise self._connection.too_large("its reply", most)
        return body

    def extend(self, ends_s: float) -> None:
        """Set a new deadline, in monotonic seconds."""
        self._ends_s = self._connection.ends_s = ends_s

    def close(self) -> None:
        """Close the connection at once. May be called more than once."""
        self._connection.close()

    @property
    def _target(self) -> str:
        """The address in the request line: all of it in RTSP, the path in HTTP."""
        if self._is_rtsp:
            return urlsplit(without_login(self._url))._replace(fragment="").geturl()
        parts = urlsplit(encoded(self._url))
        return parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()

    def _exchange(self, method: str, fields: Sequence[str]) -> Reply:
        if self._closes or not self._body.skip(BODY_BYTES):
            self._connection.close()
            self._connection = self._connect(ends_s=self._ends_s)
        self._asked += 1
        host = urlsplit(self._url).netloc.rpartition("@")[2]
        own = [f"CSeq: {self._asked}"] if self._is_rtsp else [f"Host: {host}", "Connection: keep-alive"]
        lines = [f"{method} {self._target} {'RTSP/1.0' if self._is_rtsp else 'HTTP/1.1'}", *own, *fields]
        request = "".join(f"{line}\r\n" for line in [*lines, "User-Agent: Lavf"])
        self._connection.send(request.encode("utf-8", "replace") + b"\r\n")
        return self._reply()

    def _reply(self) -> Reply:
        """Read the header of the next reply; skip interim replies (HTTP 1xx) and requests of the server (RTSP)."""
        unread = BODY_BYTES
        while True:
            lines = self._head(unread)
            unread -= sum(map(len, lines))
            pairs = (line.partition(":") for line in lines[1:])
            fields = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
            status = _STATUS.match(lines[0])
            reply = Reply(int(status[2]) if status else 0, fields)
            is_request = self._is_rtsp and status is None and " RTSP/" in lines[0]
            if status is None and not is_request:
                raise OddAnswerError
            is_http = not self._is_rtsp
            self._body = self._body_of(reply, is_http)
            if is_request or (is_http and reply.status < 200):
                if not self._body.skip(unread):
                    raise OddAnswerError
                continue
            connection = reply.get("connection").lower()
            self._closes = "close" in connection or (lines[0].startswith("HTTP/1.0") and "keep-alive" not in connection)
            return reply

    def _head(self, unread: int) -> list[str]:
        """Return the lines of a header. Skip packets of media before it (RTSP)."""
        lines: list[str] = []
        left = HEAD_BYTES
        while True:
            if self._is_rtsp and not lines:
                unread -= self._skip_packet(unread)
            line = self._connection.line(left, _HEAD, HEAD_BYTES)
            left -= len(line)
            text = line.decode("latin-1").rstrip("\r\n")
            if text:
                lines.append(text)
            elif lines:
                return lines

    def _skip_packet(self, unread: int) -> int:
        """Skip packets of media ("$", channel, 16-bit length, data). Return their total size in bytes."""
        size = 0
        while self._connection.begins_with(b"$"):
            head = Body(self._connection, 4).rest()
            length = int.from_bytes(head[2:], "big")
            size += 4 + length
            if size > unread or not Body(self._connection, length).skip(length):
                raise OddAnswerError
        return size

    def _body_of(self, reply: Reply, is_http: bool) -> Body:
        length = _LENGTH.fullmatch(reply.get("content-length"))
        if is_http and (reply.status < 200 or reply.status in (204, 304)):
            return Body(self._connection, 0)
        if is_http and "chunked" in reply.get("transfer-encoding").lower():
            return Body(self._connection, 0, is_chunked=True)
        # A length that can't be read counts as missing: an RTSP reply then has no body. More than 15 digits: too large.
        if length or reply.get("content-length").isdecimal():
            return Body(self._connection, int(length[1]) if length else 10**15)
        return Body(self._connection, None if is_http else 0)
