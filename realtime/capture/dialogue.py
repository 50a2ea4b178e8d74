"""Our own requests to an RTSP or HTTP server: limited in time and size, and worded like FFmpeg's.

FFmpeg follows RTSP redirects with the login, and its errors don't say what a server answered. So capture.rtsp sends
requests before FFmpeg opens a stream, and capture.web after FFmpeg has failed to.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import SplitResult, urlsplit

from realtime.capture.hosts import addresses_of
from realtime.capture.login import authorization, challenge_of, has_login
from realtime.capture.tls import TLS_SCHEMES, Tls
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# Largest status line and fields of a reply, and largest body, in bytes. Cameras send less than 1 kB and 2 kB.
HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
# The empty line at the end of the fields. Some cameras leave out the carriage returns.
_END = re.compile(rb"(?<=[^\r\n])\r?\n\r?\n")
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
# A camera that accepts only one connection is free again once it has noticed that ours ended. Wait for that at most
# this long (s).
_FAREWELL_S = 0.2


class OddAnswerError(Exception):
    """The server closed the connection, or sent something that is not a reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of a server.

    Attributes:
        status: the status code, 100..999.
        fields: names in lower case, and values, in their order.
        start: the bytes of the body that were read.
    """

    status: int
    fields: Sequence[tuple[str, str]]
    start: bytes = b""

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]

    def get(self, name: str) -> str:
        """Return the first value of a field; empty if there is none."""
        return next(iter(self.all(name)), "")


class Dialogue:
    """A connection to the server of a URL, in a `with` block.

    Args:
        url: the stream's address: rtsp, rtsps, http or https. Its login is sent only by `ask(..., login=True)`.
        ends_s: deadline for the whole dialogue, in monotonic seconds.
        tls: how to treat the server's certificate.

    Raises:
        SourceError: the server can't be reached in time, or its certificate isn't trusted.
        OddAnswerError: the URL isn't understood, or TLS failed for another reason.
    """

    def __init__(self, url: str, ends_s: float, tls: Tls) -> None:
        self._url, self._ends_s = url, ends_s
        self._parts, self._port = parted(url)
        self._buffer = b""
        self._asked = 0
        self._socket = self._connected()
        if self._parts.scheme in TLS_SCHEMES:
            self._socket = self._secured(self._socket, tls)

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError), self._socket:
            if kind is None:
                self._socket.shutdown(socket.SHUT_WR)
                self._socket.settimeout(min(_FAREWELL_S, max(0.01, self._ends_s - time.monotonic())))
                self._socket.recv(1)

    def ask(self, method: str, *fields: str, body_limit: int = BODY_BYTES, login: bool = False) -> Reply:
        """Send a request and return the reply.

        Args:
            method: OPTIONS or DESCRIBE (RTSP), GET (HTTP).
            fields: more lines of the request.
            body_limit: largest body in bytes; 0: don't read it.
            login: if the server asks for a login, send the one in the URL, once. It is sent a second time only if the
                server rejected nothing but an expired nonce.

        Raises:
            SourceError: there was no reply in time, or it is too large.
            OddAnswerError: the server sent no reply.
        """
        reply = self._exchange(method, fields, body_limit)
        if not (login and reply.status == 401 and has_login(self._url)):
            return reply
        for _ in range(2):
            challenge = challenge_of(reply.all("www-authenticate"))
            if challenge is None:
                return reply
            userinfo = self._parts.netloc.rpartition("@")[0]
            answer = authorization(challenge, userinfo, method, self._target)
            reply = self._exchange(method, (*fields, f"Authorization: {answer}"), body_limit)
            again = challenge_of(reply.all("www-authenticate"))
            if reply.status != 401 or again is None or not again.is_stale:
                break
        return reply

    @property
    def _is_rtsp(self) -> bool:
        return self._parts.scheme in ("rtsp", "rtsps")

    @property
    def _target(self) -> str:
        """The address in the request line: all of it in RTSP, the path in HTTP."""
        if self._is_rtsp:
            return self._parts._replace(netloc=self._parts.netloc.rpartition("@")[2], fragment="").geturl()
        return self._parts._replace(scheme="", netloc="", fragment="").geturl() or "/"

    def _exchange(self, method: str, fields: Sequence[str], body_limit: int) -> Reply:
        self._asked += 1
        host = self._parts.netloc.rpartition("@")[2]
        own = [f"CSeq: {self._asked}"] if self._is_rtsp else [f"Host: {host}", "Connection: keep-alive"]
        lines = [f"{method} {self._target} {'RTSP/1.0' if self._is_rtsp else 'HTTP/1.1'}", *own, *fields]
        self._send("".join(f"{line}\r\n" for line in [*lines, "User-Agent: Lavf"]).encode("utf-8", "replace") + b"\r\n")
        return self._reply(body_limit)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._left_s())
            self._socket.sendall(data)
        except TimeoutError:
            raise self._late() from None
        except OSError:
            raise OddAnswerError from None

    def _reply(self, body_limit: int) -> Reply:
        while (end := _END.search(self._buffer)) is None:
            if len(self._buffer) > HEAD_BYTES:
                raise self._too_large("the header of its reply", HEAD_BYTES)
            self._receive()
        head, self._buffer = self._buffer[: end.start()], self._buffer[end.end() :]
        first, *lines = head.decode("latin-1").strip("\r\n").split("\n")
        protocol, _, rest = first.partition(" ")
        code = rest.partition(" ")[0]
        if not protocol.startswith(("RTSP/", "HTTP/")) or not (code.isascii() and code.isdecimal() and len(code) == 3):
            raise OddAnswerError
        pairs = (line.partition(":") for line in lines)
        reply = Reply(int(code), [(name.strip().lower(), value.strip()) for name, _, value in pairs])
        length = reply.get("content-length")
        # Ten digits suffice to see that it is too large, and Python refuses to convert thousands of them.
        size = int(length.lstrip("0")[:10] or 0) if length.isascii() and length.isdecimal() else 0
        if reply.status == 401:
            body_limit = BODY_BYTES  # the next reply follows it
        if not body_limit:
            return reply
        if size > body_limit:
            raise self._too_large("its reply", body_limit)
        while len(self._buffer) < size:
            self._receive()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return Reply(reply.status, reply.fields, body)

    def _receive(self) -> None:
        try:
            self._socket.settimeout(self._left_s())
            data = self._socket.recv(4096)
        except TimeoutError:
            raise self._late() from None
        except OSError:
            raise OddAnswerError from None
        if not data:
            raise OddAnswerError
        self._buffer += data

    def _connected(self) -> socket.socket:
        refused = False
        # IPv4 first, because IPv6 more often gets no answer. Each address gets an equal share of the time left.
        addresses = sorted(addresses_of(self._url, self._ends_s), key=lambda address: ":" in address)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                return socket.create_connection((address, self._port), self._left_s() / left)
            except ConnectionRefusedError:
                refused = True
            except OSError:
                continue
        if refused:
            raise SourceError(
                f"{shown(self._url)}: connection refused: check the address and port, and that the camera is on",
                SourceReason.REFUSED,
            )
        self._left_s()
        raise OddAnswerError

    def _secured(self, plain: socket.socket, tls: Tls) -> socket.socket:
        try:
            plain.settimeout(self._left_s())
            return tls.context().wrap_socket(plain, server_hostname=self._parts.hostname)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message.rstrip(".")
        except TimeoutError:
            raise self._late() from None
        except (OSError, ValueError):
            raise OddAnswerError from None
        finally:
            # `wrap_socket` detaches the plain socket, unless it fails early.
            if plain.fileno() >= 0:
                plain.close()
        raise SourceError(
            f"{shown(self._url)}: certificate not trusted: {why}; set tls_ca to the certificate that signed it",
            SourceReason.CERTIFICATE,
        )

    def _left_s(self) -> float:
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise self._late()
        return left_s

    def _late(self) -> SourceError:
        return SourceError(f"{shown(self._url)}: timed out: no answer", SourceReason.TIMEOUT)

    def _too_large(self, what: str, limit: int) -> SourceError:
        return SourceError(
            f"{shown(self._url)}: too large: {what} has more than {limit // 1024} kB", SourceReason.TOO_LARGE
        )


def parted(url: str) -> tuple[SplitResult, int]:
    """Return the parts of a URL, its scheme in lower case, and its port.

    Raises:
        OddAnswerError: it isn't a URL that `Dialogue` understands.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise OddAnswerError from None
    if not parts.hostname:
        raise OddAnswerError
    return parts, port
