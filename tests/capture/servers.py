"""Small servers on loopback that answer as a test says: RTSP or HTTP, plain or over TLS.

`with Scripted(answer) as server:` answers each request with the bytes that `answer` returns.
"""

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass, field

from realtime.capture.stream import StreamSource
from realtime.errors import SourceError

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n"
)


@dataclass(frozen=True)
class Asked:
    """A request that arrived: its method, its address, its fields by lower case name, and its connection's number."""

    method: str
    url: str
    fields: dict[str, str] = field(default_factory=dict)
    connection: int = 0

    @property
    def login(self):
        return self.fields.get("authorization", "")


class Scripted:
    """A server for the duration of a `with` block.

    Args:
        answer: called with each request (`Asked`). Returns the bytes to send, a generator of such parts, or None to
            close the connection.
        certificate: files of a certificate and its key; with them the server speaks TLS.
        host: the loopback address to listen on.
    """

    def __init__(self, answer, certificate=None, host="127.0.0.1"):
        self.answer, self.asked, self.connections = answer, [], 0
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64
        )
        self.port = self._listener.getsockname()[1]
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._open = set()

    def __enter__(self):
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)

    @property
    def logins(self):
        """The Authorization fields that arrived."""
        return [asked.login for asked in self.asked if asked.login]

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._talk, args=(connection, self.connections), daemon=True).start()

    def _talk(self, connection, number):
        with contextlib.suppress(OSError, ValueError, StopIteration), connection:
            way = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            self._open.add(way)
            try:
                self._answer_all(way, number)
            finally:
                self._open -= {way, connection}
                way.close()

    def _answer_all(self, way, number):
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                if not (data := way.recv(4096)):
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode(errors="replace").split("\r\n")
            pairs = (line.partition(":") for line in lines)
            method, url, *_ = [*first.split(), "", ""]
            asked = Asked(method, url, {key.strip().lower(): value.strip() for key, _, value in pairs}, number)
            self.asked.append(asked)
            answer = self.answer(asked)
            if answer is None:
                return
            for part in [answer] if isinstance(answer, bytes) else answer:
                way.sendall(part)


def reply(asked, status, *fields, body="", protocol="RTSP/1.0"):
    """Return a reply as bytes, with CSeq and Content-Length."""
    cseq = [f"CSeq: {asked.fields['cseq']}"] if "cseq" in asked.fields else []
    lines = [f"{protocol} {status}", *cseq, *fields, f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def self_signed(folder, name="127.0.0.1"):
    """Return the files of a certificate, signed by itself, and of its key."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    alternative = f"IP:{name}" if re.fullmatch(r"[\d.]+", name) else f"DNS:{name}"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def opened(url, **options):
    """Return the error with which a stream can't be opened; None if it can. It is one line, without the password."""
    error = None
    try:
        StreamSource(url, network=True, **{"open_timeout_s": 5.0} | options).close()
    except SourceError as fault:
        error = fault
    assert "\n" not in str(error)
    assert "s3cr3t" not in f"{error} {error!r}"
    assert error is None or error.__context__ is None
    return error
