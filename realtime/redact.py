"""Removal of secrets from text: passwords in camera URLs and tokens in their queries.

Used wherever a camera's source may leave the program: in log records, error messages and --print-config.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

# Greedy up to the last "@" of the word, because a raw password may itself contain "@", ":" or "/".
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s'\"<>]*@")
# The same without a scheme: user:password@10.0.0.5/s1. Windows paths (C:\clips\a@b.mp4) and URLs do not match.
_LOGIN = re.compile(r"(?<![\w/])[^\s'\"<>:/\\@]+:(?!//)[^\s'\"<>\\]+@(?=[\w\[])")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s'\"<>?]*\?)[^\s'\"<>]*[^\s'\"<>:,;.]")
# Cheap cameras expect the login in the path: rtsp://h/user=admin_password=abc_channel=1_stream=0.sdp. The value ends at
# the next `_name=` or at the end of the path segment, not at the first underscore, which a password may contain.
_IN_PATH = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s'\"<>]*?(?:pass(?:word|wd)?|pwd|token|secret|auth|key)=)"
    r"([^\s'\"<>/&;]+?)(?=_[A-Za-z0-9]+=|[/&;\s'\"<>:,]|$)",
    re.IGNORECASE,
)
HIDDEN = "***"
# The time that these expressions take grows with the square of a word's length, while all other threads wait. A word
# longer than this is no address, and is hidden.
_OVERLONG = re.compile(r"\S{8193,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Replace the secrets in a text with ***.

    In every URL, these are the user information, the query, and passwords in the path.

    >>> redact("can't open rtsp://admin:hunter2@10.0.0.5/s1")
    "can't open rtsp://***@10.0.0.5/s1"
    >>> redact("login failed for hunter2", ["hunter2"])
    'login failed for ***'

    Args:
        text: any text that may contain URLs.
        secrets: more strings to replace wherever they occur, as `secrets_of` returns them.
    """
    text = _OVERLONG.sub(HIDDEN, text)
    text = _USERINFO.sub(rf"\g<1>{HIDDEN}@", text)
    text = _LOGIN.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    text = _IN_PATH.sub(rf"\g<1>{HIDDEN}", text)
    for secret in tuple(secrets):  # another thread may add some
        text = text.replace(secret, HIDDEN)
    return text


def shown(source: str) -> str:
    """Redact a camera's source for printing.

    Unlike `redact`, it knows that the text is one source, so that a space or a quote in a password cannot end the URL.

    >>> shown("rtsp://admin:two words@10.0.0.5/s1")
    'rtsp://***@10.0.0.5/s1'
    """
    return redact(source, secrets_of(source))


def secrets_of(source: str) -> list[str]:
    """Find the parts of a source that must never be printed.

    These are the user information, passwords and query values, both raw and percent-encoded.

    >>> secrets_of("rtsp://admin:hunter2@10.0.0.5/s1?token=abc")
    ['admin%3Ahunter2', 'admin:hunter2', 'hunter2', 'abc']

    Args:
        source: a camera's source as configured.

    Returns:
        The strings to hide, longest first; empty if the source holds no secret. Strings shorter than three characters
        are left to `redact`, which hides them inside their URL: replacing them everywhere would shred the text.
    """
    _, found, rest = source.partition("://")
    if not found:  # the scheme is missing or mistyped: a login or a query in the rest is still a secret
        rest = source
        if "\\" in source:  # a Windows path
            return []
    userinfo, at, address = rest.rpartition("@")
    parts = []
    if at and (found or ":" in userinfo):
        parts = [userinfo, userinfo.partition(":")[2]]
    path, _, query = address.partition("?")
    parts += [match[2] for match in _IN_PATH.finditer(f"{source.partition('://')[0] if found else 'x'}://{path}")]
    parts += [pair.partition("=")[2] for pair in query.split("&")]
    quoted = [quote(unquote(part), safe="", errors="replace") for part in parts]
    spellings = {*parts, *map(unquote, parts), *quoted}
    # As the text of an exception spells them: in quotes, with escapes. Which quotes depends on the rest of the URL.
    spellings |= {escaped for form in spellings for escaped in (repr(form)[1:-1], repr('"' + form)[2:-1])}
    return sorted((s for s in spellings if len(s) >= 3), key=len, reverse=True)
