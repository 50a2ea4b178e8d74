"""All odd files by their names: combinations, images, and what is sent over a pipe or HTTP."""

from __future__ import annotations

from functools import cache

from .combination import Combination, combinations
from .images import ImageFile, images
from .sent import Sent, sent


@cache
def all_files() -> dict[str, Combination | ImageFile | Sent]:
    """Return all odd files by their names."""
    return {**combinations(), **{file.name: file for file in (*images(), *sent())}}
