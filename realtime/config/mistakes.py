"""Mistakes in a configuration, one line each: the key, where it was set, the value found and the value expected.

Used by config.load. No message contains a secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pydantic import ValidationError

from realtime.config.camera import CameraConfig
from realtime.config.keys import leaves, sections
from realtime.config.places import Origin
from realtime.redact import redact, shown

ENV_PREFIX = "REALTIME_"
# A message shows at most this many characters of a key or a value.
_MOST_SHOWN = 100
# An explanation has at most this many characters.
_MOST_SAID = 1000

Value = TypeVar("Value")


def explain(error: ValidationError, origins: Mapping[str, Origin]) -> str:
    """Return the first mistake as one line. The value is shown only if it can't contain a secret.

    Args:
        error: the mistakes that pydantic found.
        origins: where each dotted key was set.
    """
    # Report an unknown key first: it is often the missing key, misspelled.
    problem = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    location = [str(part) for part in problem["loc"]]
    message = problem["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if problem["type"] == "value_error":  # of several keys: it begins with the one to change
        named = re.match(r"([a-z_.]+): (?!$)", message)
        if named and _is_key(inner := [*location, *named[1].split(".")]):
            location, message = inner, message[named.end() :]
    key = short(".".join(location))
    origin = _origin(location, origins)
    got = problem["input"]
    is_secret = location[:1] == ["cameras"] and location[-1] not in CameraConfig.model_fields.keys() - {"source"}
    found = f"got {short(got)!r}, " if isinstance(got, str | int | float | bool) and not is_secret else ""
    if got is None:
        found = "got no value, "
    if problem["type"] == "value_error" and "got " in message:
        found = ""
    if problem["type"] == "extra_forbidden":
        keys = CameraConfig.model_fields  # keys of other sections were checked before
        close = difflib.get_close_matches(location[-1][:_MOST_SHOWN].lower().replace("-", "_"), keys, n=1)
        advice = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(keys)}"
        found, message = "", f"unknown key, {advice}"
    elif problem["type"] == "string_pattern_mismatch" and location[0] == "cameras":
        field = CameraConfig.model_fields[location[-1]]
        message = f"expected {field.title or field.description}"
    else:
        message = " ".join(_cut(redact(word)) for word in _IN_OUR_WORDS.get(problem["type"], message).split(" "))
        if problem["type"] == "list_type" and key == "cameras":
            message = "expected a list of cameras: - {name: door, source: 0}"
    if problem["type"] not in ("value_error", "extra_forbidden") and isinstance(got, str):
        message += _advice(got)
        if "," in got and location[-1].isdigit():
            message += "; write each entry by itself: the flag several times, or [a, b]"
    return redact(f"{key + ': ' if key else ''}{found}{message[:_MOST_SAID]}{where_set(key, origin)}")


def where_set(key: str, origin: str) -> str:
    """Return the origin of a value as the end of a message; empty if it is the flag of this key, or unknown."""
    return f" (from {origin})" if origin and origin != as_flag(key) else ""


def _is_key(location: Sequence[str]) -> bool:
    """Whether a location is that of a key, so that a message may begin with it."""
    if location[:1] == ["cameras"]:
        return location[-1] in CameraConfig.model_fields or len(location) == 1
    return ".".join(location) in {each.name for each in leaves()}


def _origin(location: Sequence[str], origins: Mapping[str, Origin]) -> str:
    """The origin of the value at a location of pydantic; empty if it is unknown."""
    for depth in (2, 1):
        if (key := ".".join(location[:depth])) in origins:
            return origins[key].at(location[depth:])
    return ""


def _advice(text: str) -> str:
    """The likely mistake in a value that was refused, as the end of a message; empty if nothing is known."""
    if re.search("[\u201c\u201d\u201e\u2018\u2019\u201a]", text):
        return "; use straight quotes (\" or ') instead of typographic ones"
    if re.search("[\xa0\u2007\u202f\u3000\u200b\ufeff]", text):
        return "; it contains a special space; use a plain space"
    if re.search(r"\{\{|\{%|\$\{?\w|^<.+>$|^%\w+%$", text):
        return "; a template or a variable was not filled in"
    if text != text.strip():
        return "; remove the spaces around it"
    return ""


# pydantic's error types, reworded for people who don't write Python.
_IN_OUR_WORDS = {
    "missing": "missing",
    "model_type": "expected keys and values: name, source",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "too_short": "got an empty list, expected at least one entry",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number, such as 10",
    "int_parsing_size": "expected a smaller number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number, such as 0.5",
    "finite_number": "expected a number that is finite",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "path_type": "expected a path",
    "string_type": "expected text",
    "string_unicode": "expected UTF-8 text",
}


def short(value: Value) -> Value | str:
    """Return the value itself or, if it is a text, at most its beginning, without secrets."""
    if not isinstance(value, str):
        return value
    # Redacted before it is cut to size, because only a whole URL shows where its password ends.
    return _cut(shown(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def near(key: str, spell: Callable[[str], str]) -> str:
    """Return the advice for an unknown key; `spell` writes a key as its origin does (`as_flag`, `as_variable`)."""
    names = [*(each.name for each in leaves()), *sections()]
    asked = key[:_MOST_SHOWN].lower().replace("-", "_")
    close = difflib.get_close_matches(asked, names, n=1) or [name for name in names if name.endswith(f".{asked}")]
    return f", did you mean {spell(close[0])}?" if close else ", see --help for all keys"


def as_variable(key: str) -> str:
    """The environment variable of a key."""
    return ENV_PREFIX + key.upper().replace(".", "__")


def as_flag(key: str) -> str:
    """The flag of a key."""
    return "--" + key.replace("_", "-")
