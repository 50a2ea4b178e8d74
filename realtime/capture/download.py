"""Downloads HLS playlists and their segments over HTTP, with limits on time, size and redirects.

Used by capture.hls. Errors raised here contain no secrets of a URL.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from realtime.capture.hosts import why_closed
from realtime.capture.tls import Tls
from realtime.errors import SourceError, SourceReason
from realtime.redact import shown

# Largest playlist (bytes). One that lists a day in segments of 2 s is about this large.
PLAYLIST_BYTES = 4 << 20
# Largest segment or initialisation section (bytes): 6 s at 45 Mbit/s, which is more than 4K cameras send.
SEGMENT_BYTES = 32 << 20
MOST_REDIRECTS = 5
_CHUNK_BYTES = 1 << 16

_REASONS = {
    401: (SourceReason.AUTH, "login failed: check user and password"),
    403: (SourceReason.AUTH, "login failed: check user and password"),
    404: (SourceReason.NOT_FOUND, "not found: check the path in the URL"),
}


class Downloads:
    """Downloads files for one HLS stream, one at a time. Only `stop` may be called from another thread.

    The login in the configured address is sent to its own host only.

    Args:
        root: the address that the user configured.
        timeout_s: how long (s) the server may be silent.
        tls: how to treat the server's certificate.

    Attributes:
        name: the configured address as shown to the user.
    """

    def __init__(self, root: str, timeout_s: float, tls: Tls = Tls()) -> None:  # noqa: B008 - immutable
        self._root = root
        self.name = shown(root)
        self._tls = tls
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._is_cut = self._is_stopped = False
        self._opener = self._new_opener()

    def get(self, url: str, most_bytes: int, limit_s: float) -> tuple[bytes, str]:
        """Download a file.

        Args:
            url: its address.
            most_bytes: a larger file is an error.
            limit_s: how long (s) the whole download may take.

        Returns:
            The file, and the URL from which it came after redirects.

        Raises:
            SourceError: it can't be downloaded.
        """
        # Errors are raised outside of the `except` block: inside, Python would attach the exception of urllib, which
        # contains the URL.
        # The socket's timeout doesn't stop a server that sends a byte now and then, so a timer enforces the limit.
        self._is_cut = False
        timer = threading.Timer(limit_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            self.check(url)
            return self._get(_without_login(url), most_bytes)
        except SourceError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason, advice = _fault_of(error)
        finally:
            timer.cancel()
        raise SourceError(f"{shown(url)}: {advice}", reason)

    def stop(self) -> None:
        """End the download that runs now, and any later one, with an error."""
        self._is_stopped = True
        self._cut()

    def _cut(self) -> None:
        """Close the connection under a thread that waits for the server; the download fails."""
        self._is_cut = True
        if (connection := self._socket) is not None:
            with contextlib.suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)

    def _get(self, url: str, most_bytes: int) -> tuple[bytes, str]:
        with self._opener.open(url, timeout=self._timeout_s) as response:
            chunks, size = [], 0
            while chunk := response.read1(_CHUNK_BYTES):
                chunks.append(chunk)
                size += len(chunk)
                if size > most_bytes:
                    advice = f"too large: more than {most_bytes >> 20} MiB"
                    raise SourceError(f"{shown(url)}: {advice}", SourceReason.TOO_LARGE)
            if self._is_cut:  # without a declared length, it looks complete
                raise TimeoutError
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            return b"".join(chunks), response.url

    def check(self, url: str) -> None:
        """Refuse an address that isn't HTTP, or to which this stream may not lead (capture.hosts).

        Raises:
            SourceError: the address is refused.
        """
        scheme, closed = urlsplit(url).scheme, None
        if scheme not in ("http", "https"):
            closed = "expected http or https"
        elif self._tls.verify and scheme != "https":
            closed = "which is not encrypted, but tls_verify is set"
        elif (place := why_closed(self._root, url)) is not None:
            closed = f"{place}: not allowed, because the server is farther away from this machine"
        if closed is not None:
            raise SourceError(f"{self.name}: leads to {shown(url)}, {closed}", SourceReason.REDIRECT)

    def _connect(self, host: str, timeout: float) -> http.client.HTTPConnection:
        return self._noted(http.client.HTTPConnection(host, timeout=timeout))

    def _connect_tls(self, host: str, timeout: float, context: ssl.SSLContext) -> http.client.HTTPConnection:
        return self._noted(http.client.HTTPSConnection(host, timeout=timeout, context=context))

    def _noted(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        """Make a connection remember its socket, so that `stop` can end a wait for the server."""
        connect = connection.connect

        def connect_and_note() -> None:
            connect()
            self._socket = connection.sock
            if self._is_cut or self._is_stopped:
                raise TimeoutError

        connection.connect = connect_and_note  # type: ignore[method-assign]  # urllib calls it
        return connection

    def _new_opener(self) -> urllib.request.OpenerDirector:
        """Return an opener for HTTP only. The default one of urllib also opens files and FTP."""
        opener = urllib.request.OpenerDirector()
        opener.addheaders = [("User-Agent", "realtime-pose")]  # some servers refuse urllib's
        for handler in (
            urllib.request.ProxyHandler(),
            _Http(self._connect),
            _Https(self._connect_tls, self._tls),
            _Redirects(self.check),
            *_logins(self._root),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        return opener


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connect: Callable[..., http.client.HTTPConnection]) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connect: Callable[..., http.client.HTTPConnection], tls: Tls) -> None:
        super().__init__()
        self._connect, self._tls = connect, tls

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connect, req, context=self._tls.context())


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = max_repeats = MOST_REDIRECTS

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _logins(root: str) -> list[urllib.request.BaseHandler]:
    """Return the handlers that answer a request for a login with the user and password in the configured address."""
    parts = urlsplit(root)
    if parts.username is None:
        return []
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    host = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "/", "", ""))
    passwords.add_password(None, host, unquote(parts.username), unquote(parts.password or ""))
    return [urllib.request.HTTPDigestAuthHandler(passwords), urllib.request.HTTPBasicAuthHandler(passwords)]


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _fault_of(error: Exception) -> tuple[SourceReason, str]:
    if isinstance(error, HTTPError):
        error.close()
        other = SourceReason.SERVER, f"server error: the server answered with the status {error.code}"
        return _REASONS.get(error.code, other)
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        return SourceReason.CERTIFICATE, f"certificate not trusted: {why}; set tls_ca to the certificate that signed it"
    if isinstance(cause, TimeoutError):
        return SourceReason.TIMEOUT, "timed out: no answer"
    if isinstance(cause, socket.gaierror):
        return SourceReason.DNS, "host name not found: check the address"
    if isinstance(cause, ConnectionRefusedError):
        return SourceReason.REFUSED, "connection refused: check the address and port"
    return SourceReason.LOST, "the connection failed"
