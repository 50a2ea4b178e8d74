"""Removal of secrets from text: passwords in camera URLs, tokens in their queries, and whole addresses.

Used wherever text may leave the program: in log records, error messages, the report, the stream and --print-config.
The time that each function takes grows linearly with the length of the text.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote

from realtime.printable import printable

HIDDEN = "***"
# A word that may hold a login: everything between two spaces, quotes or angle brackets. Without the lookbehind, the
# search in a long word would start again at each of its characters.
_WORD = re.compile(r"(?<![^\s'\"<>])[^\s'\"<>@:]*[@:][^\s'\"<>]*")
# Punctuation that belongs to the sentence around an address.
_MARKS = ":,;."
_PIECE = re.compile(r"[^:/@]+")
# Cheap cameras expect the login in the path: rtsp://h/user=admin_password=abc_channel=1_stream=0.sdp. The value ends at
# the next `_name=` or at the end of the path segment, not at the first underscore, which a password may contain.
_IN_PATH = re.compile(
    r"((?:pass(?:word|wd)?|pwd|token|secret|auth|key)=)([^/&;]+?)(?=_[A-Za-z0-9]+=|[/&;]|$)", re.IGNORECASE
)
# user:password at the start of a URL without an "@": what follows the colon is not a port.
_NO_PORT = re.compile(r"[^/?#:\[\]]*:(?![\d*]*(?:[/?#]|$))([^/?#]*)")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:\\|\\\\")
# Text after these and a colon names a file or a variable (secret:/run/a@b/url): it is no login.
_NAMED = ("secret", "env")
# Shorter secrets are hidden inside their URL only: replacing them everywhere would shred the text.
_SHORTEST = 3
# Part of a source that is longer than this (characters) is hidden in its original spelling only, and at most this many
# passwords and query values of a source are hidden one by one. A source with more can't be opened anyway, and the time
# must not grow with the square of its length.
_LONGEST = 4096
_MOST_PARTS = 64
# Longer lines of the log are cut (characters). None of our messages is this long.
_LONGEST_LINE = 8192


class SecretAddress(str):
    """The address of a camera, read from a variable or a file. It is always shown as the name of that.

    >>> address = SecretAddress("rtsp://10.0.0.5/s1", "secret:/run/secrets/door")
    >>> shown(address)
    'secret:/run/secrets/door'
    >>> redact("can't open rtsp://10.0.0.5/s1", secrets_of(address))
    "can't open secret:/run/secrets/door"

    Attributes:
        label: the source as configured: env:NAME or secret:PATH.
    """

    label: str

    def __new__(cls, address: str, label: str = HIDDEN) -> SecretAddress:
        """Make an address that is shown as `label`."""
        self = super().__new__(cls, address)
        self.label = label
        return self

    def __repr__(self) -> str:
        return repr(self.label)


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
    text = _masked(text, tuple(secrets))  # a copy, because another thread may add some
    return _WORD.sub(lambda match: _without_secrets(match[0]), text)


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    r"""Turn any text into one line for a log or a terminal, of printable characters only and without secrets.

    >>> print(one_line("can't open rtsp://u:p@h/\n12:00:00 info forged"))
    can't open rtsp://***@h/\n12:00:00 info forged
    """
    # `printable` comes first, because `redact` would not recognise an address that contains a line break, and again,
    # because the label of a SecretAddress may contain any character. The line is cut last, because `redact` would not
    # recognise a login that was cut off before its "@".
    line = printable(redact(printable(text), secrets))
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}... ({len(line):,} characters)"


def shown(source: str) -> str:
    """Redact a camera's source for printing.

    Unlike `redact`, it knows that the text is one source, so that a space or a quote in a password cannot end the URL.

    >>> shown("rtsp://admin:two words@10.0.0.5/s1")
    'rtsp://***@10.0.0.5/s1'
    """
    if isinstance(source, SecretAddress):
        return redact(source.label)
    return redact(source, secrets_of(source))


def secrets_of(source: str) -> list[str]:
    """Find the parts of a source that must never be printed.

    These are the user information, passwords and query values, and all of a `SecretAddress`, in every spelling that an
    error message may use.

    >>> secrets_of("rtsp://admin:hunter2@10.0.0.5/s1")
    ['admin%3Ahunter2', 'admin%3ahunter2', 'admin:hunter2', 'hunter2']

    Args:
        source: a camera's source as configured.

    Returns:
        The strings to hide; empty if the source holds no secret. Strings shorter than three characters
        are left to `redact`, which hides them inside their URL: replacing them everywhere would shred the text.
    """
    found: set[str] = set()
    if isinstance(source, SecretAddress):
        found = {SecretAddress(spelling, source.label) for spelling in _spellings(str(source))}
    for part in _parts(str(source)):
        if len(part) >= _SHORTEST:
            found |= _spellings(part) - found
    return sorted(secret for secret in found if len(secret) >= _SHORTEST)


def _parts(source: str) -> list[str]:
    """The secret parts of a source, as they are spelled in it."""
    _, has_scheme, rest = source.partition("://")
    if not has_scheme:  # the scheme is missing or mistyped: a login or a query in the rest is still a secret
        if _WINDOWS_PATH.match(source) or source.partition(":")[0] in _NAMED:
            return []
        rest = source
    userinfo, at, address = rest.rpartition("@")
    parts = []
    if at and (has_scheme or ":" in userinfo):
        parts = [userinfo, userinfo.partition(":")[2]]
    elif has_scheme and (no_port := _NO_PORT.match(rest)):  # the "@" is mistyped
        parts = [no_port[1]]
    if at and _is_cut(userinfo):
        parts.append(address)
    for text in {rest, address}:
        path, _, query = text.partition("?")
        parts += [match[2] for match, _ in zip(_IN_PATH.finditer(path), range(_MOST_PARTS), strict=False)]
        values = [pair.partition("=")[2] for pair in query.split("&", _MOST_PARTS)]
        parts += [*values, query] if any(values) or has_scheme else []
    return parts


def _is_cut(userinfo: str) -> bool:
    """Whether the "@" after this text may belong to a query or a password, because one begins in the text."""
    return "?" in userinfo or _IN_PATH.search(userinfo) is not None


def _spellings(part: str) -> set[str]:
    """A secret as it is, percent-encoded, and as the text of an exception or a log spells it: quoted, with escapes."""
    if len(part) > _LONGEST:
        return {part}
    plain = unquote(part)
    forms = {part, plain}
    for raw in (part, plain):
        forms |= {spell(raw, safe=kept, errors="replace") for spell in (quote, quote_plus) for kept in ("", "/")}
    forms |= {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in forms}
    spellings = set(forms)
    for form in forms:
        # Which quotes `repr` chooses depends on the rest of the text.
        spellings |= {printable(form), repr(form)[1:-1], repr('"' + form)[2:-1], ascii(form)[1:-1]}
        for errors in ("surrogateescape", "surrogatepass"):  # as `repr` writes bytes
            with contextlib.suppress(UnicodeEncodeError):
                spellings.add(repr(form.encode(errors=errors))[2:-1])
        spellings |= {json.dumps(form, ensure_ascii=is_ascii)[1:-1] for is_ascii in (False, True)}
    return spellings


def _masked(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets. If two of them overlap, nothing of either is left."""
    spans = []
    for secret in secrets:
        begin = text.find(secret)
        while begin >= 0:
            spans.append((begin, begin + len(secret), secret.label if isinstance(secret, SecretAddress) else HIDDEN))
            begin = text.find(secret, begin + len(secret))
    kept, end = [], 0
    for begin, stop, instead in sorted(spans):
        if begin >= end:
            kept += [text[end:begin], instead]
        elif instead != HIDDEN:
            kept[-1] = instead
        end = max(end, stop)
    return "".join([*kept, text[end:]])


def _without_secrets(word: str) -> str:
    """Hide the secrets in a text without spaces and quotes."""
    before, has_scheme, rest = word.partition("://")
    if not has_scheme:
        return _without_login(word)
    body = rest.rstrip(_MARKS)
    # Up to the last "@", because a raw password may itself contain "@", ":" or "/".
    userinfo, at, address = body.rpartition("@")
    if _is_cut(userinfo):
        return f"{_without_login(before)}://{HIDDEN}{rest[len(body) :]}"
    path, has_query, query = address.partition("?")
    path = _IN_PATH.sub(rf"\g<1>{HIDDEN}", path)
    login = f"{HIDDEN}@" if at else ""
    query = f"?{HIDDEN if query else ''}" if has_query else ""
    return f"{_without_login(before)}://{login}{path}{query}{rest[len(body) :]}"


def _without_login(word: str) -> str:
    r"""Hide a login without a scheme: user:password@10.0.0.5/s1. Windows paths (C:\clips\a@b.mp4) have none."""
    at = word.rstrip(f"@{_MARKS}").rfind("@")
    for piece in _PIECE.finditer(word, 0, max(0, at)):
        user, colon = piece[0], piece.end()
        if not word.startswith(":", colon, at) or colon + 1 == at or word.startswith("//", colon + 1):
            continue
        if user not in _NAMED and not (len(user) == 1 and word[colon + 1] == "\\"):
            return f"{word[: piece.start()]}{HIDDEN}{word[at:]}"
    return word
