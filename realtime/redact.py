"""Takes secrets out of text: the password in a camera's URL, tokens in its query.

Used wherever text leaves the program: log records, errors, --print-config, reports, status messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

# Greedy up to the last "@" of the word: a raw password may itself contain "@", ":" or "/".
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"<>]*@")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>?]*\?)[^\s'\"<>]*[^\s'\"<>:,;.]")
_HIDDEN = "***"


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with every URL's user information and query replaced by ***.

    Args:
        text: any text that may hold URLs.
        secrets: strings that must not be seen anywhere in it, as `secrets_of` finds them.
    """
    text = _USERINFO.sub(rf"\g<1>{_HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<1>{_HIDDEN}", text)
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text


def secrets_of(source: str) -> list[str]:
    """What must never be printed of a source: its user information, password and query values, raw and percent-encoded.

    Args:
        source: a camera's source as configured.

    Returns:
        The strings to hide, longest first. Empty for a source without a URL's secrets. A password shorter than three
        characters is hidden only inside its URL: replacing it everywhere would shred the text.
    """
    _, found, rest = source.partition("://")
    if not found:
        return []
    userinfo, at, address = rest.rpartition("@")
    parts = [userinfo, userinfo.partition(":")[2]] if at else []
    query = address.partition("?")[2]
    parts += [pair.partition("=")[2] for pair in query.split("&")]
    spellings = {form for part in parts for form in (part, unquote(part), quote(unquote(part), safe=""))}
    return sorted((s for s in spellings if len(s) >= 3), key=len, reverse=True)
