"""Takes secrets out of text: the password in a camera's URL, tokens in its query.

Used wherever text leaves the program: log records, errors, --print-config, reports, status messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

# Greedy up to the last "@" of the word: a raw password may itself contain "@", ":" or "/".
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"<>]*@")
# The same where the kind of URL was forgotten: user:password@10.0.0.5/s1. Not a drive's letter, nor a URL's.
_LOGIN = re.compile(r"(?<![\w/])[^\s'\"<>:/\\@]+:(?!//)[^\s'\"<>\\]+@(?=[\w\[])")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>?]*\?)[^\s'\"<>]*[^\s'\"<>:,;.]")
# Cheap cameras want the login in the path: rtsp://h/user=admin_password=abc_channel=1_stream=0.sdp. What follows up to
# the next such pair, or the end of the path's part, is the value: a password may hold an underscore.
_IN_PATH = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*?(?:pass(?:word|wd)?|pwd|token|secret|auth|key)=)"
    r"([^\s'\"<>/&;]+?)(?=_[A-Za-z0-9]+=|[/&;\s'\"<>:,]|$)",
    re.IGNORECASE,
)
HIDDEN = "***"


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every URL's user information, query and passwords in its path replaced by ***.

    Args:
        text: any text that may hold URLs.
        secrets: strings that must not be seen anywhere in it, as `secrets_of` finds them.
    """
    text = _USERINFO.sub(rf"\g<1>{HIDDEN}@", text)
    text = _LOGIN.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<1>{HIDDEN}", text)
    text = _IN_PATH.sub(rf"\g<1>{HIDDEN}", text)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def shown(source: str) -> str:
    """A camera's source as it may be printed: known as a whole, so that no character in a password hides its end."""
    return redact(source, secrets_of(source))


def secrets_of(source: str) -> list[str]:
    """What must never be printed of a source: user information, passwords and query values, raw and percent-encoded.

    Args:
        source: a camera's source as configured.

    Returns:
        The strings to hide, longest first. Empty for a source without a URL's secrets. A password shorter than three
        characters is hidden only inside its URL: replacing it everywhere would shred the text.
    """
    _, found, rest = source.partition("://")
    if not found:  # forgotten, or mistyped: what looks like a login or a query is one all the same
        rest = source
        if "\\" in source:  # a path of Windows
            return []
    userinfo, at, address = rest.rpartition("@")
    parts = []
    if at and (found or ":" in userinfo):
        parts = [userinfo, userinfo.partition(":")[2]]
    path, _, query = address.partition("?")
    parts += [match[2] for match in _IN_PATH.finditer(f"{source.partition('://')[0] if found else 'x'}://{path}")]
    parts += [pair.partition("=")[2] for pair in query.split("&")]
    spellings = {form for part in parts for form in (part, unquote(part), quote(unquote(part), safe=""))}
    return sorted((s for s in spellings if len(s) >= 3), key=len, reverse=True)
