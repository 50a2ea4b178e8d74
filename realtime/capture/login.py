"""The answer to a server that asks for a login: HTTP Basic and Digest (RFC 7616), as far as FFmpeg supports them.

Used by capture.dialogue, which asks before FFmpeg does.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_SCHEME = re.compile(r"\s*([A-Za-z-]+)(?:\s+|$)")
# A name begins after something else than a letter and has a limited length, or the search for one would take time that
# grows with the square of the field's length.
_PAIR = re.compile(r'(?<![A-Za-z-])([A-Za-z-]{1,32})\s{0,8}=\s{0,8}(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a server asks for a login.

    Attributes:
        scheme: "basic" or "digest".
        fields: the parameters of the challenge, by lower case name.
    """

    scheme: str
    fields: dict[str, str]

    @property
    def is_stale(self) -> bool:
        """Whether only the nonce was too old: the login itself was not judged."""
        return self.fields.get("stale", "").lower() == "true"


def has_login(url: str) -> bool:
    """Whether a URL contains a user, with or without a password."""
    return "@" in re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def challenge_of(fields: Sequence[str]) -> Challenge | None:
    """Choose among the challenges of a reply: Digest with MD5 rather than Basic, like FFmpeg.

    >>> challenge_of(['Basic realm="a"', 'Digest realm="b", nonce="1"']).scheme
    'digest'
    >>> challenge_of(['Digest realm="b", nonce="1", algorithm=SHA-256']) is None
    True

    Args:
        fields: the values of all WWW-Authenticate fields.

    Returns:
        None if there is no challenge that FFmpeg can answer.
    """
    found: dict[str, Challenge] = {}
    for value in fields:
        match = _SCHEME.match(value)
        if match is None:
            continue
        pairs = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(value[match.end() :])}
        challenge = Challenge(match[1].lower(), pairs)
        is_md5 = pairs.get("algorithm", "MD5").upper() in ("MD5", "MD5-SESS")
        if challenge.scheme == "basic" or (challenge.scheme == "digest" and is_md5):
            found[challenge.scheme] = challenge
    return found.get("digest") or found.get("basic")


def authorization(challenge: Challenge, userinfo: str, method: str, uri: str) -> str:
    """Return the value of the Authorization field that answers a challenge.

    Args:
        challenge: the server's challenge.
        userinfo: user and password as in the URL, percent-encoded: "admin:p%40ss".
        method: the method of the request, such as "DESCRIBE".
        uri: the address in the request line.
    """
    user, _, password = unquote_to_bytes(userinfo).partition(b":")
    if challenge.scheme == "basic":
        return "Basic " + base64.b64encode(user + b":" + password).decode()
    fields = challenge.fields
    realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
    ours, count = secrets.token_hex(8), "00000001"
    who = _md5(user + b":" + realm.encode("latin-1", "replace") + b":" + password)
    if fields.get("algorithm", "").upper() == "MD5-SESS":
        who = _md5(f"{who}:{nonce}:{ours}".encode())
    what = _md5(f"{method}:{uri}".encode())
    has_qop = "auth" in re.split(r"[\s,]+", fields.get("qop", ""))
    middle = f"{nonce}:{count}:{ours}:auth" if has_qop else nonce
    parts = [
        f'username="{user.decode("latin-1")}"',
        f'realm="{realm}"',
        f'nonce="{nonce}"',
        f'uri="{uri}"',
        f'response="{_md5(f"{who}:{middle}:{what}".encode("latin-1", "replace"))}"',
    ]
    parts += [f"algorithm={fields['algorithm']}"] if "algorithm" in fields else []
    parts += [f'opaque="{fields["opaque"]}"'] if "opaque" in fields else []
    parts += [f'cnonce="{ours}"', f"nc={count}", "qop=auth"] if has_qop else []
    return "Digest " + ", ".join(parts)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
