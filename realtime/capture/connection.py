"""A connection to the server of a URL, plain or over TLS, with one deadline for all that it waits for.

Used by capture.dialogue.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable

from realtime.capture.addresses import Origin, origin_of
from realtime.capture.hosts import addresses_of
from realtime.capture.refusals import LATE, REFUSED, failure
from realtime.capture.tls import TLS_SCHEMES
from realtime.errors import SourceError, SourceReason

# Receive at most this many bytes at a time.
_CHUNK_BYTES = 1 << 16
# A camera that accepts only one connection is free again once it has noticed that ours ended. Wait for that at most
# this long (s).
_FAREWELL_S = 0.2


class OddAnswerError(Exception):
    """The server closed the connection, or sent something that is not a reply."""


class Connection:
    """A connection, with the bytes that were received but not read yet.

    Args:
        url: the address; its scheme is rtsp, rtsps, http or https.
        ends_s: deadline for the whole connection, in monotonic seconds.
        context: returns the TLS settings. Called only for rtsps and https.
        opening: called with the connection before it waits for anything, so that another thread can `cut` it.

    Attributes:
        ends_s: the deadline. May be changed.

    Raises:
        SourceError: the server can't be reached in time, or its certificate isn't trusted.
        OddAnswerError: the URL can't be read, or the connection failed for another reason or was cut.
    """

    def __init__(
        self,
        url: str,
        ends_s: float,
        context: Callable[[], ssl.SSLContext],
        opening: Callable[[Connection], object] = lambda connection: None,
    ) -> None:
        self.ends_s = ends_s
        self._url = url
        self._buffer = bytearray()
        self._is_cut = False
        self._socket: socket.socket | None = None
        origin = origin_of(url)
        if origin is None:
            raise OddAnswerError
        opening(self)
        self._socket = self._connected(origin)
        if origin.scheme in TLS_SCHEMES:
            self._socket = self._secured(self._socket, context(), origin.host)

    def send(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            SourceError: the server doesn't accept them in time.
            OddAnswerError: the connection has ended.
        """
        connected = self._open()
        try:
            connected.settimeout(self._left_s())
            connected.sendall(data)
        except TimeoutError:
            raise self._late() from None
        except OSError:
            raise OddAnswerError from None

    def line(self, most: int, what: str, limit: int) -> bytes:
        """Return the next bytes up to and including a line break.

        Args:
            most: largest length of the line in bytes.
            what: the part of the reply that contains the line, for the message.
            limit: largest size of that part in bytes, for the message.

        Raises:
            SourceError: the line is too long, or doesn't arrive in time.
            OddAnswerError: the connection ended before it.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > most:
                raise self.too_large(what, limit)
            if not self._receive():
                raise OddAnswerError
        if end >= most:
            raise self.too_large(what, limit)
        return self._take(end + 1)

    def begins_with(self, byte: bytes) -> bool:
        """Whether the next byte is this one; False at the end of the connection.

        Raises:
            SourceError: no byte arrives in time.
            OddAnswerError: the connection failed.
        """
        return (bool(self._buffer) or self._receive()) and self._buffer.startswith(byte)

    def some(self, most: int) -> bytes:
        """Return the next bytes, at least one and at most `most`; none at the end of the connection.

        Raises:
            SourceError: no byte arrives in time.
            OddAnswerError: the connection failed.
        """
        # Checked although bytes may be waiting: a server that never stops sending must not be read beyond the deadline.
        self._left_s()
        if not self._buffer:
            self._receive()
        return self._take(most)

    def cut(self) -> None:
        """End the connection. A thread that waits for the server gets an error. May be called from any thread."""
        self._is_cut = True
        if (connected := self._socket) is not None:
            with contextlib.suppress(OSError):  # it is closed already
                # Not `SSLSocket.shutdown`, which also removes the TLS layer that the other thread is using.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def leave(self) -> None:
        """Tell the server that the connection ends, wait briefly until it has noticed, and close the connection."""
        with contextlib.suppress(OSError, SourceError, OddAnswerError):
            connected = self._open()
            connected.shutdown(socket.SHUT_WR)
            connected.settimeout(min(_FAREWELL_S, self._left_s()))
            connected.recv(1)
        self.close()

    def close(self) -> None:
        """Close the connection. May be called more than once."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()

    def too_large(self, what: str, limit: int) -> SourceError:
        """Return the error for a part of a reply that is too large."""
        size = f"{limit // 1024} kB" if limit < 1 << 20 else f"{limit >> 20} MiB"
        return failure(self._url, (SourceReason.TOO_LARGE, f"too large: {what} has more than {size}"))

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return taken

    def _receive(self) -> bool:
        """Wait for more bytes; False at the end of the connection."""
        connected = self._open()
        try:
            connected.settimeout(self._left_s())
            data = connected.recv(_CHUNK_BYTES)
        except TimeoutError:
            raise self._late() from None
        except OSError:
            raise OddAnswerError from None
        if not data and self._is_cut:
            raise OddAnswerError
        self._buffer += data
        return bool(data)

    def _open(self) -> socket.socket:
        if self._socket is None or self._is_cut:
            raise OddAnswerError
        return self._socket

    def _connected(self, origin: Origin) -> socket.socket:
        refused = False
        # IPv4 first, because IPv6 more often gets no answer. Each address gets an equal share of the time left.
        addresses = sorted(addresses_of(self._url, self.ends_s), key=lambda address: ":" in address)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            if self._is_cut:
                break
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                connecting = self._socket = socket.socket(family, socket.SOCK_STREAM)
            except OSError:  # no free file descriptor, or a system without IPv6
                continue
            try:
                connecting.settimeout(self._left_s() / left)
                connecting.connect((address, origin.port))
            except (OSError, SourceError) as error:
                connecting.close()
                if isinstance(error, SourceError):
                    raise
                refused = refused or isinstance(error, ConnectionRefusedError)
            else:
                return connecting
        if refused:
            raise failure(self._url, REFUSED)
        self._left_s()
        raise OddAnswerError

    def _secured(self, plain: socket.socket, context: ssl.SSLContext, host: str) -> socket.socket:
        try:
            plain.settimeout(self._left_s())
            secured = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        except (OSError, ValueError):
            raise OddAnswerError from None
        finally:
            # `wrap_socket` detaches the plain socket, unless it fails.
            if plain.fileno() >= 0:
                plain.close()
        self._socket = secured
        try:
            secured.do_handshake()
            return secured
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message.rstrip(".")
        except TimeoutError:
            raise self._late() from None
        except (OSError, ValueError):
            raise OddAnswerError from None
        finally:
            if not secured.version():  # no handshake
                secured.close()
        advice = f"certificate not trusted: {why}; set tls_ca to the certificate that signed it"
        raise failure(self._url, (SourceReason.CERTIFICATE, advice))

    def _left_s(self) -> float:
        left_s = self.ends_s - time.monotonic()
        if left_s <= 0:
            raise self._late()
        return left_s

    def _late(self) -> SourceError:
        return failure(self._url, LATE)
