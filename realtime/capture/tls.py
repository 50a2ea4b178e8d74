"""TLS of network cameras: whether certificates are verified, for FFmpeg and for our own connections.

Used by capture.connect and capture.dialogue.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

# URL schemes whose connections FFmpeg can verify.
TLS_SCHEMES = ("rtsps", "https")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to treat a server's certificate.

    Attributes:
        verify: whether the certificate must be valid for the host, and signed by a trusted authority.
        ca: file with the certificates (PEM) of the trusted authorities; None: those of the system.
    """

    verify: bool = False
    ca: str | None = None

    def options(self) -> dict[str, str]:
        """Return FFmpeg's options; they mean the same as `context`."""
        if not self.verify:
            return {"tls_verify": "0"}
        # FFmpeg's TLS library, in PyAV's wheels, doesn't know where the system keeps its certificates.
        trusted = self.ca or ssl.get_default_verify_paths().cafile
        return {"tls_verify": "1"} | ({"ca_file": trusted} if trusted else {})

    def context(self) -> ssl.SSLContext:
        """Return an equivalent context for Python's sockets.

        Raises:
            OSError: the file `ca` can't be read, or holds no certificate.
        """
        if self.verify:
            return ssl.create_default_context(cafile=self.ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # Without verification, accept all that cameras offer: self-signed certificates, and old versions of TLS.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context
