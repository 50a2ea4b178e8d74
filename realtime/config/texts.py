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
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError("got a control character (such as a line break or NUL), expected plain text")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError("got a character that can't be encoded, expected plain text") from None


def _file_text(value: object, check: ValidatorFunctionWrapHandler) -> str:
    """Accept a file name that isn't UTF-8, which pydantic refuses: Python keeps its other bytes as surrogates."""
    if isinstance(value, str) and re.search("[\udc80-\udcff]", value):
        return at_home(value)
    return at_home(cast("str", check(value)))


# Text that may be the name of a file, and the path of one.
FileText = Annotated[str, WrapValidator(_file_text)]
FilePath = Annotated[Path, BeforeValidator(lambda value: Path(at_home(value)) if isinstance(value, str) else value)]


class Section(BaseModel):
    """A group of keys. A field's `title` is the placeholder for its value in `--help`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _printable(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                check_text(text)
        return value
