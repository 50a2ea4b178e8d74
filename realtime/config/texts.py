"""The base class of all sections, and the types of keys whose value is text or the path of a file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from realtime.home import at_home


def check_text(text: str) -> None:
    """Check that a text can be part of a path, a URL or a log line.

    Raises:
        ValueError: it contains a control character, or one that can't be encoded.
    """
    if re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]*\r", text):
        raise ValueError("got a control character at its end: the file has the line ends of Windows, remove them")
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError("got a control character (such as a line break or NUL), expected plain text")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("got a character that can't be encoded, expected plain text") from None


def check_quotes(text: str) -> None:
    """Check that a text has no quotes around it: `docker --env-file` keeps those of the file.

    Raises:
        ValueError: it has. The message does not contain the text, which may be a secret.
    """
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        raise ValueError("got quotes as part of the value, remove them (env files keep theirs)")


def check_filled(address: str) -> None:
    """Check that a template or a variable in the address of a camera was filled in.

    Raises:
        ValueError: it was not. The message does not contain the address, which may be a secret.
    """
    if re.fullmatch(r"\$(?:\{[^{}]*\}|\w+)|%\w+%", address):
        raise ValueError("source: got a variable, which is not replaced, expected env:NAME to read one")
    _, is_url, rest = address.partition("://")
    # A password may contain any of these characters, so whatever may be part of one is no host.
    hosts = {re.split("[/?#]", rest)[0].rpartition("@")[2], re.split("[/?#]", rest.rpartition("@")[2])[0]}
    is_host = is_url and all(re.search("[{}<>$]", host) for host in hosts)
    if is_host or re.fullmatch(r"\{\{.*\}\}|\{%.*%\}|<[^<>]*>", address):
        raise ValueError("source: got a template that was not filled in, expected the address of a camera")


def _file_text(value: object, check: ValidatorFunctionWrapHandler) -> str:
    """Accept a file name that isn't UTF-8, which pydantic refuses: Python keeps its other bytes as surrogates."""
    if isinstance(value, str) and re.search("[\udc80-\udcff]", value):
        return at_home(value)
    return at_home(cast("str", check(value)))


# Text that may be the name of a file, and the path of one.
FileText = Annotated[str, WrapValidator(_file_text)]
FilePath = Annotated[Path, BeforeValidator(lambda value: Path(at_home(value)) if isinstance(value, str) else value)]


_QUOTES = {'""', "''", "\u201c\u201d", "\u201e\u201c", "\u201d\u201d", "\u2018\u2019", "\u2019\u2019"}


class Section(BaseModel):
    """A group of keys. A field's `title` is the placeholder for its value in `--help`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _printable(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                check_quotes(text)
                check_text(text)
        return value
